from __future__ import annotations

import pandas as pd
import pytest

from ablate.reporting.statistics.sensitivity import BEST, STUDY, WORST, FailedSeeds, told_change

NAN = float("nan")


def frame(status: str = "failed", **values: list[float]) -> pd.DataFrame:
    rows = [(n, s, v, status if v != v else "finished") for n, row in values.items() for s, v in enumerate(row)]
    return pd.DataFrame(rows, columns=["variant", "seed", "metric", "status"])


def filled(direction: str, trials: pd.DataFrame) -> list[list[float]]:
    """The values that the judge was given, fill by fill."""
    seen: list[list[float]] = []

    def judge(data: pd.DataFrame) -> list[str]:
        seen.append(data["metric"].tolist())
        return [""] * (data["variant"].nunique() - 1)

    FailedSeeds("baseline", direction)(trials, [""] * (trials["variant"].nunique() - 1), judge)  # type: ignore[arg-type]
    return seen


def test_a_failed_seed_is_filled_from_its_own_variant_and_the_study() -> None:
    """The worst of its Variant, the best of its Variant, the worst of all; other values stay."""
    trials = frame(baseline=[5.0, 6.0, 7.0], a=[8.0, NAN, 9.0])
    assert filled("maximize", trials) == [[5, 6, 7, 8, v, 9] for v in (8, 9, 5)]
    assert filled("minimize", trials) == [[5, 6, 7, 8, v, 9] for v in (9, 8, 9)]


def test_what_is_not_done_yet_is_no_failure() -> None:
    """Without a failed Trial nothing is recomputed."""
    assert filled("maximize", frame("missing", baseline=[5.0, 6.0], a=[8.0, NAN])) == []


def test_a_variant_without_any_result_keeps_its_gaps() -> None:
    """There is no worst value of its own, and the study's is not invented for it."""
    seen = filled("maximize", frame(baseline=[5.0, 6.0], a=[NAN, NAN]))
    assert all(values[2] != values[2] for values in seen)


def test_a_failed_baseline_seed_concerns_every_variant() -> None:
    """All Variants have a text where the baseline has lost a seed, and only the Variant where it has."""
    judge = lambda data: ["helps"] * 2  # noqa: E731
    of = FailedSeeds("baseline", "maximize")
    all_of_them = of(frame(baseline=[1.0, NAN], a=[1.0, 2.0], b=[1.0, 2.0]), ["helps"] * 2, judge)
    assert all_of_them == ["stays helps"] * 2
    assert of(frame(baseline=[1.0, 2.0], a=[1.0, NAN], b=[1.0, 2.0]), ["helps"] * 2, judge) == ["stays helps", ""]


@pytest.mark.parametrize(
    ("found", "number", "text"),
    [
        ({WORST: "helps", BEST: "helps"}, 1, "stays helps"),
        ({WORST: "hurts", BEST: "helps"}, 1, f"hurts if the failed seed was {WORST}"),
        (
            {WORST: "not enough evidence", BEST: "helps", STUDY: "not enough evidence"},
            2,
            f"not enough evidence if the failed seeds were {WORST} or {STUDY}",
        ),
        (
            {WORST: "hurts", BEST: "not enough evidence"},
            1,
            f"hurts if the failed seed was {WORST}; not enough evidence if the failed seed was {BEST}",
        ),
    ],
)
def test_the_text_says_what_changes_and_when(found: dict[str, str], number: int, text: str) -> None:
    """Fills of the same verdict share a clause; those that change nothing are not told."""
    assert told_change("helps", found, number) == text
