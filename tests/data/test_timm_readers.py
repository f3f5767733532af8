"""Sources behind timm's readers, on data sets made here; TensorFlow's is played by a stand-in, as it is too large."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.data import sources, timm_readers
from ablate.data.errors import DataError
from ablate.recipe import Data


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))


def of(source: str, **changes: object) -> Data:
    fields = {
        "source": source, "image_size": 8, "channels": 3, "classes": 3, "mean": 0.5, "std": 0.5, "eval_resize": 8,
        "test_split": "test", "test_fraction": 0.0, "val_fraction": 0.25, "split_seed": 0, "evaluate_on": "test",
    }  # fmt: skip
    return Data(**{**fields, **changes})


def encoded(gray: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (gray, gray, gray)).save(file, "PNG")
    return file.getvalue()


def grays(image_set) -> list[int]:
    return image_set.images(torch.arange(len(image_set)))[:, 0, 0, 0].tolist()


def check_splits(source: str, **changes: object) -> None:
    """Grays 0 to 11 were written to train with classes 0, 1, 2, 0, ..., and 100 to 105 to test."""
    test = sources.load(of(source, **changes))
    assert grays(test.held_out) == list(range(100, 106))
    assert test.held_out.labels.tolist() == [0, 1, 2] * 2
    val = sources.load(of(source, **changes, evaluate_on="val"))
    assert sorted(grays(val.train) + grays(val.held_out)) == list(range(12))
    for image_set in (val.train, val.held_out):
        assert image_set.indices.tolist() == grays(image_set)
        assert image_set.labels.tolist() == [gray % 3 for gray in grays(image_set)]
    assert torch.bincount(val.held_out.labels).tolist() == [1, 1, 1]


@pytest.mark.parametrize("reader", timm_readers._PACKAGES)
def test_a_missing_package_is_named(reader, monkeypatch):
    """Without the package, the error says what pip is to install."""
    *others, (missing, pip) = timm_readers._PACKAGES[reader].items()
    for module, _ in others:
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DataError, match=f"{reader}/made needs a package that is not installed: pip install {pip}$"):
        sources.load(of(f"{reader}/made"))


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_shard(path: Path, values: list[int], suffix: str = "png") -> None:
    with tarfile.open(path, "w") as tar:
        for gray in values:
            add(tar, f"{gray:04}.cls", str((gray - gray // 100 * 100) % 3).encode())
            add(tar, f"{gray:04}.{suffix}", encoded(gray))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    pytest.importorskip("webdataset", reason="the package webdataset is not installed")
    folder = tmp_path / "shards"
    folder.mkdir()
    split: dict[str, dict[str, object]] = {}
    for name, values in (("train", list(range(12))), ("test", list(range(100, 106)))):
        half = len(values) // 2
        files = [f"{name}-{k}.tar" for k in range(2)]
        for file, part in zip(files, (values[:half], values[half:]), strict=True):
            write_shard(folder / file, part)
        split[name] = {"name": name, "filenames": files, "shard_lengths": [half, half], "num_samples": len(values)}
    (folder / "info.json").write_text(json.dumps({"splits": split}))
    return folder


def test_webdataset(shards):
    """Splits by the names in info.json, and by the shards' names, in the order of the shards."""
    check_splits(f"wds/{shards}")
    check_splits(f"wds/{shards}", train_split="train-{0..1}.tar|12", test_split="test-{0..1}.tar")


def test_webdataset_starts_at_the_data_folder(shards, monkeypatch):
    """A relative path is one below $ABLATE_DATA."""
    monkeypatch.setenv("ABLATE_DATA", str(shards.parent))
    check_splits("wds/shards")


def test_shards_are_read_again_when_they_change(shards):
    """A shard with other images is packed anew."""
    sources.load(of(f"wds/{shards}"))
    write_shard(shards / "test-1.tar", [110, 111, 112])
    assert grays(sources.load(of(f"wds/{shards}")).held_out) == [100, 101, 102, 110, 111, 112]


def test_faulty_samples_are_skipped_by_name(shards):
    """As in a folder, where the Recipe says so; the name leads to the shard."""
    with tarfile.open(shards / "test-1.tar", "a") as tar:
        add(tar, "9.cls", b"1")
        add(tar, "9.jpg", b"broken")
    info = json.loads((shards / "info.json").read_text())
    info["splits"]["test"]["num_samples"] = 7
    (shards / "info.json").write_text(json.dumps(info))
    splits = sources.load(of(f"wds/{shards}", faulty="skip"))
    assert grays(splits.held_out) == list(range(100, 106))
    assert len(splits.skipped) == 1
    assert "9 of " in splits.skipped[0]
    assert "test-1.tar" in splits.skipped[0]


