"""Where the files of a data source lie on this machine, told by their names alone and without torch.

Both who reads the images (`ablate.data`) and who takes their fingerprint (`ablate.study`) ask here, so that they
look at the same files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LABELS_OF_VAL = "LOC_val_solution.csv"
"""Kaggle's file of ImageNet's validation labels, beside `ILSVRC` or beside the folder of the images."""
_KAGGLE = Path("ILSVRC/Data/CLS-LOC")


@dataclass(frozen=True)
class CifarFiles:
    """The files of one version of CIFAR."""

    folder: Path
    binary: bool
    """Bytes one after another; else pickled arrays, the "python version"."""
    train: tuple[str, ...]
    test: tuple[str, ...]

    def missing(self) -> list[str]:
        """Names of the files that are not there."""
        return [name for name in self.train + self.test if not (self.folder / name).is_file()]


#: Source -> what the versions of CIFAR are called once unpacked (https://www.cs.toronto.edu/~kriz/cifar.html), the
#: first that is there being read: folder, whether it is binary, training files, test files.
CIFAR: dict[str, tuple[tuple[str, bool, tuple[str, ...], tuple[str, ...]], ...]] = {
    "cifar10": (
        ("cifar-10-batches-bin", True, tuple(f"data_batch_{k}.bin" for k in range(1, 6)), ("test_batch.bin",)),
        ("cifar-10-batches-py", False, tuple(f"data_batch_{k}" for k in range(1, 6)), ("test_batch",)),
    ),
    "cifar100": (
        ("cifar-100-binary", True, ("train.bin",), ("test.bin",)),
        ("cifar-100-python", False, ("train",), ("test",)),
    ),
}


def cifar_files(kind: str, location: Path) -> CifarFiles | None:
    """The version of CIFAR in ``location``, which is its folder or the one above it; None where there is none."""
    for name, binary, train, test in CIFAR[kind]:
        for folder in (location / name, location):
            if any((folder / file).is_file() for file in train + test):
                return CifarFiles(folder, binary, train, test)
    return None


def imagenet_root(location: Path) -> Path:
    """The folder of ImageNet's splits: ``location``, or in Kaggle's layout `ILSVRC/Data/CLS-LOC` below it."""
    kaggle = location / _KAGGLE
    return kaggle if kaggle.is_dir() and not (location / "train").is_dir() else location


def data_path(path: str) -> Path:
    """A path as studies write it: a relative one starts at `$ABLATE_DATA`, or at the working folder without that."""
    return Path(os.environ.get("ABLATE_DATA", "."), path)


def named(source: str) -> Path:
    """What a source of one of timm's readers calls, as a path: `wds/PATH` starts at `$ABLATE_DATA` if relative."""
    return data_path(source.partition("/")[2])


def tfds_folder(source: str) -> Path:
    """Where tensorflow_datasets keeps what `tfds/NAME` names: below `$TFDS_DATA_DIR` or `~/tensorflow_datasets`."""
    home = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(home).expanduser() / source.partition("/")[2].replace(":", "/")


def cache_folder() -> Path:
    """Where what was found out about data is kept: `$ABLATE_CACHE`, or `~/.cache/ablate`."""
    return Path(os.environ.get("ABLATE_CACHE") or "~/.cache/ablate").expanduser()
