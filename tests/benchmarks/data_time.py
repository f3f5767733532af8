"""Data time beside timm's: how fast batches are made, and what share of a training step is spent waiting for them.

    python tests/benchmarks/data_time.py [--rounds 5] [--workers 1] [--only photos]

Both loaders do the same work (crop, flip, RandAugment, normalisation) on the same images with the same number of
workers, in turn, round by round; the table holds medians. On a machine that does other things too, only its ratios
mean something.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from timm.data import create_loader
from timm.models import VisionTransformer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from ablate.data.batches import TrainBatches
from ablate.data.folder import FolderImages
from ablate.data.image_sets import ImageSet, MemoryImages
from ablate.data.workers import WORKERS_VARIABLE
from ablate.recipe import Augment, Data, InceptionCrop, RandAugment

Epoch = Callable[[int], Iterator[tuple[Tensor, Tensor]]]
"""Gives the batches of an epoch by its number: images and labels."""
AUGMENT = Augment(
    crop=InceptionCrop(min_area=0.08, max_aspect=4 / 3, draw="area", resampling="bicubic"),
    flip=True,
    randaug=RandAugment(layers=2, level=10, probability=1.0, operations="timm", resampling="bicubic"),
    mixup="off",
)


@dataclass(frozen=True)
class Profile:
    """Images, batches and a model of the size of a study's profile."""

    size: int
    batch_size: int
    patch: int
    dim: int
    depth: int
    make: Callable[[Path], Sequence[Path] | NDArray[np.uint8]]
    """Files of images, or images (N, C, H, W) in memory."""


def digits(_: Path) -> NDArray[np.uint8]:
    """The packaged digits."""
    return np.rint(load_digits().images[:, None] * (255 / 16)).astype(np.uint8)


def noise(_: Path) -> NDArray[np.uint8]:
    """As many bytes as a part of CIFAR has."""
    return np.random.default_rng(0).integers(0, 256, (2048, 3, 32, 32), dtype=np.uint8)


def photos(folder: Path) -> list[Path]:
    """JPEG files that are as smooth, and so as large, as photographs of ImageNet's most frequent size."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{k:04}.jpg" for k in range(256)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), dtype=np.float32)
        noisy = smooth + rng.normal(0, 8, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


PROFILES = {
    "digits": Profile(8, 64, 2, 48, 2, digits),
    "cifar": Profile(32, 128, 4, 48, 2, noise),
    "photos": Profile(224, 64, 32, 48, 2, photos),
}


class _Pictures(Dataset[tuple[Image.Image, int]]):
    """What timm's loader is given: PIL's images in memory, or files opened as timm's own reader opens them."""

    def __init__(self, source: Sequence[Path] | NDArray[np.uint8], mode: str) -> None:
        self.source = source
        self.mode = mode
        self.transform: Callable[[Image.Image], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, place: int) -> tuple[object, int]:
        item = self.source[place]
        if isinstance(item, Path):
            image = Image.open(item).convert(self.mode)
        else:
            image = Image.fromarray(np.ascontiguousarray(item.transpose(1, 2, 0)).squeeze())
        assert self.transform is not None
        return self.transform(image.convert("RGB")), place % 10


def timm_epochs(source: Sequence[Path] | NDArray[np.uint8], profile: Profile, channels: int, workers: int) -> Epoch:
    """timm's loader with the settings of `AUGMENT`. Its RandAugment knows RGB only: gray images are made that."""
    loader = create_loader(
        _Pictures(source, "RGB"),  # type: ignore[arg-type]
        input_size=(3, profile.size, profile.size),
        batch_size=profile.batch_size,
        is_training=True,
        use_prefetcher=False,
        scale=(0.08, 1.0),
        ratio=(0.75, 4 / 3),
        hflip=0.5,
        color_jitter=None,
        auto_augment="rand-m10-n2-p1.0",
        interpolation="bicubic",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        num_workers=workers,
        pin_memory=False,
        persistent_workers=workers > 0,
    )

    def epoch(_: int) -> Iterator[tuple[Tensor, Tensor]]:
        return ((images[:, :channels], labels) for images, labels in loader)

    return epoch


