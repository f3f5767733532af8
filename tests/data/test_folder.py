from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from ablate.data import sources
from ablate.data.area import centre_view
from ablate.data.batches import TrainBatches, eval_batches
from ablate.data.errors import DataError
from ablate.data.folder import FolderImages
from ablate.data.image_sets import ImageSet
from ablate.data.memory import MEMORY_VARIABLE
from ablate.data.reading import Reader, Request
from ablate.data.workers import WORKERS_VARIABLE
from ablate.recipe import Augment, Data, InceptionCrop, RandAugment

SHAPES = [(40, 60), (33, 21), (16, 16), (25, 90)]


def make_images(folder: Path, count: int, rng: np.random.Generator) -> None:
    """PNG and JPEG files, RGB, gray, with alpha and with a palette, of odd sizes."""
    folder.mkdir(parents=True)
    for k in range(count):
        height, width = SHAPES[k % len(SHAPES)]
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        mode = ("RGB", "L", "RGBA", "P")[k % 4]
        image.convert(mode).save(folder / (f"{k:03}.png" if mode != "L" else f"{k:03}.JPEG"))
    (folder / "notes.txt").write_text("no image")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for name in ("cat", "dog", "eel"):
            make_images(tmp_path / split / name, count, rng)
    return tmp_path


def data(place: Path, **changes: object) -> Data:
    fields = {
        "source": f"imagefolder:{place}", "image_size": 16, "channels": 3, "classes": 3, "mean": 0.5, "std": 0.5,
        "test_split": "val", "test_fraction": 0.0, "val_fraction": 0.25, "split_seed": 0, "evaluate_on": "test",
        "eval_resize": 20,
    }  # fmt: skip
    return Data(**{**fields, **changes})


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_sees_the_centre(place, channels):
    """Each test image is converted, and then its centre is seen as `centre_view` shows it."""
    held_out = sources.load(data(place, channels=channels)).held_out
    found = held_out.images(torch.arange(9))
    paths = sorted(p for p in (place / "val").glob("*/*") if p.suffix != ".txt")
    assert found.shape == (9, channels, 16, 16)
    for path, image in zip(paths, found, strict=True):
        source = Image.open(path).convert("RGB" if channels == 3 else "L")
        pixels = np.asarray(source).reshape(source.height, source.width, channels)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), centre_view(pixels, 20, 16))
    assert held_out.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3


def test_training_sees_the_box(place):
    """A crop is cut from the full image and only then resized: bilinear, half-pixel centres, no antialiasing.

    Within one level of torch's interpolation, truncated as TensorFlow does; with antialiasing it is tens away.
    """
    train = sources.load(data(place, val_fraction=0.0)).train
    sizes = train.sizes(torch.tensor([0, 3]))
    assert sizes.tolist() == [[40, 60], [25, 90]]
    found = train.images(torch.tensor([0, 3]), np.array([[4, 10, 30, 40], [0, 50, 25, 40]]))
    with Image.open(place / "train/cat/000.png") as source:
        region = torch.from_numpy(np.asarray(source).copy())[4:34, 10:50].permute(2, 0, 1)[None].float()
    expected = interpolate(region, (16, 16), mode="bilinear", align_corners=False, antialias=False)[0].floor()
    assert (found[0].float() - expected).abs().max() <= 1
    assert (found[0].float() - expected).abs().mean() < 0.02


def test_val_is_carved_from_train(place):
    """`val` is a share of each class of train/, disjoint from what is trained on; `test` is the folder's val/."""
    val, test = sources.load(data(place, evaluate_on="val")), sources.load(data(place))
    assert torch.bincount(val.held_out.labels).tolist() == [2, 2, 2]
    parts = [set(s.indices.tolist()) for s in (val.train, val.held_out, test.held_out)]
    assert set(test.train.indices.tolist()) == parts[0]
    assert [len(p) for p in parts] == [18, 6, 9]
    assert set.union(*parts) == set(range(33))


def test_relative_paths_start_at_the_data_folder(place, monkeypatch):
    """`imagefolder:NAME` is looked for in $ABLATE_DATA."""
    monkeypatch.setenv("ABLATE_DATA", str(place.parent))
    splits = sources.load(data(place, source=f"imagefolder:{place.name}"))
    assert len(splits.train) == 18


