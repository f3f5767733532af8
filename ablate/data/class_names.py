"""What the classes of a data source are called, without reading its images and without torch.

Of a folder it is its folders' names; other sources keep the names in a small file beside their images.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path

from ablate.data.listing import folders_in
from ablate.data.plain_pickle import read_plain
from ablate.places import cifar_files, imagenet_root, named, tfds_folder
from ablate.recipe import Data

#: Beside Kaggle's `ILSVRC`: a line for each class, its WordNet id and, after a space, words for it.
_WORDS = "LOC_synset_mapping.txt"
#: Beside shards: a line for each class, as in the data sets of CLIP Benchmark (https://huggingface.co/clip-benchmark).
_CLASSNAMES = "classnames.txt"
#: CIFAR -> the file of its binary version, that of the python version, and the key of the names in the latter
#: (https://www.cs.toronto.edu/~kriz/cifar.html).
_CIFAR = {
    "cifar10": ("batches.meta.txt", "batches.meta", b"label_names"),
    "cifar100": ("fine_label_names.txt", "meta", b"fine_label_names"),
}


def names_here(data: Data) -> list[str] | None:
    """A name for each class, in the order of their labels; None where the source has none, or is not on this machine.

    None as well where the source names more classes than the Recipe has, since those without an image may have been
    left out (`data.faulty`) and the rest numbered anew.
    """
    read = _NAMES.get(data.kind)
    if read is None:
        return None
    try:
        names = read(data)
    except OSError:  # the folder went away, or may not be read: a report does without
        return None
    # Folders may have names that no encoding explains; a report must be able to write them.
    names = [name.encode("utf-8", "replace").decode("utf-8") for name in names]
    return names if len(names) == data.classes else None


def _of_folders(data: Data) -> list[str]:
    location = data.location()
    assert location is not None  # its kind has one
    return folders_in(location / data.train_split)


def _of_imagenet(data: Data) -> list[str]:
    """WordNet ids, each with its first word where Kaggle's list is there: `n01440764 tench`."""
    location = data.location()
    assert location is not None
    ids = folders_in(imagenet_root(location) / data.train_split)
    words = dict(re.findall(r"^(\S+) ([^,]+)", "\n".join(_lines(location / _WORDS)), re.MULTILINE))
    return [f"{name} {words[name].strip()}" if name in words else name for name in ids]


def _of_cifar(data: Data) -> list[str]:
    location = data.location()
    files = None if location is None else cifar_files(data.kind, location)
    return [] if files is None else cifar_names(data.kind, files.folder)


def cifar_names(kind: str, folder: Path) -> list[str]:
    """The names of CIFAR's classes from its own file in ``folder``; none where it is missing or damaged."""
    text, pickled, key = _CIFAR[kind]
    if (folder / text).is_file():
        return _lines(folder / text)
    if not (folder / pickled).is_file():
        return []
    try:
        return [bytes(name).decode() for name in read_plain(folder / pickled)[key]]
    except Exception:  # noqa: BLE001 - a damaged pickle raises anything, and images can be read without it
        return []


def _of_shards(data: Data) -> list[str]:
    return _lines(named(data.source) / _CLASSNAMES)


def _of_tfds(data: Data) -> list[str]:
    """`label.labels.txt`, which TensorFlow Datasets writes into the folder of each version that it keeps."""
    folder = tfds_folder(data.source)
    found = {tuple(_lines(path)) for path in folder.rglob("label.labels.txt")} if folder.is_dir() else set()
    return list(found.pop()) if len(found) == 1 else []


def _of_hugging_face(data: Data) -> list[str]:
    """`ClassLabel.names` of the column `label`, as the local cache describes the data set; nothing is fetched."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        return []
    path, name = named(data.source), data.source.partition("/")[2]
    online, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, True
    try:
        features = datasets.load_dataset_builder(str(path) if path.is_dir() else name).info.features
    except Exception:  # noqa: BLE001 - whatever it lacks, it is not here
        return []
    finally:
        datasets.config.HF_HUB_OFFLINE = online
    return list(getattr((features or {}).get("label"), "names", None) or [])


def _lines(path: Path) -> list[str]:
    """The lines of a text that are not empty; none where there is no such file."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


#: Kind of source -> the names of its classes, none where they are not known. Digits are called what they are.
_NAMES: dict[str, Callable[[Data], list[str]]] = {
    "imagefolder": _of_folders,
    "imagenet": _of_imagenet,
    "cifar10": _of_cifar,
    "cifar100": _of_cifar,
    "wds": _of_shards,
    "tfds": _of_tfds,
    "hfds": _of_hugging_face,
}