def test_wrong_shards_are_told(shards):
    """Missing or cut, too few samples, a sample without class, and splits that share a shard are each one error."""
    source = f"wds/{shards}"
    with pytest.raises(DataError, match=r"share shards: .*train-1\.tar"):
        sources.load(of(source, test_split="train-1.tar"))
    with pytest.raises(DataError, match="cannot read the split 'dev'"):
        sources.load(of(source, test_split="dev"))
    whole = (shards / "test-1.tar").read_bytes()
    with tarfile.open(shards / "test-1.tar", "a") as tar:
        add(tar, "x.png", encoded(1))
    with pytest.raises(DataError, match=r"the sample x of .*test-1\.tar must have .* a class in \.cls"):
        sources.load(of(source))
    write_shard(shards / "test-1.tar", [110])
    with pytest.raises(DataError, match="has 4 samples, but is said to have 6"):
        sources.load(of(source))
    (shards / "test-1.tar").write_bytes(whole[:700])
    with pytest.raises(DataError, match=r"cannot read the shard .*test-1\.tar"):
        sources.load(of(source))
    (shards / "test-1.tar").unlink()
    with pytest.raises(DataError, match=r"cannot read the shard .*test-1\.tar"):
        sources.load(of(source))
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        sources.load(of("wds/nowhere"))
    with pytest.raises(DataError, match=r"there is no folder .*pipe:"):
        sources.load(of("wds/pipe:touch run"))


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of Hugging Face's in a folder of parquet files."""
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee", "cat"])})
    for split, values in (("train", range(12)), ("test", range(100, 106))):
        images = [{"bytes": encoded(gray), "path": None} for gray in values]
        table = {"image": images, "label": [(gray - gray // 100 * 100) % 3 for gray in values]}
        made = datasets.Dataset.from_dict(table, features=features)
        made.to_parquet(tmp_path / "made" / f"{split}.parquet")
    return tmp_path / "made"


def test_hugging_face(rows, monkeypatch):
    """A folder's splits by name, its classes by theirs; and the same from the cache, by the name alone."""
    check_splits(f"hfds/{rows}")
    assert sources.class_names(of(f"hfds/{rows}")) == ["ant", "bee", "cat"]
    rows.rename(rows.parent / "away")
    monkeypatch.chdir(rows.parent)
    check_splits("hfds/made")


def test_hugging_face_is_not_asked_over_the_network(rows, monkeypatch):
    """A name that is not in the cache is an error that names it, and the package is left as it was."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(DataError, match="cannot read the split 'train' of hfds/nobody/nothing"):
        sources.load(of("hfds/nobody/nothing"))
    assert datasets.config.HF_HUB_OFFLINE is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_split": None}, "test_split is null: write there what the source calls it"),
        ({"test_split": "train"}, "are both train"),
        ({"train_split": "train[:50%]"}, "train_split must be a whole split"),
        ({"test_split": "train+test"}, "test_split must be a whole split"),
        ({"test_split": "dev"}, "cannot read the split 'dev'"),
        ({"train_split": "all"}, "train_split is all, which is every split"),
        ({"classes": 4}, "classes is 4, but .* has 3"),
        ({"channels": 2}, r"must be 1 \(gray\) or 3 \(RGB\) for hfds"),
    ],
)
def test_the_impossible_is_refused(rows, changes, message):
    """What cannot be is one DataError that names the field."""
    with pytest.raises(DataError, match=message):
        sources.load(of(f"hfds/{rows}", **changes))


def test_labels_that_are_no_numbers_are_told(rows, monkeypatch):
    """A column of words is a DataError that names it."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    for split in ("train", "test"):
        table = {"image": [{"bytes": encoded(gray), "path": None} for gray in range(3)], "label": ["ant", "bee", "cat"]}
        datasets.Dataset.from_dict(table, features=features).to_parquet(rows / f"{split}.parquet")
    with pytest.raises(DataError, match=r"the column .label. .* does not hold the numbers of classes"):
        sources.load(of(f"hfds/{rows}"))


class Builder:
    """Stands in for a builder of TensorFlow Datasets: encoded examples in the order of the files."""

    def __init__(self) -> None:
        self.info = types.SimpleNamespace(full_name="made/1.0.0")

    def as_dataset(self, split: str, shuffle_files: bool, decoders: dict[str, str], read_config: int):
        assert (shuffle_files, decoders, read_config) == (False, {"image": "skip"}, 1)
        for gray in range(12) if split == "train" else range(100, 106):
            yield {"image": encoded(gray), "label": np.int64((gray - gray // 100 * 100) % 3)}


def test_tensorflow_datasets(monkeypatch):
    """Encoded examples are asked for unshuffled and file by file, and packed; as many as the builder states."""
    tfds = types.ModuleType("tensorflow_datasets")
    tfds.as_numpy = lambda examples: examples
    tfds.decode = types.SimpleNamespace(SkipDecoding=lambda: "skip")
    tfds.ReadConfig = lambda interleave_cycle_length: interleave_cycle_length
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", tfds)
    counts = {"train": 12, "test": 6}

    def create_reader(name: str, root: None, split: str) -> types.SimpleNamespace:
        assert (name, root) == ("tfds/made", None)
        return types.SimpleNamespace(
            builder=Builder(), input_key="image", target_key="label", num_samples=counts[split],
            class_to_idx={"ant": 0, "bee": 1, "cat": 2},
        )  # fmt: skip

    monkeypatch.setattr("timm.data.readers.create_reader", create_reader)
    check_splits("tfds/made")
    assert sources.class_names(of("tfds/made")) == ["ant", "bee", "cat"]
    counts["test"] = 7
    with pytest.raises(DataError, match="has 6 images, but should have 7"):
        sources.load(of("tfds/made"))