def test_batches_are_read_ahead_and_resume(place):
    """Decoded batches come in order, each epoch whole, and the same from any step on."""
    described = data(place)
    splits = sources.load(described)
    augment = Augment(crop=InceptionCrop(), flip=True, randaug="off", mixup="off")
    batches = TrainBatches(splits.train, augment, described, seed=0, batch_size=3)
    whole = list(batches.epoch(1))
    assert len(whole) == 6
    rest = list(batches.epoch(1, start=4))
    assert all(torch.equal(a.images, b.images) for a, b in zip(whole[4:], rest, strict=True))
    assert [i for b in eval_batches(splits.held_out, described, 4) for i in b.indices.tolist()] == list(range(24, 33))


def test_an_epoch_may_be_left_early(place):
    """A consumer that stops after one batch leaves no thread waiting."""
    described = data(place)
    augment = Augment(crop="off", flip=False, randaug="off", mixup="off")
    batches = TrainBatches(sources.load(described).train, augment, described, seed=0, batch_size=2)
    steps = batches.epoch(0)
    first = next(steps)
    steps.close()
    assert torch.equal(next(batches.epoch(0)).images, first.images)


@pytest.mark.parametrize("content", [b"", b"not an image at all", "cut"])
@pytest.mark.parametrize("crop", [InceptionCrop(), "off"])
def test_unreadable_images_are_named(place, content, crop):
    """A file that cannot be decoded ends the epoch with a DataError that names it."""
    broken = place / "train" / "dog" / "000.png"
    broken.write_bytes(broken.read_bytes()[:600] if content == "cut" else content)
    described = data(place, val_fraction=0.0)
    augment = Augment(crop=crop, flip=False, randaug="off", mixup="off")
    batches = TrainBatches(sources.load(described).train, augment, described, seed=0, batch_size=4)
    with pytest.raises(DataError, match=r"cannot read the image .*dog.*000\.png"):
        list(batches.epoch(0))


def test_sixteen_bit_images_are_refused(place):
    """Gray images of 16 bits would be clipped silently, so they are an error."""
    path = place / "val" / "cat" / "000.png"
    Image.fromarray(np.full((20, 20), 5000, dtype=np.uint16)).save(path)
    with pytest.raises(DataError, match="convert it to 8 bits"):
        list(eval_batches(sources.load(data(place)).held_out, data(place), 9))


def remove(path: Path) -> None:
    for child in path.iterdir():
        remove(child) if child.is_dir() else child.unlink()
    path.rmdir()


def test_missing_pieces_are_named(place):
    """A folder, a split, a class or an image that is missing is one DataError, and nothing stands in for it."""
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        sources.load(data(place / "nowhere"))
    (place / "val" / "fox").mkdir()
    with pytest.raises(DataError, match=r"the class .*fox has no images"):
        sources.load(data(place))
    make_images(place / "val" / "gnu", 1, np.random.default_rng(0))
    (place / "val" / "fox").rmdir()
    with pytest.raises(DataError, match="hold different classes: gnu"):
        sources.load(data(place))
    remove(place / "val")
    with pytest.raises(DataError, match=r"there is no folder .*val \(data\.test_split\)"):
        sources.load(data(place))
    remove(place / "train")
    with pytest.raises(DataError, match=r"there is no folder .*train"):
        sources.load(data(place))
    (place / "train").mkdir()
    with pytest.raises(DataError, match="holds no folders of classes"):
        sources.load(data(place))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 2}, r"must be 1 \(gray\) or 3 \(RGB\)"),
        ({"classes": 4}, "classes is 4"),
        ({"evaluate_on": "val", "val_fraction": 0.0}, "nothing is held out"),
        ({"evaluate_on": "val", "val_fraction": 0.01}, "val_fraction is so small"),
    ],
)
def test_the_impossible_is_refused(place, changes, message):
    """What cannot be is one DataError that names the field."""
    with pytest.raises(DataError, match=message):
        sources.load(data(place, **changes))


