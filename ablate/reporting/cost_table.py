"""What each Variant costs beside what it brings: parameters, FLOPs and time, and its difference at equal parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from ablate.reporting import numbers
from ablate.reporting.comparison import Comparison, value_text
from ablate.reporting.named_table import NamedTable
from ablate.reporting.precision import difference_decimals
from ablate.study.matched import EQUAL, NEAR, NO_CONTROL, SUFFIX
from ablate.study.overrides import differences
from ablate.study.study import Study, Variant

_TITLE = "What each Variant costs"
_COSTS = {"parameters": "Parameters", "flops": "FLOPs", "seconds": "Time"}
#: Columns of the numbers that an interval has.
_DIFFERENCE = ("difference", "difference_low", "difference_high")
#: In place of a control: the Variant needs none.
ITSELF = "itself"


def cost_table(comparison: Comparison) -> NamedTable | None:
    """One row per Variant, a control in the row of the Variant whose twin it is; None where no other cost is known."""
    controls = controls_of(comparison.study)
    rows = _rows(comparison, controls)
    known = [name for name in _COSTS if rows[name].notna().any()]
    others = rows.iloc[1:]
    if not any(others[name].notna().any() for name in known):
        return None
    controlled = bool(controls) or bool(_without_control(comparison.study))
    write = partial(numbers.with_interval, decimals=difference_decimals(comparison))
    text = pd.DataFrame({"Variant": rows["variant"], "Difference": _texts(rows, write, *_DIFFERENCE)})
    text.loc[0, "Difference"] = comparison.study.baseline.name
    for name in known:
        text[_COSTS[name]] = [_cost_text(name, row) for row in rows.to_dict("records")]
    if controlled:
        text["At equal parameters"] = _texts(rows, write, *(f"control_{name}" for name in _DIFFERENCE))
        text["Control"] = _control_texts(comparison.study, rows, controls)
    kept = [column for column in rows if controlled or not str(column).startswith("control")]
    caption = _caption(comparison.study, known, controlled)
    return NamedTable("cost", _TITLE, text, rows[kept], caption, ("pareto",))


def controls_of(study: Study) -> dict[str, Variant]:
    """Variant -> its matched-capacity control, under whatever name that is in the study."""
    found = {variant.control_of: variant for variant in study.variants if variant.control_of}
    for variant in study.variants:
        found |= {name.removesuffix(SUFFIX): variant for name in variant.also if name.endswith(SUFFIX)}
    return {variant.name: found[variant.name] for variant in study.variants if variant.name in found}


def _rows(comparison: Comparison, controls: Mapping[str, Variant]) -> pd.DataFrame:
    """The numbers: `variant`, its difference, each cost and its ratio to the baseline's, and the control's numbers."""
    summary = comparison.summary
    twins = {control.name for control in controls.values() if control.control_of}
    rows = summary.loc[~summary["variant"].isin(twins), ["variant", *_DIFFERENCE, *_COSTS]].reset_index(drop=True)
    done = comparison.trials[comparison.trials["metric"].notna()]
    rows["seconds_deviation"] = done.groupby("variant")["seconds"].std().reindex(rows["variant"]).to_numpy(float)
    for name in _COSTS:
        rows[f"{name}_ratio"] = rows[name] / rows[name].iloc[0]
    as_large = (rows["parameters_ratio"] - 1).abs() <= EQUAL
    asked = bool(controls) or bool(_without_control(comparison.study))
    found = [
        controls[name].name if name in controls else name if asked and place and equal else ""
        for place, (name, equal) in enumerate(zip(rows["variant"], as_large, strict=True))
    ]
    rows["control"] = found
    of_control = summary.set_index("variant").reindex(found)
    for column in ("parameters", *_DIFFERENCE):
        rows[f"control_{column}"] = of_control[column].to_numpy(float)
    return rows


def _texts(rows: pd.DataFrame, write: Any, *columns: str) -> list[str]:
    return [write(*values) for values in zip(*(rows[column] for column in columns), strict=True)]


def _cost_text(name: str, row: Mapping[Any, Any]) -> str:
    """`41.28k (1.04×)`, `20.1 s ± 5.8 s (1.5×)`: a number, its deviation, and how many times the baseline's it is."""
    value = row[name]
    if not math.isfinite(value):
        return numbers.NOTHING
    text = numbers.duration(value) if name == "seconds" else numbers.count(value)
    if name == "seconds" and math.isfinite(row["seconds_deviation"]):
        text += f" ± {numbers.duration(row['seconds_deviation'])}"
    times = row[f"{name}_ratio"]
    return f"{text} ({ratio(times, exact=name != 'seconds')})" if math.isfinite(times) and times != 1 else text


def ratio(times: float, exact: bool = True) -> str:
    """`1.04×`, `12.3×`, `123×`; of what is counted exactly `0.997×` near to one."""
    if times < 0.1:
        return f"{times:.2g}×"
    decimals = 3 if exact and abs(times - 1) < 0.01 else 2 if times < 9.995 else 1 if times < 99.95 else 0
    return f"{times:.{decimals}f}×"


def _control_texts(study: Study, rows: pd.DataFrame, controls: Mapping[str, Variant]) -> list[str]:
    """`model.dim 48 → 45, 41.0k`: what was adjusted, and the parameters that this gave."""
    recipes = {variant.name: variant.recipe for variant in study.variants}
    texts = []
    for name, control, size in zip(rows["variant"], rows["control"], rows["control_parameters"], strict=True):
        if name not in controls:
            texts.append(ITSELF if control else numbers.NOTHING)
            continue
        changed = differences(recipes[name], controls[name].recipe)
        fields = [f"{field} {value_text(old)} → {value_text(new)}" for field, (old, new) in changed.items()]
        texts.append(", ".join([*fields, *([numbers.count(size)] if math.isfinite(size) else [])]))
    return texts


def _without_control(study: Study) -> dict[str, list[str]]:
    """Why there is no control -> the Variants that would need one."""
    found: dict[str, list[str]] = {}
    for variant in study.variants:
        _, said, reason = variant.note.partition(NO_CONTROL)
        if said:
            found.setdefault(reason, []).append(variant.name)
    return found


def _caption(study: Study, known: list[str], controlled: bool) -> str:
    words = {
        "parameters": "Parameters: trainable ones, as the Trials reported them, or else as the model is built.",
        "flops": (
            "FLOPs: of one image's forward pass as the model is built, two to a multiply-add, of matrix products, "
            "convolutions and attention; what papers call FLOPs is mostly half of it."
        ),
        "seconds": (
            "Time: of training one Trial, mean over its seeds ± their standard deviation, as measured where each ran "
            "and beside whatever else ran there: no benchmark."
        ),
    }
    parts = [
        "Difference: Variant − baseline with its interval, as in the comparison.",
        *(words[name] for name in known),
    ]
    parts.append("In parentheses: times the baseline's.")
    if controlled:
        parts.append(
            "At equal parameters: the difference to the baseline of the Variant's control, a Variant that is like it "
            "but for one field, adjusted until it has about the baseline's parameters; Control says which field, and "
            f"the parameters that this gives (within {100 * NEAR:g} %). A Variant within {100 * EQUAL:g} % of the "
            "baseline's parameters is its own control. Controls are Variants like others: the comparison has their "
            "tests and verdicts. The adjusted field may matter beyond the parameters that it gives back."
        )
        for reason, names in _without_control(study).items():
            parts.append(f"{NO_CONTROL}{', '.join(names)}: {reason}")
    return " ".join(parts)
