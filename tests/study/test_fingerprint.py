"""Fingerprints of data: what is there counts, when it was touched does not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ablate.study.fingerprint import ABSENT, PACKAGED, fingerprint


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of classes with three files."""
    root = tmp_path / "images"
    for name in ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def _of(root: Path, cache: Path | None = None) -> str:
    return fingerprint(f"imagefolder:{root}", root, cache)


def test_adding_renaming_resizing_and_removing_change_it(images: Path) -> None:
    """Each gives another fingerprint, and undoing all of it the first."""
    seen = [_of(images)]
    (images / "train/cat/4.png").write_bytes(b"4")
    seen.append(_of(images))
    (images / "train/cat/4.png").rename(images / "train/dog/4.png")
    seen.append(_of(images))
    (images / "train/dog/4.png").write_bytes(b"44")
    seen.append(_of(images))
    (images / "val/cat/3.png").unlink()
    seen.append(_of(images))
    assert len(set(seen)) == len(seen)
    (images / "train/dog/4.png").unlink()
    (images / "val/cat/3.png").write_bytes(b"val/cat/3.png")
    assert _of(images) == seen[0]


def test_times_and_places_do_not_count(images: Path, tmp_path: Path) -> None:
    """Touched, or moved as a whole, the data are the same."""
    before = _of(images)
    os.utime(images / "train/cat/1.png", (1, 1))
    os.utime(images / "train", (1, 1))
    assert _of(images) == before
    assert _of(images.rename(tmp_path / "elsewhere")) == before


def test_hidden_files_do_not_count(images: Path) -> None:
    """What a desktop or a network file system leaves behind is no data."""
    before = _of(images)
    (images / "train/.DS_Store").write_bytes(b"x")
    (images / ".cache").mkdir()
    (images / ".cache/x.png").write_bytes(b"x")
    assert _of(images) == before


def test_links_are_followed_and_may_lead_back(images: Path, tmp_path: Path) -> None:
    """Data sets are often folders of links; a loop ends, and a broken link is not an error."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("train", "val"):
        (linked / name).symlink_to(images / name)
    assert _of(linked) == _of(images)
    before = _of(images)
    (images / "train/back").symlink_to(images)
    assert _of(images) == before
    (images / "train/gone.png").symlink_to(images / "nowhere.png")
    assert _of(images) != before


def test_the_cache_answers_until_a_folder_changes(images: Path, tmp_path: Path) -> None:
    """While no folder changed, the digest kept is the answer; afterwards it is taken anew and kept."""
    cache = tmp_path / "fingerprints.json"
    first = _of(images, cache)
    kept = json.loads(cache.read_text())
    kept[str(images)]["digest"] = "from the cache"
    cache.write_text(json.dumps(kept))
    assert _of(images, cache) == "from the cache"
    (images / "train/cat/4.png").write_bytes(b"4")
    assert _of(images, cache) == _of(images) != first


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ROOT": 3}', '{"ROOT": {"stamp": 1}}'])
def test_a_torn_cache_is_written_anew(images: Path, tmp_path: Path, content: str) -> None:
    """It only saves time: whatever is in it, the fingerprint is right."""
    cache = tmp_path / "fingerprints.json"
    cache.write_text(content.replace("ROOT", str(images)))
    assert _of(images, cache) == _of(images)
    assert json.loads(cache.read_text())[str(images)]["digest"] == _of(images)


def test_a_cache_that_cannot_be_written_is_done_without(images: Path, tmp_path: Path) -> None:
    """A folder in its place, or none above it, is not an error."""
    (tmp_path / "taken.json").mkdir()
    assert _of(images, tmp_path / "taken.json") == _of(images)
    assert _of(images, tmp_path / "none" / "cache.json") == _of(images)


def test_a_folder_that_is_not_here_is_absent(tmp_path: Path) -> None:
    """Such a study can be planned."""
    assert _of(tmp_path / "nowhere") == ABSENT


def _cifar(place: Path, folder: str, files: list[str]) -> Path:
    (place / folder).mkdir(parents=True)
    for name in files:
        (place / folder / name).write_bytes(name.encode())
    return place


@pytest.mark.parametrize(
    ("kind", "folder", "files"),
    [
        ("cifar10", "cifar-10-batches-bin", [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]),
        ("cifar10", "cifar-10-batches-py", [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]),
        ("cifar100", "cifar-100-binary", ["train.bin", "test.bin"]),
        ("cifar100", "cifar-100-python", ["train", "test"]),
    ],
)
def test_cifar_is_the_bytes_that_are_read(tmp_path: Path, kind: str, folder: str, files: list[str]) -> None:
    """Every batch counts by content, nothing beside them does, nor does whether PATH is the folder itself."""
    place, cache = _cifar(tmp_path / "here", folder, files), tmp_path / "fingerprints.json"

    def of(where: Path) -> str:
        return fingerprint(f"{kind}:{where}", where, cache)

    first = of(place)
    assert len(first) == 16
    (place / folder / "readme.html").write_bytes(b"new")
    assert of(place / folder) == first
    assert of(_cifar(tmp_path / "there", folder, files)) == first
    seen = {first}
    for name in files:
        before = (place / folder / name).stat()
        (place / folder / name).write_bytes(name.encode()[::-1])
        os.utime(place / folder / name, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        seen.add(of(place))
    assert len(seen) == len(files) + 1
    (place / folder / files[0]).unlink()
    assert of(place) == ABSENT
    assert of(tmp_path) == ABSENT


def test_contents_are_read_once(tmp_path: Path) -> None:
    """As long as no file has another size or time, the cache answers."""
    place = _cifar(tmp_path / "here", "cifar-100-binary", ["train.bin", "test.bin"])
    cache = tmp_path / "fingerprints.json"
    fingerprint(f"cifar100:{place}", place, cache)
    (entry,) = kept = json.loads(cache.read_text())
    kept[entry]["digest"] = "from the cache"
    cache.write_text(json.dumps(kept))
    assert fingerprint(f"cifar100:{place}", place, cache) == "from the cache"


def test_imagenets_labels_count_by_content(images: Path, tmp_path: Path) -> None:
    """Kaggle's CSV changed in place to the same size is other data; without it a folder is as any."""
    cache = tmp_path / "fingerprints.json"

    def of() -> str:
        return fingerprint(f"imagenet:{images}", images, cache)

    assert of() == _of(images)
    answers = images / "LOC_val_solution.csv"
    answers.write_text("ImageId,PredictionString\na,n01 1 2 3 4\n")
    first = of()
    answers.write_text("ImageId,PredictionString\na,n02 1 2 3 4\n")
    os.utime(answers, (1, 1))
    assert of() != first


