"""Where sources lie: the user's folders, those of other packages, and ablate's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.places import cache_folder, cifar_files, imagenet_root, named, tfds_folder


def test_the_first_version_of_cifar_that_is_there_is_read(tmp_path: Path) -> None:
    """The binary one before the pickled one, below the folder or in it, and what it lacks is told."""
    assert cifar_files("cifar10", tmp_path) is None
    for folder, name in (("cifar-10-batches-py", "data_batch_1"), ("cifar-10-batches-bin", "data_batch_2.bin")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
        for place in (tmp_path, tmp_path / folder):
            files = cifar_files("cifar10", place)
            assert files is not None
            assert files.folder == tmp_path / folder
            assert name not in files.missing()
            assert len(files.missing()) == 5
    assert cifar_files("cifar100", tmp_path) is None


def test_kaggles_imagenet_lies_deeper(tmp_path: Path) -> None:
    """Below ILSVRC, unless train/ stands beside it."""
    assert imagenet_root(tmp_path) == tmp_path
    deep = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    deep.mkdir(parents=True)
    assert imagenet_root(tmp_path) == deep
    (tmp_path / "train").mkdir()
    assert imagenet_root(tmp_path) == tmp_path


def test_folders_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`$ABLATE_DATA`, `$TFDS_DATA_DIR` and `$ABLATE_CACHE` where they are set, and the home folder else."""
    for name in ("ABLATE_DATA", "TFDS_DATA_DIR", "ABLATE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert named("wds/a/b") == Path("a/b")
    assert named("wds//a/b") == Path("/a/b")
    assert tfds_folder("tfds/made:1.0.0") == Path("/home/somebody/tensorflow_datasets/made/1.0.0")
    assert cache_folder() == Path("/home/somebody/.cache/ablate")
    for name in ("ABLATE_DATA", "TFDS_DATA_DIR", "ABLATE_CACHE"):
        monkeypatch.setenv(name, f"/{name}")
    assert named("wds/a/b") == Path("/ABLATE_DATA/a/b")
    assert tfds_folder("tfds/made/config") == Path("/TFDS_DATA_DIR/made/config")
    assert cache_folder() == Path("/ABLATE_CACHE")
