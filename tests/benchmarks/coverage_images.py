"""What intervals over seeds and test images cover, and how often a study that grows is wrong by them.

    python tests/benchmarks/coverage_images.py [--repeats 4000] [--images 450 2000] [--seeds 1 2 3 5 10]

Each row is one kind of noise, of which `--repeats` studies are drawn, once for all numbers of seeds; the simulation's
error is about 0.3 points at 4,000 repeats.

The first table is the coverage of 95 % intervals. `these`: these trainings on other images; `both`: other seeds on
other images; `Student`: the paired t interval over seeds, which is for other seeds on these images, held to the claim
of `both`; `plain`: percentiles of a bootstrap that draws seeds and images anew, held to the same claim.

The second is of studies that look with every seed from 3 to 10, the share in which any look finds a difference that is
not there. `any look`: the test of `both` at 5 %, again and again; `adjusted`: by `SequentialSeedsAndImages` at 5 %;
`of 6`: six times the share at 5 % / 6, a bound on the studies of six Variants with any such error (0.9 points).
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

from ablate.reporting.statistics.crossed import SeedsAndImages, critical
from ablate.reporting.statistics.looks import Looks
from ablate.reporting.statistics.sequential_images import SequentialSeedsAndImages

Floats = NDArray[np.float64]
Drawn = tuple[Floats, float, Floats]
"""Differences (R, S, N), the true difference, and (R, S) that of each seed on all images."""
Noise = Callable[[np.random.Generator, int, int, int], Drawn]
_AT_ONCE = 200
"""Studies that are drawn together."""
_LOOKS = Looks(3, 10)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(200)


def normal(of_seed: float, of_image: float, rest: float) -> Noise:
    """Normal seeds, images and rest, with these standard deviations."""

    def draw(draws: np.random.Generator, repeats: int, seeds: int, images: int) -> Drawn:
        seed_RS1 = of_seed * draws.standard_normal((repeats, seeds, 1))
        noise = of_image * draws.standard_normal((repeats, 1, images))
        noise = noise + rest * draws.standard_normal((repeats, seeds, images))
        return seed_RS1 + noise, 0.0, seed_RS1[..., 0]

    return draw


def skewed(of_seed: float) -> Noise:
    """Exponential seeds and rest, log-normal images."""

    def draw(draws: np.random.Generator, repeats: int, seeds: int, images: int) -> Drawn:
        seed_RS1 = of_seed * (draws.exponential(size=(repeats, seeds, 1)) - 1)
        image = (draws.lognormal(size=(repeats, 1, images)) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
        return seed_RS1 + image + draws.exponential(size=(repeats, seeds, images)) - 1, 0.0, seed_RS1[..., 0]

    return draw


def bernoulli(accuracy: float, better: float = 0.0, hard: float = 2.0, of_seed: float = 0.0) -> Noise:
    """Two classifiers that find the same images hard: log odds of being right with a normal part of each image.

    One is right on the share ``accuracy``, the other on ``better`` more; ``hard`` and ``of_seed`` are deviations.
    """
    own = 1.0
    on_images = np.hypot(hard, own)

    def mean(location: Floats, deviation: float) -> Floats:
        return np.asarray(expit(location[..., None] + deviation * _NODES) @ (_WEIGHTS / _WEIGHTS.sum()))

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
            truth.append(mean(of_seeds, on_images)[..., 0])
        return right[1] - right[0], better, truth[1] - truth[0]

    return draw


NOISES: dict[str, Noise] = {
    "normal, little from seeds": normal(0.02, 1, 1),
    "normal, much from seeds": normal(0.2, 0.5, 1),
    "normal, nothing from seeds": normal(0, 1, 0.3),
    "normal, nothing from images": normal(0.3, 0, 1),
    "skewed": skewed(0.05),
    "Bernoulli 95 %": bernoulli(0.95),
    "Bernoulli 95 and 97 %": bernoulli(0.95, 0.02),
    "Bernoulli 95 %, seeds differ": bernoulli(0.95, of_seed=0.3),
    "Bernoulli 97 %, the same images hard": bernoulli(0.97, hard=5),
    "Bernoulli 99 %": bernoulli(0.99),
}


def plain_bootstrap(draws: np.random.Generator, d_RSN: Floats, times: int = 400) -> tuple[Floats, Floats]:
    """Percentiles of the mean over seeds and images drawn anew, both with replacement; (R,) each.

    All studies are given the same draws, which each of them could have been given.
    """
    _, seeds, images = d_RSN.shape
    of_seed = draws.multinomial(seeds, np.full(seeds, 1 / seeds), size=times) / seeds
    of_image = draws.multinomial(images, np.full(images, 1 / images), size=times) / images
    means_RB = np.einsum("rsb,bs->rb", d_RSN @ of_image.T, of_seed)
    low, high = np.quantile(means_RB, [0.025, 0.975], axis=1)
    return low, high


def wide(d_RSN: Floats) -> pd.DataFrame:
    """Outcomes of which these are the differences to the group `0`, which is zero."""
    repeats, seeds, images = d_RSN.shape
    rows = np.concatenate([np.zeros((1, seeds, images)), d_RSN]).reshape(-1, images)
    index = pd.MultiIndex.from_product([map(str, range(repeats + 1)), range(seeds)], names=["variant", "seed"])
    return pd.DataFrame(rows, index)


def covered(draws: np.random.Generator, d_RSN: Floats, truth: float, of_these_R: Floats, plain: int) -> list[Floats]:
    """Whether `these`, `both`, `Student` and `plain` cover, (R,) each, the last of the first ``plain`` studies."""
    seeds = d_RSN.shape[1]
    found = SeedsAndImages("0")(wide(d_RSN))
    ends = ("images_low", "images_high", "both_low", "both_high")
    these_low, these_high, low, high = (found[name].to_numpy(float) for name in ends)
    these: Floats = ((these_low <= of_these_R) & (of_these_R <= these_high)).astype(float)
    if seeds == 1:
        return [these, *[np.zeros(0)] * 3]
    both: Floats = ((low <= truth) & (truth <= high)).astype(float)
    means_RS = d_RSN.mean(axis=2)
    half_R = stats.t.isf(0.025, seeds - 1) * means_RS.std(axis=1, ddof=1) / np.sqrt(seeds)
    student: Floats = (np.abs(means_RS.mean(axis=1) - truth) <= half_R).astype(float)
    low, high = plain_bootstrap(draws, d_RSN[:plain]) if plain > 0 else (np.zeros(0), np.zeros(0))
    return [these, both, student, ((low <= truth) & (truth <= high)).astype(float)]


def wrong(d_RSN: Floats, truth: float) -> Floats:
    """Whether a study that grows finds another difference than the true one: (3, R), the second table's columns."""
    names = [str(r + 1) for r in range(len(d_RSN))]
    tests = SequentialSeedsAndImages.of(wide(d_RSN - truth), "0", names, _LOOKS)
    of = tests.shares
    half = critical(np.full(of.mean.shape, 0.05), of.seeds, of.images, of.pairs - 1)
    return np.stack([(np.abs(of.mean) > half).any(axis=1), tests.p < 0.05, 6 * (tests.p < 0.05 / 6)]).astype(float)


