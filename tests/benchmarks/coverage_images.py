"""What intervals over seeds and test images cover, beside those of a plain hierarchical bootstrap.

    python tests/benchmarks/coverage_images.py [--repeats 4000] [--images 450 2000] [--seeds 1 2 3 5 10]

Each row is one kind of noise, of which `--repeats` studies are drawn; coverage is of 95 % intervals, its simulation
error about 0.3 points at 4,000 repeats. `these`: these trainings on other images; `both`: other seeds on other images;
`Student`: the paired t interval over seeds, which is for other seeds on these images, held to the claim of `both`;
`plain`: percentiles of a bootstrap that draws seeds and images anew, held to the same claim.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit

from ablate.reporting.statistics.crossed import SeedsAndImages

Drawn = tuple[NDArray[np.float64], float, NDArray[np.float64]]
"""Differences (R, S, N), the true difference, and (R,) that of each study's seeds on all images."""
Noise = Callable[[np.random.Generator, int, int, int], Drawn]
_AT_ONCE = 200
"""Studies that are drawn together."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(200)


def normal(of_seed: float, of_image: float, rest: float) -> Noise:
    """Normal seeds, images and rest, with these standard deviations."""

    def draw(draws: np.random.Generator, repeats: int, seeds: int, images: int) -> Drawn:
        seed_RS1 = of_seed * draws.standard_normal((repeats, seeds, 1))
        noise = of_image * draws.standard_normal((repeats, 1, images))
        noise = noise + rest * draws.standard_normal((repeats, seeds, images))
        return seed_RS1 + noise, 0.0, seed_RS1.mean(axis=(1, 2))

    return draw


def skewed(of_seed: float) -> Noise:
    """Exponential seeds and rest, log-normal images."""

    def draw(draws: np.random.Generator, repeats: int, seeds: int, images: int) -> Drawn:
        seed_RS1 = of_seed * (draws.exponential(size=(repeats, seeds, 1)) - 1)
        image = (draws.lognormal(size=(repeats, 1, images)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
        return seed_RS1 + image + draws.exponential(size=(repeats, seeds, images)) - 1, 0.0, seed_RS1.mean(axis=(1, 2))

    return draw


def bernoulli(accuracy: float, better: float = 0.0, hard: float = 2.0, of_seed: float = 0.0) -> Noise:
    """Two classifiers that find the same images hard: log odds of being right with a normal part of each image.

    One is right on the share ``accuracy``, the other on ``better`` more; ``hard`` and ``of_seed`` are deviations.
    """
    own = 1.0
    on_images = np.hypot(hard, own)

    def mean(location: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
        return expit(location[..., None] + deviation * _NODES) @ (_WEIGHTS / _WEIGHTS.sum())

    def location(wanted: float) -> float:
        whole = float(np.hypot(on_images, of_seed))
        return float(brentq(lambda at: float(mean(np.array(at), whole)) - wanted, -20, 40))

    at = (location(accuracy), location(accuracy + better))

    def draw(draws: np.random.Generator, repeats: int, seeds: int, images: int) -> Drawn:
        shared = hard * draws.standard_normal((repeats, 1, images))
        right, truth = [], []
        for middle in at:
            of_seeds = middle + of_seed * draws.standard_normal((repeats, seeds, 1))
            odds = of_seeds + shared + own * draws.standard_normal((repeats, 1, images))
            right.append((draws.random((repeats, seeds, images)) < expit(odds)).astype(np.float64))
            truth.append(mean(of_seeds, on_images).mean(axis=(1, 2)))
        return right[1] - right[0], better, truth[1] - truth[0]

    return draw


NOISES: dict[str, Noise] = {
    "normal, little from seeds": normal(0.02, 1, 1),
    "normal, much from seeds": normal(0.2, 0.5, 1),
    "normal, nothing from seeds": normal(0, 1, 0.3),
    "skewed": skewed(0.05),
    "Bernoulli 95 %": bernoulli(0.95),
    "Bernoulli 95 and 97 %": bernoulli(0.95, 0.02),
    "Bernoulli 95 %, seeds differ": bernoulli(0.95, of_seed=0.3),
    "Bernoulli 97 %, the same images hard": bernoulli(0.97, hard=5),
    "Bernoulli 99 %": bernoulli(0.99),
}


def plain_bootstrap(draws: np.random.Generator, d_SN: NDArray[np.float64], times: int = 400) -> tuple[float, float]:
    """Percentiles of the mean over seeds and images drawn anew, both with replacement."""
    seeds, images = d_SN.shape
    of_seed = draws.multinomial(seeds, np.full(seeds, 1 / seeds), size=times)
    of_image = draws.multinomial(images, np.full(images, 1 / images), size=times)
    means = np.einsum("bs,sn,bn->b", of_seed, d_SN, of_image, optimize=True) / (seeds * images)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def coverage(noise: Noise, seeds: int, images: int, repeats: int, plain: int) -> list[float]:
    """Coverage of `these`, `both`, `Student` and `plain`, the last from ``plain`` of the studies."""
    draws = np.random.default_rng([seeds, images])
    held: list[list[float]] = [[], [], [], []]
    for start in range(0, repeats, _AT_ONCE):
        d_RSN, truth, of_these_R = noise(draws, _AT_ONCE, seeds, images)
        rows = np.concatenate([np.zeros((1, seeds, images)), d_RSN]).reshape(-1, images)
        index = pd.MultiIndex.from_product([map(str, range(_AT_ONCE + 1)), range(seeds)], names=["variant", "seed"])
        found = SeedsAndImages("0")(pd.DataFrame(rows, index))
        held[0] += list((found["images_low"] <= of_these_R) & (of_these_R <= found["images_high"]))
        if seeds == 1:
            continue
        held[1] += list((found["both_low"] <= truth) & (truth <= found["both_high"]))
        means_RS = d_RSN.mean(axis=2)
        half_R = stats.t.isf(0.025, seeds - 1) * means_RS.std(axis=1, ddof=1) / np.sqrt(seeds)
        held[2] += list(np.abs(means_RS.mean(axis=1) - truth) <= half_R)
        for d_SN in d_RSN[: max(0, plain - start)]:
            low, high = plain_bootstrap(draws, d_SN)
            held[3].append(low <= truth <= high)
    return [float(np.mean(each)) if each else float("nan") for each in held]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--plain", type=int, default=400, help="of these studies, for how many the plain bootstrap")
    parser.add_argument("--images", type=int, nargs="+", default=[450, 2000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 5, 10])
    given = parser.parse_args()
    print("| noise | images | seeds | these | both | Student | plain |\n|---|---:|---:|---:|---:|---:|---:|")
    for name, noise in NOISES.items():
        for images in given.images:
            for seeds in given.seeds:
                shares = coverage(noise, seeds, images, given.repeats, given.plain)
                cells = " | ".join("" if np.isnan(share) else f"{100 * share:.1f}" for share in shares)
                print(f"| {name} | {images:,} | {seeds} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
