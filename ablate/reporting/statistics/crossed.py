"""Differences to the baseline, paired by seed and by test image, for claims about other seeds and other images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri, stdtrit

from ablate.reporting.statistics.intervals import EQUAL

_Floats = npt.NDArray[np.float64]
_COLUMNS = (
    "pairs",
    "images",
    "difference",
    "seeds_se",
    "images_se",
    "images_low",
    "images_high",
    "images_p",
    "both_low",
    "both_high",
    "both_p",
)
#: The smallest log alpha at which a p value is looked for, and so many halvings of the way from there to 0.
_LEAST, _HALVINGS = -300.0, 60


@dataclass(frozen=True)
class SeedsAndImages:
    """Mean difference of each group to the baseline over seeds and test images, which are crossed: both of a pair are
    asked about the same images with the same seeds.

    With d[s, i] = group - baseline for seed s and image i, columns of the result, indexed by group without the
    baseline, in order of appearance: `pairs` (S, seeds on both sides), `images` (N), `difference` (mean of d),
    `seeds_se` and `images_se` (standard errors: of other seeds on these images, and of other images were there seeds
    without end, or with these where there is one), and two intervals with the p of the test that goes with each:

    `images_low`, `images_high`, `images_p`: *these trainings on other images*; there with a single seed. The column
    means c of d are a sample of N. A t interval on them is short where only few are not zero, as two good classifiers
    disagree on few images, so their sum of squares is taken as if one more image disagreed, by the usual h with h² =
    Σ(c - mean)⁴ / Σ(c - mean)². With one seed h is about 1: half of the adjustment of Bonett and Price (J. Educational
    and Behavioral Statistics 37, 2012, 479-488), whose two images cover too much here, and verdicts are those of the
    mid-p McNemar test (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13, 2013, 91).

    `both_low`, `both_high`, `both_p`: *other seeds on other images*; needs two seeds. By the two-way analysis of
    variance without replication the variance of the mean is A + B, with A = MS_seeds / (SN), which has the interaction
    of seed and image in it, and B = (MS_images - MS_rest) / (SN), or 0, the images' own share. A has S - 1 degrees of
    freedom, and B so many that it counts as known. `critical` says how far from the mean the interval reaches.

    This is what a paired bootstrap over (seed, image) aims at, in closed form. Resampling S seeds as they are takes
    (S-1)/S of their variance and has normal tails, so with three seeds its intervals are far too short; on the other
    side it counts the interaction twice (Owen, Annals of Applied Statistics 1, 2007, 386-411).

    Where nothing varies there is no interval, and no p but 1 for a difference of 0, as in `PairedDifference`. Where
    the seeds differ by the same amount and the images do not, MS_rest stands for MS_seeds.
    """

    baseline: str
    level: float = 0.95

    def __call__(self, data: pd.DataFrame) -> pd.DataFrame:
        """Compare every group with the baseline.

        `data` is wide: a row per training, indexed by (group, seed), each once; a column per image; cells are finite
        numbers or booleans, all of one type. Raises ValueError where a row is there twice.
        """
        if data.index.has_duplicates:
            raise ValueError(f"two rows of the same group and seed: {data.index[data.index.duplicated()][0]}")
        values = data.to_numpy()
        rows: dict[Any, dict[Any, int]] = {}
        for place, (group, seed) in enumerate(data.index):
            rows.setdefault(group, {})[seed] = place
        base = rows.pop(self.baseline, {})
        moments = []
        for own in rows.values():
            seeds = [seed for seed in own if seed in base]
            moments.append(moments_of(values[[own[s] for s in seeds]], values[[base[s] for s in seeds]]))
        columns = np.array(moments, dtype=float).reshape(-1, 7).T
        return self._judged(pd.Index(list(rows), name=data.index.names[0]), *columns)

    def _judged(
        self,
        index: pd.Index,
        pairs: _Floats,
        images: _Floats,
        mean: _Floats,
        seed_variance: _Floats,
        image_variance: _Floats,
        rest_variance: _Floats,
        still: _Floats,
    ) -> pd.DataFrame:
        """The columns, from `moments_of` of each group."""
        alpha = np.full(len(mean), 1 - self.level)
        own = np.where(pairs > 1, np.maximum(image_variance - np.nan_to_num(rest_variance), 0.0), np.nan)
        known = np.where(pairs == 1, image_variance, own)
        frame: dict[str, Any] = {"pairs": pairs.astype(int), "images": images.astype(int), "difference": mean}
        frame |= {"seeds_se": np.sqrt(seed_variance), "images_se": np.sqrt(known)}
        for name, uncertain, certain, freedom in (
            ("images", image_variance, np.zeros_like(mean), images - 1),
            ("both", seed_variance, own, pairs - 1),
        ):
            half = critical(alpha, uncertain, certain, freedom)
            p = p_value(mean, uncertain, certain, freedom)
            frame |= {f"{name}_low": mean - half, f"{name}_high": mean + half}
            frame[f"{name}_p"] = np.where((still == 1) & (mean == 0) & (freedom >= 1), 1.0, p)
        return pd.DataFrame(frame, index=index, columns=list(_COLUMNS))


def critical(alpha: _Floats, uncertain: _Floats, certain: _Floats, freedom: _Floats) -> _Floats:
    """Half of the width, at 1 - alpha, of an interval for a mean whose variance is `uncertain` + `certain`.

    The first of them is an estimate with `freedom` degrees of freedom, the second counts as known. The square of the
    critical value lies between those of the normal and of Student's distribution, k² = z² + θ^q (t² - z²), where θ is
    the uncertain share of the variance, but no lower than θt²: one unknown more never makes an interval shorter. It is
    exact at both ends. With q = 1 the squares of two half-widths are added (MOVER: Zou and Donner, Statistics in
    Medicine 27, 2008, 1693-1702), which never covers too little, but with two degrees of freedom up to 97.7 % at 95 %.
    q = 1 + min(10 alpha, 1/2) was chosen by integrating the coverage over all θ: 95.0 to 96.4 % with two degrees of
    freedom, closer with more; and nearly 1 at the small alpha of many comparisons, where too little would be worst.
    tests/reporting/statistics/test_crossed.py has the integral. NaN without any variance or degree of freedom.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        whole = uncertain + certain
        share = uncertain / whole
        z = -ndtri(alpha / 2)
        t = -stdtrit(np.maximum(freedom, 1.0), alpha / 2)
        between = z**2 + share ** (1 + np.minimum(10 * alpha, 0.5)) * (t**2 - z**2)
        squared = np.maximum(between, share * t**2)
        return np.where((freedom >= 1) & (whole > 0), np.sqrt(squared * whole), np.nan)