def simulated(noise: Noise, images: int, given: argparse.Namespace) -> tuple[dict[int, list[float]], list[float]]:
    """Coverage by the number of seeds, and the rates of error of studies that grow."""
    draws = np.random.default_rng(images)
    held: dict[int, list[list[Floats]]] = {seeds: [] for seeds in given.seeds}
    errors = []
    for start in range(0, given.repeats, _AT_ONCE):
        d_RSN, truth, of_seeds_RS = noise(draws, _AT_ONCE, max(*given.seeds, _LOOKS.most), images)
        for seeds in given.seeds:
            these_R = of_seeds_RS[:, :seeds].mean(axis=1)
            held[seeds].append(covered(draws, d_RSN[:, :seeds], truth, these_R, given.plain - start))
        errors.append(wrong(d_RSN[:, : _LOOKS.most], truth))
    coverage = {
        seeds: [
            float(np.mean(own)) if (own := np.concatenate(each)).size else np.nan for each in zip(*parts, strict=True)
        ]
        for seeds, parts in held.items()
    }
    return coverage, np.concatenate(errors, axis=1).mean(axis=1).tolist()


def cells(shares: list[float]) -> str:
    """`94.9 | 95.3`, in percent."""
    return " | ".join("" if np.isnan(share) else f"{100 * share:.1f}" for share in shares)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--plain", type=int, default=400, help="of these studies, for how many the plain bootstrap")
    parser.add_argument("--images", type=int, nargs="+", default=[450, 2000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 5, 10])
    given = parser.parse_args()
    growing = []
    print("| noise | images | seeds | these | both | Student | plain |\n|---|---:|---:|---:|---:|---:|---:|")
    for name, noise in NOISES.items():
        for images in given.images:
            coverage, errors = simulated(noise, images, given)
            growing.append(f"| {name} | {images:,} | {cells(errors)} |")
            for seeds, shares in coverage.items():
                print(f"| {name} | {images:,} | {seeds} | {cells(shares)} |", flush=True)
    print("\n| noise | images | any look | adjusted | of 6 |\n|---|---:|---:|---:|---:|", *growing, sep="\n")


if __name__ == "__main__":
    main()
