"""On which images two Variants disagree."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.reporting.disagreement import disagreements, mcnemar
from ablate.reporting.examples import Examples

LABEL = np.array([0, 1, 2, 3, 4])
#: Two seeds of the baseline, and three of a Variant, of which seed 9 has no partner.
BASE = np.array([[0, 1, 2, 7, 4], [0, 1, 9, 7, 4]])
OWN = np.array([[0, 8, 2, 3, 4], [0, 8, 2, 3, 4], [5, 5, 5, 5, 5]])


@pytest.fixture
def examples() -> Examples:
    """Of five images, in which the Variant wins two and loses one."""
    prediction = {"baseline": BASE, "a": OWN, "b": OWN[:1]}
    correct = {name: rows == LABEL for name, rows in prediction.items()}
    return Examples(LABEL + 100, LABEL, correct, prediction, {"baseline": (0, 1), "a": (0, 1, 9), "b": (7,)})


def test_images_are_ranked_by_the_difference_in_both_directions(examples: Examples) -> None:
    """First what the Variant gets right more often, then what it gets wrong; agreement is left out."""
    found = disagreements(examples, "a", "baseline")
    assert found["index"].tolist() == [103, 102, 101]
    assert found["difference"].tolist() == [1.0, 0.5, -1.0]
    assert found["right_baseline"].tolist() == [0.0, 0.5, 1.0]
    assert found["right_variant"].tolist() == [1.0, 1.0, 0.0]
    assert found["predicted_baseline"].tolist() == [7, 2, 1]  # of 2 and 9, once each, the smaller
    assert found["predicted_variant"].tolist() == [3, 2, 8]
    assert found["label"].tolist() == [3, 2, 1]


def test_each_direction_has_its_own_limit(examples: Examples) -> None:
    """No more than so many images of each direction are shown, the clearest ones."""
    assert disagreements(examples, "a", "baseline", most=1)["index"].tolist() == [103, 101]


@pytest.mark.parametrize("variant", ["b", "unknown"])
def test_without_common_seeds_nothing_is_compared(examples: Examples, variant: str) -> None:
    """A Variant without a seed in common, or without outcomes, gives an empty frame with the same columns."""
    found = disagreements(examples, variant, "baseline")
    assert found.empty
    assert list(found.columns) == list(disagreements(examples, "a", "baseline").columns)


def test_the_most_common_prediction_wins_over_the_largest() -> None:
    """Of predictions 5, 5, 9 most seeds say 5; of 9, 2, 2 it is 2; of 3, 1, 2 the smallest."""
    prediction = np.array([[5, 9, 3], [5, 2, 1], [9, 2, 2]])
    label = np.array([0, 0, 0])
    none = np.zeros_like(prediction)
    rows = {"baseline": none, "a": prediction}
    correct = {name: values == label for name, values in rows.items()}
    found = disagreements(Examples(label, label, correct, rows, dict.fromkeys(rows, (0, 1, 2))), "a", "baseline")
    assert found["predicted_variant"].tolist() == [5, 2, 1]


@pytest.mark.parametrize(("wins", "losses", "p"), [(0, 0, 1.0), (6, 0, 0.03125), (5, 5, 1.0), (9, 1, 0.021484375)])
def test_mcnemar_is_the_exact_binomial_test(wins: int, losses: int, p: float) -> None:
    """The p of images that only one of two Trials gets right is that of a fair coin, to rounding."""
    first, second = np.ones(40, bool), np.ones(40, bool)
    second[:wins] = False
    first[wins : wins + losses] = False
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(second, first) == pytest.approx(p)
