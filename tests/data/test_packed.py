"""Packing a stream: what went in comes out in any order, from threads and other processes, and damage is noticed."""

from __future__ import annotations

import io
import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ablate.data.errors import DataError
from ablate.data.folder import FolderImages
from ablate.data.packed import Encoded, Packed, packed
from ablate.data.parts import Parts

images = st.lists(
    st.builds(Encoded, st.text(max_size=8), st.integers(0, 2**40), st.binary(min_size=1, max_size=60)),
    min_size=1,
    max_size=20,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path))
    return tmp_path / "packed"


class Stream:
    """Twelve images of other sizes, counting how often they are read."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.read = 0
        self.shown = [rng.integers(0, 256, (8 + k, 20 - k, 3), dtype=np.uint8) for k in range(12)]

    def __call__(self) -> Iterator[Encoded]:
        self.read += 1
        for k, pixels in enumerate(self.shown):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            yield Encoded(f"image {k}", k % 3, file.getvalue())


@settings(max_examples=20, deadline=None)
@given(stream=images)
def test_what_went_in_comes_out(stream):
    """Bytes, labels and names, in the stream's order, whatever they are."""
    found = packed(repr(stream), lambda: stream)
    assert found.labels.tolist() == [image.label for image in stream]
    assert [found.content(k) for k in range(len(found))] == [image.content for image in stream]
    assert [found.name(k) for k in range(len(found))] == [image.name for image in stream]


def test_a_stream_is_read_once():
    """The next who asks gets the file; another key is another stream."""
    stream = Stream()
    packed("a", stream)
    packed("a", stream)
    assert stream.read == 1
    packed("b", stream)
    assert stream.read == 2


def test_images_are_decoded_as_files_are():
    """FolderImages takes packed images in any order, from threads, and gives what PIL gives of the original."""
    stream = Stream()
    parts = Parts(packed("a", stream)).at(np.array([7, 2, 11]))
    none = np.zeros(3, dtype=np.int64)
    files = FolderImages(parts, none, none, 3, 8, 8)
    assert files.sizes(torch.arange(3)).tolist() == [[15, 13], [10, 18], [19, 9]]
    boxes = np.array([[1, 1, 8, 8], [0, 2, 8, 8], [3, 0, 8, 8]])
    found = files.images(torch.arange(3), boxes).permute(0, 2, 3, 1).numpy()
    for image, k, (top, left, _, _) in zip(found, (7, 2, 11), boxes, strict=True):
        assert np.array_equal(image, stream.shown[k][top : top + 8, left : left + 8])


def test_an_image_that_cannot_be_decoded_has_its_name():
    """The stream's name for it stands in the error."""
    parts = Parts(packed("a", lambda: [Encoded("n01 of shard-3.tar", 0, b"no image")]))
    none = np.zeros(1, dtype=np.int64)
    with pytest.raises(DataError, match=r"cannot read the image n01 of shard-3\.tar"):
        FolderImages(parts, none, none, 3, 8, 8).images(torch.arange(1))


def test_threads_and_processes_read_the_same():
    """From eight threads, after a pickle and in a spawned process, every image is itself."""
    found = packed("a", Stream())
    whole = [found.content(k) for k in range(12)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(found.content, list(range(12)) * 20)) == whole * 20
    assert [pickle.loads(pickle.dumps(found)).content(k) for k in range(12)] == whole
    with multiprocessing.get_context("spawn").Pool(1) as process:
        assert process.map(found.content, range(12)) == whole


def rewritten(path: Path, change) -> None:
    content = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(content)))


def flipped(place: int):
    def change(content: bytearray) -> bytearray:
        content[place] ^= 1
        return content

    return change


@pytest.mark.parametrize(
    "change",
    [lambda c: b"", lambda c: c[:40], lambda c: c[:-1], lambda c: c[1:], flipped(-1), flipped(-20), flipped(-100)],
    ids=["empty", "cut", "last byte", "first byte", "footer", "key", "index"],
)
def test_a_damaged_file_is_built_anew(cache, change):
    """Cut short anywhere, or changed in footer or index, it is not used."""
    stream = Stream()
    before = packed("a", stream)
    whole = [before.content(k) for k in range(12)]
    rewritten(before.path, change)
    after = packed("a", stream)
    assert stream.read == 2
    assert [after.content(k) for k in range(12)] == whole


def test_another_keys_file_is_not_used(cache):
    """A file under the right name with another footer is no answer."""
    stream = Stream()
    one, other = packed("a", stream), packed("b", lambda: [Encoded("x", 0, b"x")])
    other.path.write_bytes(one.path.read_bytes())
    assert len(packed("b", lambda: [Encoded("x", 0, b"x")])) == 1


def test_a_damaged_image_is_told():
    """A byte changed among the images is noticed when the image is read."""
    found = packed("a", Stream())
    rewritten(found.path, flipped(10))
    again = Packed(found.path, "a")
    assert again.content(1) == found.content(1)
    with pytest.raises(DataError, match="damaged at image 0; delete it"):
        again.content(0)


def test_a_stream_that_breaks_off_leaves_nothing(cache):
    """What was packed until then is not taken for the whole, and the next attempt starts anew."""

    def breaking() -> Iterator[Encoded]:
        yield Encoded("x", 0, b"x")
        raise DataError("the shard is gone")

    with pytest.raises(DataError, match="the shard is gone"):
        packed("a", breaking)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert len(packed("a", Stream())) == 12


def test_what_cannot_be_packed_is_told(tmp_path, monkeypatch):
    """An empty stream, and a cache folder that cannot be one."""
    with pytest.raises(DataError, match="holds no images"):
        packed("a", list)
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "taken"))
    with pytest.raises(DataError, match="set ABLATE_CACHE"):
        packed("a", Stream())


def _pack(number: int) -> int:
    stream = Stream()
    packed("shared", stream)
    return stream.read


def test_of_several_processes_one_packs():
    """The others wait for it and read what it wrote."""
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert sum(pool.map(_pack, range(6), chunksize=1)) == 1
