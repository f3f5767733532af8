from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ablate.reporting.statistics import AgainstNumber
from ablate.reporting.statistics.verdicts import AGREES, BETTER, UNSURE, WORSE

NAN = float("nan")


def against(numbers: dict[str, float], margin: float | None = None, direction: str = "maximize", **values: list[float]):
    names = pd.Index(list(values))
    columns = np.array(list(values.values())).T
    return AgainstNumber(direction, margin)(columns, pd.Series(numbers, dtype=float).reindex(names))  # type: ignore[arg-type]


def test_the_p_is_scipys_one_sample_test() -> None:
    """Of a single row, to 1e-12; the interval is the mean's, shifted."""
    values = [76.1, 76.9, 75.8, 76.4]
    row = against({"a": 76.9}, a=values).loc["a"]
    expected = stats.ttest_1samp(values, 76.9)
    low, high = expected.confidence_interval(0.95)
    assert row["p_holm"] == pytest.approx(expected.pvalue, rel=1e-10)
    assert (row["minus_low"], row["minus_high"]) == pytest.approx((low - 76.9, high - 76.9), rel=1e-9)


@pytest.mark.parametrize(("direction", "verdict"), [("maximize", BETTER), ("minimize", WORSE)])
def test_the_verdict_follows_the_direction(direction: str, verdict: str) -> None:
    """A mean reliably above the number is better where more is, and worse where less is."""
    assert against({"a": 70.0}, direction=direction, a=[76.0, 76.1, 76.2]).loc["a", "stands"] == verdict


def test_within_the_margin_it_agrees_even_if_it_is_not_the_number() -> None:
    """A reliable difference of 0.2 agrees within 0.5, and is better without a margin."""
    values = [76.70, 76.71, 76.69]
    assert against({"a": 76.5}, 0.5, a=values).loc["a", "stands"] == AGREES
    assert against({"a": 76.5}, None, a=values).loc["a", "stands"] == BETTER


def test_a_wide_mean_stands_nowhere() -> None:
    """Noise that hides both questions is not enough evidence; nor is one seed, or seeds that agree exactly."""
    found = against({"a": 76.5, "b": 76.5, "c": 76.5}, 0.5, a=[70.0, 80.0, 79.0], b=[76.4, NAN, NAN], c=[76.0] * 3)
    assert list(found["stands"]) == [UNSURE] * 3


def test_only_rows_with_a_number_are_in_the_family() -> None:
    """A Variant without a published number has no verdict and costs the others nothing."""
    values = {"a": [76.0, 76.1, 76.2], "b": [70.0, 70.3, 71.0]}
    alone, beside = against({"a": 76.5}, a=values["a"]), against({"a": 76.5}, **values)
    assert beside.loc["b", "stands"] == ""
    assert beside.loc["a", "p_holm"] == alone.loc["a", "p_holm"]
    assert against({"a": 76.5, "b": 70.1}, **values).loc["a", "p_holm"] == pytest.approx(2 * alone.loc["a", "p_holm"])


def test_means_at_the_margin_rarely_agree() -> None:
    """Of 400 tables of six means whose truth is the number ± margin, at most 5 % + 3 s.e. (8.3 %) have one agree."""
    draws, wrong = np.random.default_rng(0), 0
    truth = 76.5 + np.where(np.arange(6) % 2, 0.5, -0.5)[:, None]
    for _ in range(400):
        values = draws.normal(truth, 0.1, (6, 3)).T
        wrong += (AgainstNumber("maximize", 0.5)(values, pd.Series([76.5] * 6))["stands"] == AGREES).any()
    assert 0 < wrong / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
