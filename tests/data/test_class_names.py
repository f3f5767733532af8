"""What classes are called, told from small files and folders' names, with no image read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.data.class_names import names_here
from ablate.recipe import Data

NAMES = ["ant", "bee", "cat"]


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))


def of(source: str, classes: int = 3, **changes: object) -> Data:
    fields = {
        "source": source, "image_size": 8, "channels": 3, "classes": classes, "mean": 0.5, "std": 0.5, "eval_resize": 8,
        "test_split": "test", "test_fraction": 0.0, "val_fraction": 0.25, "split_seed": 0, "evaluate_on": "test",
    }  # fmt: skip
    return Data.model_validate(fields | changes)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_folder_is_named_by_its_folders(tmp_path: Path) -> None:
    """In the order of their labels, hidden ones aside, of the training split; the files in them need not be images."""
    for name in ("cat", "ant", "bee", ".cache"):
        write(tmp_path / "photos/train" / name / "0.png", "no image")
    assert names_here(of("imagefolder:photos")) == NAMES
    assert names_here(of("imagefolder:photos", train_split="test")) is None


def test_names_can_always_be_written(tmp_path: Path) -> None:
    """A folder whose name is no UTF-8 has one with a question mark; a mark of the byte order is no part of a name."""
    for name in (b"ant", b"bee", b"caf\xe9"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/photos/train/" + name))
        folder.mkdir(parents=True)
        (folder / "0.png").touch()
    assert names_here(of("imagefolder:photos")) == ["ant", "bee", "caf?"]
    write(tmp_path / "shards/classnames.txt", "\ufeff" + "\n".join(NAMES))
    assert names_here(of("wds/shards")) == NAMES


def test_classes_that_were_left_out_leave_no_names(tmp_path: Path) -> None:
    """Where the Recipe has fewer classes than there are folders, the rest was numbered anew: nothing is guessed."""
    for name in NAMES:
        write(tmp_path / "photos/train" / name / "0.png", "")
    assert names_here(of("imagefolder:photos", classes=2, faulty="skip")) is None


@pytest.mark.parametrize("root", ["imagenet", "imagenet/ILSVRC/Data/CLS-LOC"])
def test_imagenet_has_words_beside_its_ids(root: str, tmp_path: Path) -> None:
    """The first of Kaggle's words where its list is there, else the id alone."""
    for name in ("n01", "n02", "n03"):
        (tmp_path / root / "train" / name).mkdir(parents=True)
    assert names_here(of("imagenet:imagenet")) == ["n01", "n02", "n03"]
    write(tmp_path / "imagenet/LOC_synset_mapping.txt", "n01 tench, Tinca tinca\nn03 great white shark, man-eater\n")
    assert names_here(of("imagenet:imagenet")) == ["n01 tench", "n02", "n03 great white shark"]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(("kind", "count"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_has_a_file_of_names(kind: str, count: int, binary: bool, tmp_path: Path) -> None:
    """Of either version; a pickle that asks for more than plain values is not followed."""
    names = [f"thing_{i}" for i in range(count)]
    folder = tmp_path / "cifar"
    if binary:
        write(folder / ("test_batch.bin" if kind == "cifar10" else "test.bin"), "")
        write(
            folder / ("batches.meta.txt" if kind == "cifar10" else "fine_label_names.txt"), "\n".join([*names, "", ""])
        )
        assert names_here(of(f"{kind}:cifar", count)) == names
        return
    write(folder / ("test_batch" if kind == "cifar10" else "test"), "")
    meta, key = ("batches.meta", b"label_names") if kind == "cifar10" else ("meta", b"fine_label_names")
    (folder / meta).write_bytes(pickle.dumps({key: [name.encode() for name in names]}, protocol=2))
    assert names_here(of(f"{kind}:cifar", count)) == names
    (folder / meta).write_bytes(pickle.dumps({key: [Path("x")] * count}, protocol=2))
    assert names_here(of(f"{kind}:cifar", count)) is None


def test_shards_may_have_a_list_of_names(tmp_path: Path) -> None:
    """`classnames.txt` beside the shards, a line for each class."""
    assert names_here(of("wds/shards")) is None
    write(tmp_path / "shards/classnames.txt", "ant\nbee\ncat\n")
    assert names_here(of("wds/shards")) == NAMES
    assert names_here(of("wds/shards", classes=4)) is None


def test_tensorflow_datasets_keeps_names_with_each_version(tmp_path: Path) -> None:
    """Read without TensorFlow; versions that differ tell nothing."""
    assert names_here(of("tfds/made")) is None
    for version in ("1.0.0", "1.1.0"):
        write(tmp_path / "tfds/made" / version / "label.labels.txt", "ant\nbee\ncat\n")
    assert names_here(of("tfds/made")) == NAMES
    write(tmp_path / "tfds/made/2.0.0/label.labels.txt", "bee\nant\ncat\n")
    assert names_here(of("tfds/made")) is None


def test_hugging_face_has_names_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a data set that was read before, by its folder and, once that is gone, by its name; else none, offline."""
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    datasets.disable_progress_bars()
    features = datasets.Features({"image": datasets.Value("int64"), "label": datasets.ClassLabel(names=NAMES)})
    made = datasets.Dataset.from_dict({"image": [1, 2, 3], "label": [0, 1, 2]}, features=features)
    made.to_parquet(tmp_path / "made" / "train.parquet")
    datasets.load_dataset(str(tmp_path / "made"))
    assert names_here(of("hfds/made")) == NAMES
    (tmp_path / "made").rename(tmp_path / "away")
    monkeypatch.chdir(tmp_path)
    assert names_here(of("hfds/made")) == NAMES
    assert names_here(of("hfds/nobody/nothing")) is None
    assert datasets.config.HF_HUB_OFFLINE is False


@pytest.mark.parametrize("source", ["imagefolder:/nowhere", "imagenet:nowhere", "cifar10:nowhere", "wds/no", "tfds/no"])
def test_what_is_not_here_has_no_names(source: str) -> None:
    """A report is made where the data are not: the numbers stay."""
    assert names_here(of(source)) is None


def test_digits_are_called_what_they_are() -> None:
    """Packaged sources have no other names than their numbers."""
    fields = {"test_split": None, "test_fraction": 0.25, "channels": 1}
    assert names_here(of("digits", classes=10, **fields)) is None
    assert names_here(of("mnist5k", classes=10, **fields)) is None


def test_names_and_packaged_pictures_import_no_torch() -> None:
    """A report that shows digits and the names of classes does without torch."""
    code = (
        "import sys; from ablate.pictures import class_names, pictures; data = dict(source='digits', image_size=8, "
        "channels=1, classes=10, mean=0.5, std=0.5, test_fraction=0.25, val_fraction=0.1, split_seed=0, "
        "evaluate_on='test', eval_resize=8); from ablate.data.splits import held_out; from ablate.recipe import Data; "
        "from ablate.data.packaged import PACKAGED; import numpy as np; labels = PACKAGED['digits']()[1]; "
        "test, _ = held_out(Data(**data), labels, np.arange(len(labels))); index = int(np.flatnonzero(test)[0]); "
        "print(class_names({'data': data}), len(pictures({'data': data}, [index])), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["None", "1", "False"]