WAYS = [None, np.array([True, False] * 6)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bicubic", WAYS)
@pytest.mark.parametrize("budget_gb", ["0", "0.00002", "1"])
def test_keeping_images_changes_nothing(place, monkeypatch, channels, bicubic, budget_gb):
    """First read, read again, and never kept are the same bits, from every kind of file, kept in part or in full."""
    positions, boxes = torch.arange(12), np.tile([2, 1, 9, 13], (12, 1))
    monkeypatch.setenv(MEMORY_VARIABLE, "0")
    forgetful = sources.load(data(place, channels=channels)).train
    monkeypatch.setenv(MEMORY_VARIABLE, budget_gb)
    keeping = sources.load(data(place, channels=channels)).train
    for _ in range(2):
        for asked in ((positions, boxes, bicubic), (positions,)):
            assert torch.equal(keeping.images(*asked), forgetful.images(*asked))


def test_kept_images_are_not_read_again(place):
    """With room for all, the second epoch needs no file."""
    train = sources.load(data(place, channels=3)).train
    positions, boxes = torch.arange(18), np.tile([2, 1, 9, 13], (18, 1))
    train.sizes(positions)
    first, seen = train.images(positions, boxes), train.images(positions)
    remove(place / "train")
    assert torch.equal(train.images(positions, boxes), first)
    assert torch.equal(train.images(positions), seen)


def test_workers_keep_for_each_other_and_the_trainer(place):
    """What forked workers decoded in one epoch is there in the next, whichever worker gets it, and here."""
    train = sources.load(data(place, channels=3)).train
    boxes = np.tile([2, 1, 9, 13], (18, 1))
    reader = Reader(_Boxes(train, boxes), decodes=True, workers=2)
    requests = [Request(np.arange(k, k + 3)) for k in range(0, 18, 3)]
    first = list(reader(requests))
    remove(place / "train")
    again = list(reader(requests[::-1]))[::-1]
    reader.close()
    assert all(map(torch.equal, first, again))
    assert torch.equal(train.images(torch.arange(18), boxes), torch.cat(first))


@dataclass
class _Boxes:
    images: ImageSet
    boxes: np.ndarray

    def __call__(self, request: Request) -> torch.Tensor:
        return self.images.images(torch.from_numpy(request.positions), self.boxes[request.positions])


@dataclass
class _InMemory:
    """An encoded image that is no file of its own."""

    content: bytes

    def __str__(self) -> str:
        return "shard-00.tar, image 3"

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.content)


def test_images_need_not_be_files(place):
    """Anything that can be opened is read as a file with the same bytes is, and is named where it cannot be read."""
    path = place / "train/cat/000.png"
    none = np.zeros(2, dtype=np.int64)
    file = FolderImages([path], none[:1], none[:1], 3, 16, 20)
    other = FolderImages([_InMemory(path.read_bytes()), _InMemory(b"?")], none, none, 3, 16, 20)
    first = torch.zeros(1, dtype=torch.int64)
    assert other.sizes(first).tolist() == [[40, 60]]
    assert torch.equal(other.images(first), file.images(first))
    with pytest.raises(DataError, match=r"cannot read the image shard-00\.tar, image 3"):
        other.images(first + 1)


def test_evaluation_can_be_torchvisions(place):
    """`eval_resampling` reaches the files: bit for bit `Resize` and `CenterCrop` of the converted image."""
    held_out = sources.load(data(place, eval_resampling="bicubic")).held_out
    look = Compose([Resize(20, InterpolationMode.BICUBIC), CenterCrop(16)])
    paths = sorted(p for p in (place / "val").glob("*/*") if p.suffix != ".txt")
    for path, image in zip(paths, held_out.images(torch.arange(9)), strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(look(Image.open(path).convert("RGB"))))


def test_batches_do_not_depend_on_workers(place, monkeypatch):
    """Two epochs of training and an evaluation are the same bits with no worker, with one and with two."""
    described = data(place)
    augment = Augment(crop=InceptionCrop(), flip=True, randaug=RandAugment(), mixup="off", repeats=2)

    def batches(workers: int) -> list[torch.Tensor]:
        monkeypatch.setenv(WORKERS_VARIABLE, str(workers))
        splits = sources.load(described)
        train = TrainBatches(splits.train, augment, described, seed=0, batch_size=8)
        held_out = list(eval_batches(splits.held_out, described, 4))
        return [batch.images for batch in (*train.epoch(0), *train.epoch(1, start=1), *held_out)]

    alone = batches(0)
    assert len(alone) == 2 + 1 + 3
    for workers in (1, 2):
        assert all(torch.equal(*pair) for pair in zip(alone, batches(workers), strict=True))