def our_epochs(source: Sequence[Path] | NDArray[np.uint8], profile: Profile, channels: int) -> Epoch:
    """`TrainBatches`; how many workers it uses is a matter of the environment."""
    labels = np.arange(len(source), dtype=np.int64) % 10
    indices = np.arange(len(source), dtype=np.int64)
    images: ImageSet
    if isinstance(source, np.ndarray):
        arrays = (torch.from_numpy(array) for array in (source, labels, indices))
        images = MemoryImages(*arrays, profile.size, profile.size)
    else:
        images = FolderImages(source, labels, indices, channels, profile.size, profile.size)
    data = Data(
        source="digits",
        image_size=profile.size,
        channels=channels,
        classes=10,
        mean=0.5,
        std=0.5,
        test_fraction=0.5,
        val_fraction=0.0,
        split_seed=0,
        evaluate_on="test",
        eval_resize=profile.size,
    )
    batches = TrainBatches(images, AUGMENT, data, seed=0, batch_size=profile.batch_size)

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        return ((batch.images, batch.labels) for batch in batches.epoch(number))

    return epoch


class Step:
    """One update of a small vision transformer."""

    def __init__(self, profile: Profile, channels: int) -> None:
        torch.manual_seed(0)
        self.model = VisionTransformer(
            img_size=profile.size,
            patch_size=profile.patch,
            in_chans=channels,
            num_classes=10,
            embed_dim=profile.dim,
            depth=profile.depth,
            num_heads=profile.dim // 16,
        )
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on a batch."""
        cross_entropy(self.model(images), labels).backward()
        self.optimiser.step()
        self.optimiser.zero_grad()


def measure(batches: Iterator[tuple[Tensor, Tensor]], step: Step | None) -> tuple[float, float]:
    """Images per second, and the share of the time that was spent in ``next``."""
    waited, images, started = 0.0, 0, time.perf_counter()
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        if batch is None:
            break
        images += len(batch[0])
        if step is not None:
            step(*batch)
    whole = time.perf_counter() - started
    return images / whole, waited / whole


def compare(name: str, profile: Profile, rounds: int, workers: int, folder: Path) -> Iterator[str]:
    """Rows of the table."""
    source = profile.make(folder)
    channels = source.shape[1] if isinstance(source, np.ndarray) else 3
    os.environ[WORKERS_VARIABLE] = str(workers)
    os.environ["ABLATE_MEMORY_GB"] = "0"
    loaders = {"ablate": our_epochs(source, profile, channels)}
    if not isinstance(source, np.ndarray):
        os.environ["ABLATE_MEMORY_GB"] = "4"
        loaders["ablate, kept decoded"] = our_epochs(source, profile, channels)
    loaders["timm"] = timm_epochs(source, profile, channels, workers)
    step = Step(profile, channels)
    paces: dict[str, list[float]] = {loader: [] for loader in loaders}
    shares: dict[str, list[float]] = {loader: [] for loader in loaders}
    steps: dict[str, list[float]] = {loader: [] for loader in loaders}
    for number in range(rounds + 1):
        for loader, epoch in loaders.items():
            pace, _ = measure(epoch(2 * number), None)
            trained, share = measure(epoch(2 * number + 1), step)
            if number:  # the first round starts workers and fills caches
                paces[loader].append(pace)
                steps[loader].append(trained)
                shares[loader].append(share)
    slowest = statistics.median(paces["timm"])
    for loader in loaders:
        pace = statistics.median(paces[loader])
        yield (
            f"| {name} | {workers} | {loader} | {pace:,.0f} | {pace / slowest:.2f} | "
            f"{statistics.median(steps[loader]):,.0f} | {100 * statistics.median(shares[loader]):.1f} % |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=PROFILES, nargs="+", default=list(PROFILES))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print("| profile | workers | loader | images/s | to timm | images/s trained | data time |")
    print("|---|---:|---|---:|---:|---:|---:|")
    for name in given.only:
        for workers in given.workers:
            with tempfile.TemporaryDirectory() as folder:
                for row in compare(name, PROFILES[name], given.rounds, workers, Path(folder)):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