def test_of_kaggles_folder_the_images_count(images: Path, tmp_path: Path) -> None:
    """What lies beside them in the archive does not."""
    place = tmp_path / "kaggle" / "ILSVRC" / "Data"
    place.mkdir(parents=True)
    images.rename(place / "CLS-LOC")
    top = tmp_path / "kaggle"
    first = fingerprint(f"imagenet:{top}", top)
    (top / "ILSVRC" / "Annotations").mkdir()
    (top / "ILSVRC" / "Annotations" / "1.xml").write_bytes(b"box")
    assert fingerprint(f"imagenet:{top}", top) == first == _of(place / "CLS-LOC")


@pytest.mark.parametrize(
    ("source", "variable"), [("wds/made", "ABLATE_DATA"), ("hfds/made", "ABLATE_DATA"), ("tfds/made", "TFDS_DATA_DIR")]
)
def test_folders_of_other_formats_are_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, variable: str
) -> None:
    """Names and sizes, wherever the folder lies; without it the source is absent."""
    monkeypatch.setenv(variable, str(tmp_path))
    assert fingerprint(source, None) == ABSENT
    (tmp_path / "made" / "1.0.0").mkdir(parents=True)
    (tmp_path / "made" / "1.0.0" / "made-train-000.tar").write_bytes(b"12")
    first = fingerprint(source, None)
    assert first == _of(tmp_path / "made")
    (tmp_path / "made" / "1.0.0" / "made-train-000.tar").write_bytes(b"123")
    assert fingerprint(source, None) not in (first, ABSENT)


def test_hugging_faces_own_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a data set in the cache, those of all its splits count; one that is not there is absent, unasked for."""
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    datasets.disable_progress_bars()
    seen = []
    for values in ([1, 2], [1, 3]):
        for split in ("train", "test"):
            datasets.Dataset.from_dict({"label": values}).to_parquet(tmp_path / "made" / f"{split}.parquet")
        datasets.load_dataset(str(tmp_path / "made"))
        seen.append(fingerprint("hfds/made", None))
    assert len({*seen, ABSENT}) == 3
    assert fingerprint("hfds/made", None) == seen[-1]
    assert fingerprint("hfds/nobody/nothing", None) == ABSENT
    assert datasets.config.HF_HUB_OFFLINE is False
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert fingerprint("hfds/made", None) == ABSENT


@pytest.mark.parametrize("source", PACKAGED)
def test_packaged_data_are_here_and_differ(source: str) -> None:
    """Each is a digest of its file, and no two are one."""
    found = fingerprint(source, None)
    assert len(found) == 16
    assert [fingerprint(other, None) == found for other in PACKAGED].count(True) == 1
