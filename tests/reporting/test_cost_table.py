from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.cost_table import ITSELF, controls_of, cost_table, ratio
from ablate.reporting.kept import Kept, ModelCost
from ablate.study.matched import NO_CONTROL, SUFFIX
from ablate.study.study import Study

PARAMETERS = {"baseline": 40_000, "deep": 80_000, f"deep{SUFFIX}": 39_600, "same": 40_120, "odd": 50_000}
SECONDS = {"baseline": (9.0, 11.0), "deep": (20.0, 24.0)}


def with_twins(study: Study) -> Study:
    """`deep@matched` is the control of `deep`; nothing could be found for `odd`."""
    changed = []
    for variant in study.variants:
        if variant.name == f"deep{SUFFIX}":
            recipe = {**variant.recipe, "name": "deep", "model": {**variant.recipe["model"], "dim": 45}}
            variant = replace(variant, recipe=recipe, control_of="deep")
        if variant.name == "odd":
            variant = replace(variant, note=f"As it is. {NO_CONTROL}its Recipe has no model.dim.")
        changed.append(variant)
    return replace(study, variants=tuple(changed))


@pytest.fixture
def compared(fake: SimpleNamespace) -> Comparison:
    """Two seeds of four Variants and a control, with parameters, FLOPs and seconds of their own."""
    study = with_twins(fake.study(tuple(PARAMETERS), (0, 1)))
    values = {"baseline": [90.0, 91.0], "deep": [93.0, 94.4], f"deep{SUFFIX}": [91.0, 92.4], "same": [90.5, 91.0]}
    records = fake.records(study, {**values, "odd": [90.0, 92.0]})
    for trial in study.trials:
        seconds = SECONDS.get(trial.variant, (10.0, 10.0))[trial.seed]
        metrics = {**records[trial.id].metrics, "parameters": float(PARAMETERS[trial.variant])}
        records[trial.id] = replace(records[trial.id], seconds=seconds, metrics=metrics)

    def cost(recipe: Any) -> ModelCost:
        return ModelCost(1.0, 2e6 if recipe["name"] == "deep" else 1e6)

    return comparison(study, records, Kept(cost=cost))


def test_costs_stand_beside_the_difference(compared: Comparison) -> None:
    """Parameters, FLOPs and time, each with how many times the baseline's it is, and the deviation of the seconds."""
    table = cost_table(compared)
    assert table is not None
    text = table.text.set_index("Variant")
    assert text.loc["deep", "Parameters"] == "80.00k (2.00×)"
    assert text.loc["deep", "FLOPs"] == "2.00M (2.00×)"
    assert text.loc["deep", "Time"] == "22 s ± 2.8 s (2.20×)"
    assert text.loc["baseline", "Parameters"] == "40.00k"
    assert text.loc["same", "Parameters"] == "40.12k (1.003×)"
    numbers = table.numbers.set_index("variant")
    assert numbers.loc["deep", "seconds_deviation"] == pytest.approx(np.std([20, 24], ddof=1))
    assert numbers.loc["deep", "difference"] == pytest.approx(3.2)
    assert numbers.loc["deep", "flops_ratio"] == 2.0
    assert all(isinstance(cell, str) for cell in table.text.to_numpy().ravel())


def test_a_control_stands_in_the_row_of_its_variant(compared: Comparison) -> None:
    """The twin has no row; its difference and what was adjusted are told with the Variant whose twin it is."""
    table = cost_table(compared)
    assert table is not None
    assert list(table.text["Variant"]) == ["baseline", "deep", "same", "odd"]
    text, numbers = table.text.set_index("Variant"), table.numbers.set_index("variant")
    assert text.loc["deep", "Control"] == "model.dim 64 → 45, 39.60k"
    assert numbers.loc["deep", "control"] == f"deep{SUFFIX}"
    assert numbers.loc["deep", "control_difference"] == pytest.approx(1.2)
    assert text.loc["deep", "At equal parameters"].startswith("+1.2")
    # 0.3 % more parameters than the baseline: no control is needed.
    assert text.loc["same", "Control"] == ITSELF
    assert text.loc["same", "At equal parameters"] == text.loc["same", "Difference"]
    assert text.loc["odd", "At equal parameters"] == text.loc["baseline", "Control"] == "—"
    assert f"{NO_CONTROL}odd: its Recipe has no model.dim." in table.caption


def test_a_control_that_is_another_variant_is_found(compared: Comparison) -> None:
    """Where the twin's Recipe is one that the study has, that Variant is the control and keeps its own row."""
    study = compared.study
    variants = [replace(v, control_of="", also=(f"odd{SUFFIX}",) if v.name == "same" else ()) for v in study.variants]
    changed = replace(compared, study=replace(study, variants=tuple(variants)))
    assert {name: v.name for name, v in controls_of(changed.study).items()} == {"odd": "same"}
    table = cost_table(changed)
    assert table is not None
    assert list(table.text["Variant"]) == list(PARAMETERS)
    assert table.numbers.set_index("variant").loc["odd", "control_difference"] == pytest.approx(0.25)


def test_without_controls_nothing_speaks_of_them(compared: Comparison) -> None:
    """A study that asks for none has neither their columns nor their words, in the text and in the numbers."""
    variants = tuple(replace(v, control_of="", note="") for v in compared.study.variants)
    table = cost_table(replace(compared, study=replace(compared.study, variants=variants)))
    assert table is not None
    assert list(table.text) == ["Variant", "Difference", "Parameters", "FLOPs", "Time"]
    assert not [column for column in table.numbers if "control" in str(column)]
    assert "ontrol" not in table.caption


def test_what_is_not_known_has_no_column(fake: SimpleNamespace) -> None:
    """Without FLOPs there is neither column nor caption of them; with nothing trained there is no table at all."""
    study = fake.study(("baseline", "a"))
    table = cost_table(comparison(study, fake.records(study, {"baseline": [1.0, 2.0], "a": [2.0]})))
    assert table is not None
    assert "FLOPs" not in table.text
    assert "FLOPs" not in table.caption
    assert table.text.loc[1, "Time"] == "7.2 s"  # one seed has no deviation
    assert cost_table(comparison(study, {})) is None
    assert cost_table(comparison(study, fake.records(study, {"baseline": [1.0, 2.0]}))) is None


@pytest.mark.parametrize(
    ("times", "text"),
    [(1.0404, "1.04×"), (0.9967, "0.997×"), (0.0123, "0.012×"), (9.996, "10.0×"), (12.34, "12.3×"), (99.97, "100×")],
)
def test_ratios_are_told_from_one(times: float, text: str) -> None:
    """Two decimals, three near to one, and three digits of what is large."""
    assert ratio(times) == text


def test_a_ratio_of_times_is_never_told_too_exactly() -> None:
    """What differs from run to run has two decimals at most."""
    assert ratio(1.004, exact=False) == "1.00×"
