"""Encoded images of WebDataset's and TensorFlow Datasets' files, in the files' order, packed for random access."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablate.data.cache_files import stamp_of
from ablate.data.errors import DataError
from ablate.data.packed import Encoded, Packed, packed
from ablate.places import tfds_folder

_NAME = re.compile(r"((?:.*/|)[^./]+)[.]([^/]*)")
"""Of a file in a shard: what it shares with the other files of its sample, and which of them it is."""


def wds_shards(reader: Any, folder: Path) -> list[str]:
    """The tar files of the split that timm's `ReaderWds` found, in its order."""
    return [str((folder / name).resolve()) for name in reader.split_info.filenames]


def wds_images(reader: Any, folder: Path, split: str) -> Packed:
    """The split of timm's ``reader``, without its shuffling and decoding.

    Raises `DataError` for a shard that is missing or cut short, a sample without image or class, and for another
    number of samples than the folder's `_info.json` or `info.json` states.
    """
    shards = wds_shards(reader, folder)
    key = f"wds\n{reader.split_info.alt_label}\n{stamp_of([Path(shard) for shard in shards])}"
    found = packed(key, lambda: _samples(shards, reader.input_key.split(";"), reader.split_info.alt_label))
    expected = reader.split_info.num_samples
    if expected and len(found) != expected:
        raise DataError(f"split {split!r} in {folder} has {len(found)} samples, but is said to have {expected}")
    return found


def _samples(shards: list[str], image_keys: list[str], label_key: str) -> Iterator[Encoded]:
    for shard in shards:
        try:
            with tarfile.open(shard, "r|*") as tar:
                for name, sample in _grouped(tar):
                    content = next((sample[key] for key in image_keys if key in sample), None)
                    label = _label(sample, label_key)
                    if content is None or label is None:
                        wanted = f".{', .'.join(image_keys)}, and a class in .{'json' if label_key else 'cls'}"
                        raise DataError(f"the sample {name} of {shard} must have an image in {wanted}")
                    if label >= 0:  # as timm does: a negative class means that the image is not to be used
                        yield Encoded(f"{name} of {shard}", label, content)
        except (OSError, tarfile.TarError, EOFError) as error:
            raise DataError(f"cannot read the shard {shard}: {error}") from error


def _grouped(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a shard: neighbouring files with one name up to its first dot, by what comes after it.

    So WebDataset defines them. Its own reader is not used, as it leaves the shards open.
    """
    for name, files in itertools.groupby(_files_of(tar), key=lambda file: file[0]):
        yield name, {suffix.lower(): content for _, suffix, content in files}


def _files_of(tar: tarfile.TarFile) -> Iterator[tuple[str, str, bytes]]:
    for member in tar:
        parts, file = _NAME.fullmatch(member.name), tar.extractfile(member)
        if parts is not None and file is not None:
            yield parts[1], parts[2], file.read()


def _label(sample: dict[str, bytes], key: str) -> int | None:
    try:
        return int(json.loads(sample["json"])[key] if key else sample["cls"])
    except (KeyError, ValueError, TypeError):
        return None


def tfds_images(reader: Any, source: str, split: str) -> Packed:
    """The split of timm's ``reader``, the encoded images of which are not decoded, shuffled or interleaved."""
    builder = reader.builder
    key = f"tfds\n{builder.info.full_name}\n{split}\n{stamp_of(_files(tfds_folder(source)))}"

    def stream() -> Iterator[Encoded]:
        tfds = importlib.import_module("tensorflow_datasets")
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders={reader.input_key: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        for number, example in enumerate(tfds.as_numpy(examples)):
            label = int(example[reader.target_key])
            yield Encoded(f"image {number} of {source}, split {split}", label, bytes(example[reader.input_key]))

    found = packed(key, stream)
    if len(found) != reader.num_samples:
        raise DataError(f"split {split!r} of {source} has {len(found)} images, but should have {reader.num_samples}")
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
