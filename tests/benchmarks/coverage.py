"""How often intervals hold the truth and verdicts are wrong, at length: tables of percentages, by simulation.

    python tests/benchmarks/coverage.py [--samples 40000] [--studies 10000]

Results of n seeds are drawn for a baseline and its Variants; what a seed shares cancels in differences, so only the
noise of each Trial's own is drawn. A percentage p has a standard error of sqrt(p (100 - p) / samples). Fixed seeds: the
same tables each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.statistics import AgainstNumber, BootstrapMean, HedgesG, Pairs, StudentTests, holm
from ablate.reporting.statistics.equivalence import p_within
from ablate.reporting.statistics.power import Power
from ablate.reporting.statistics.verdicts import AGREES

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

#: Noise of one Trial, mean 0.
NOISE: dict[str, Draw] = {
    "normal": lambda draws, size: draws.normal(size=size),
    "left-skewed (gamma, shape 4)": lambda draws, size: 2 - draws.gamma(4, 0.5, size=size),
    "exponential": lambda draws, size: draws.exponential(size=size) - 1,
    "log-normal": lambda draws, size: draws.lognormal(size=size) - np.exp(0.5),
    "Student's, 3 d.f.": lambda draws, size: draws.standard_t(3, size=size),
    "one seed in ten collapses by 5": lambda draws, size: (
        draws.normal(size=size) - 5 * (draws.random(size) < 0.1) + 0.5
    ),
}
SEEDS, EFFECT, MARGIN, VARIANTS = (3, 5, 10), 0.7, 0.5, 8


def pairs_of(differences: Floats) -> Pairs:
    """Pairs whose differences are the rows (V, S)."""
    names = pd.Index([str(i) for i in range(len(differences))])
    return Pairs(names, differences, np.abs(differences).max(axis=1), True)


def per_cent(share: float) -> str:
    """`94.9`."""
    return f"{100 * share:.1f}"


def coverage(samples: int) -> pd.DataFrame:
    """Coverage of 95 % intervals of the mean difference."""
    rows = []
    for noise, draw in NOISE.items():
        for alike in (True, False):
            for n in SEEDS:
                draws = np.random.default_rng([n, 1])
                own = draw(draws, (samples, n))
                other = draw(draws, (samples, n)) if alike else np.zeros((samples, n))
                pairs = pairs_of(EFFECT + own - other)
                tests = StudentTests(pairs)
                held = ((tests.low <= EFFECT) & (tests.high >= EFFECT)).mean()
                low, high = BootstrapMean()(pairs.values[:4_000])
                bca = ((low <= EFFECT) & (high >= EFFECT)).mean() if np.isfinite(low[0]) else np.nan
                rows.append((noise, "both" if alike else "the Variant", n, per_cent(held), per_cent(bca)))
    return pd.DataFrame(rows, columns=["noise", "of", "seeds", "t covers %", "BCa covers %"])


def family_wise(studies: int) -> pd.DataFrame:
    """Studies of Variants that share a baseline: those with a wrong `helps` or `hurts`, and a wrong `no difference`."""
    rows = []
    for noise, draw in NOISE.items():
        for n in SEEDS:
            draws = np.random.default_rng([n, 2])
            values = draw(draws, (studies, VARIANTS + 1, n))
            null = (values[:, 1:] - values[:, :1]).reshape(-1, n)
            at_margin = null + np.tile(np.where(np.arange(VARIANTS) % 2, MARGIN, -MARGIN), studies)[:, None]
            p = StudentTests(pairs_of(null)).p.reshape(studies, VARIANTS)
            same = p_within(StudentTests(pairs_of(at_margin)), MARGIN).reshape(studies, VARIANTS)
            small = 0.1 * null + (at_margin - null)
            same_small = p_within(StudentTests(pairs_of(small)), MARGIN).reshape(studies, VARIANTS)
            wrong = [per_cent(np.mean([(holm(row) < 0.05).any() for row in found])) for found in (p, same, same_small)]
            rows.append((noise, n, *wrong))
    return pd.DataFrame(rows, columns=["noise", "seeds", "wrong helps/hurts %", "wrong same %", "same, small noise %"])


def effect_sizes(samples: int) -> pd.DataFrame:
    """Coverage of Hedges' g's interval, and its mean, where the truth is known."""
    rows = []
    for truth in (0.0, 0.5, 2.0):
        for n in SEEDS:
            values = np.random.default_rng([n, 3]).normal(truth, 1, (samples, n))
            g, low, high = HedgesG()(values.mean(axis=1), values.std(axis=1, ddof=1), np.full(samples, n))
            rows.append((truth, n, f"{g.mean():.3f}", per_cent(((low <= truth) & (truth <= high)).mean())))
    return pd.DataFrame(rows, columns=["true ratio", "seeds", "mean g", "covers %"])


def power_curves(samples: int) -> pd.DataFrame:
    """Power as computed, and as found in samples."""
    curve = Power(1.0, VARIANTS).curve(SEEDS, [0.5, 1.0, 2.0, 4.0])
    found = []
    for row in curve.itertuples():
        values = np.random.default_rng([int(row.pairs), 4]).normal(row.difference, 1, (samples, int(row.pairs)))
        found.append(per_cent((StudentTests(pairs_of(values)).p < 0.05 / VARIANTS).mean()))
    return curve.assign(power=[per_cent(p) for p in curve["power"]], found=found)


def against_numbers(studies: int) -> pd.DataFrame:
    """Columns of six published numbers: those with a wrong `agrees` where each mean is off by the margin."""
    rows = []
    for n in SEEDS:
        draws, wrong = np.random.default_rng([n, 5]), 0
        truth = np.where(np.arange(6) % 2, MARGIN, -MARGIN)[:, None]
        for _ in range(studies):
            values = draws.normal(truth, 0.1, (6, n))
            wrong += (AgainstNumber("maximize", MARGIN)(values.T, pd.Series(np.zeros(6)))["stands"] == AGREES).any()
        rows.append((n, per_cent(wrong / studies)))
    return pd.DataFrame(rows, columns=["seeds", "wrong agrees %"])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--studies", type=int, default=10_000)
    options = parser.parse_args()
    print(f"Coverage of 95 % intervals of a difference, {options.samples:,} samples (BCa: at most 4,000)\n")
    print(coverage(options.samples).to_string(index=False), flush=True)
    print(f"\nWrong verdicts of {options.studies:,} studies of {VARIANTS} Variants that share a baseline (at most 5)\n")
    print(family_wise(options.studies).to_string(index=False), flush=True)
    print("\nHedges' g\n")
    print(effect_sizes(options.samples).to_string(index=False))
    print(f"\nPower among {VARIANTS} comparisons, %\n")
    print(power_curves(options.samples).to_string(index=False))
    print("\nPublished numbers, six to a column (at most 5)\n")
    print(against_numbers(options.studies // 10).to_string(index=False))


if __name__ == "__main__":
    main()