def p_value(mean: _Floats, uncertain: _Floats, certain: _Floats, freedom: _Floats) -> _Floats:
    """The alpha at which `critical` reaches just from the mean to 0, by halving; 0 where it is below exp(-300)."""
    low, high = np.full(len(mean), _LEAST), np.zeros(len(mean))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = critical(np.exp(middle), uncertain, certain, freedom) < np.abs(mean)
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    known = np.isfinite(critical(np.full(len(mean), 0.5), uncertain, certain, freedom))
    return np.where(known, np.where(low == _LEAST, 0.0, np.exp(high)), np.nan)


def moments_of(group: npt.NDArray[Any], baseline: npt.NDArray[Any]) -> tuple[float, ...]:
    """Of outcomes (S, N) on both sides: S, N, the mean difference, its variance by seeds (A), by images (B and the
    interaction's share, with the additional image), by the interaction alone; whether all is still.
    """
    pairs, images = group.shape
    nothing = float("nan")
    if not group.size:
        return pairs, images, nothing, nothing, nothing, nothing, 0.0
    d_SN = group.astype(np.float64) - baseline
    mean = float(d_SN.mean())
    size = float(np.abs(group).max()) + float(np.abs(baseline).max())
    if float(np.ptp(d_SN)) <= EQUAL * size:
        mean = 0.0 if abs(mean) <= EQUAL * size else mean
        return pairs, images, mean, nothing, nothing, nothing, 1.0
    of_seeds_S, of_images_N = d_SN.mean(axis=1), d_SN.mean(axis=0)
    # What only rounding parts is equal, as in the other statistics.
    squares_N = (of_images_N - mean) ** 2 * (np.ptp(of_images_N) > EQUAL * size)
    images_ss = float(squares_N.sum())
    usual = float((squares_N**2).sum()) / images_ss if images_ss else 0.0
    by_images = (images_ss + usual) / max(images - 1, 1) / images if images > 1 else nothing
    if pairs == 1:
        return pairs, images, mean, nothing, by_images, nothing, 0.0
    seeds_ss = float(((of_seeds_S - mean) ** 2).sum())
    rest_ss = float(((d_SN - mean) ** 2).sum()) - pairs * images_ss - images * seeds_ss
    by_rest = max(rest_ss, 0.0) / ((pairs - 1) * max(images - 1, 1)) / (pairs * images)
    by_seeds = seeds_ss / (pairs - 1) / pairs
    if float(np.ptp(of_seeds_S)) <= EQUAL * size:
        by_seeds = by_rest
    return pairs, images, mean, by_seeds, by_images, by_rest, 0.0
