"""What a study's designs say beside the comparison with the baseline: effects, interactions, rungs, shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.reporting.design_cells import Cells, aliases_of, cells_of, changes_of, levels_of, named_variants
from ablate.reporting.judging import by_seed, judge_of
from ablate.reporting.statistics import StudentTests
from ablate.reporting.statistics.crossing import ALIASED
from ablate.reporting.statistics.ladder import Ladder
from ablate.reporting.statistics.linear import CrossedEffects
from ablate.reporting.statistics.pair_interactions import PairInteractions
from ablate.reporting.statistics.shapley import ShapleyShares
from ablate.study.study import Block, Study

#: Designs that a linear model reads.
CROSSED = ("factorial", "fractional")


@dataclass(frozen=True, eq=False)
class DesignResults:
    """Tidy frames, empty where no design gives them. `block` is a design's place in `Study.blocks`."""

    effects: pd.DataFrame
    """Of crossed designs, by a linear model: `block`, `effect` (`posemb`, `posemb:pool`), `kind` (`main` or
    `interaction`), `levels` (`learned`, `learned:cls`; each is compared with the reference), `first` and `second`
    (changes, `posemb=learned`), `estimate`, `low`, `high`, `p`, `p_holm`, `n` and `planned` (Trials at these Levels),
    `left_out` and `reason` (why there is no estimate, or no interval), `share` (of the variance; of the whole effect,
    so the same for all of its rows), `aliases` (`a:b, c:d`). See `statistics.linear.CrossedEffects`."""
    rungs: pd.DataFrame
    """Of ladders: `block`, `step`, `variant`, `n`, `planned`, `mean`, `low`, `high` (of the mean), `gain`, `gain_low`,
    `gain_high` (to the rung before, paired by seed), `pairs`, `p`, `p_holm`. The foot has no step and no gain."""
    shapley: pd.DataFrame
    """Of fully crossed designs: `block`, `factor`, `level`, `share` (in the metric's unit), `low`, `high`, `pairs`
    (seeds with all results), `planned`."""
    interactions: pd.DataFrame
    """Of pairs: `block`, `first`, `second` (changes, `posemb=learned`), `alone_first`, `alone_second`, `together`,
    `interaction` (together less the sum of both), `low`, `high`, `pairs`, `planned`, `p`, `p_holm`."""
    variance: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Of crossed designs, one row per effect, seeds, higher interactions, residual and total: `block`, `effect`, `kind`
    (empty where it is no effect), `df`, `squares` (type II), `share`, `f`, `p`, `p_holm`."""
    totals: pd.DataFrame = field(default_factory=pd.DataFrame)
    """From one end to the other, of ladders (top less foot) and of fully crossed designs (everything changed less the
    baseline): `block`, `of` (`ladder` or `shapley`), `estimate`, `low`, `high`, `pairs`, `p` (not adjusted)."""


def design_results(study: Study, trials: pd.DataFrame) -> DesignResults:
    """Read each design of the study from its `trial_frame`."""
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in DesignResults.__dataclass_fields__}
    if study.blocks:
        wide = by_seed(study, trials)
    for number, block in enumerate(study.blocks):
        if block.design in CROSSED:
            parts = _crossed(study, block, wide)
        elif block.design == "ladder":
            parts = _ladder(study, block, wide)
        elif block.design == "pairs":
            parts = _pairs(study, block, wide)
        else:
            continue
        for name, frame in parts.items():
            if len(frame):
                found[name].append(frame.assign(block=number)[["block", *frame.columns]])
    return DesignResults(**{name: _joined(parts, _COLUMNS[name]) for name, parts in found.items()})


#: Of frames that no design fills, so that programs find their columns all the same.
_COLUMNS = {
    "effects": "block effect kind levels first second estimate low high p p_holm n planned left_out reason share "
    "aliases",
    "rungs": "block step variant n planned mean low high gain gain_low gain_high pairs p p_holm",
    "shapley": "block factor level share low high pairs planned",
    "interactions": "block first second alone_first alone_second together interaction low high pairs planned p p_holm",
    "variance": "block effect kind df squares share f p p_holm",
    "totals": "block of estimate low high pairs p",
}


def _joined(parts: list[pd.DataFrame], columns: str) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns.split())


def _values(wide: pd.DataFrame, variants: Iterable[str]) -> npt.NDArray[np.float64]:
    """(seeds, Variants), NaN without a result."""
    return wide.reindex(columns=list(variants)).to_numpy(float)


def _planned(study: Study) -> Counter[str]:
    """How many Trials each Variant is to have by now."""
    return Counter(trial.variant for trial in study.trials)


def _crossed(study: Study, block: Block, wide: pd.DataFrame) -> dict[str, pd.DataFrame]:
    cells = cells_of(study, block)
    if not cells.levels:
        return {}
    planned = _whatever_the_results(study, wide.reindex(columns=list(cells.variants)))
    data = pd.DataFrame(levels_of(cells)).assign(variant=list(cells.variants))
    data = data.loc[np.repeat(np.arange(len(data)), len(planned))].reset_index(drop=True)
    data["seed"], data["metric"] = np.tile(planned.index, len(cells.variants)), planned.to_numpy(float).T.reshape(-1)
    effects, variance = CrossedEffects(cells.levels, 1 - study.analysis.alpha)(data)
    aliases = aliases_of(block)
    if block.design == "fractional":
        told = {other for others in aliases.values() for other in others}
        effects = effects[(effects["left_out"] != ALIASED) | ~effects["effect"].isin(told)].reset_index(drop=True)
    effects["aliases"] = [", ".join(aliases.get(effect, ())) for effect in effects["effect"]]
    shares = _shapley(study, cells, planned.to_numpy(float)) if cells.full else {}
    return {"effects": effects, "variance": variance, **shares}


def _whatever_the_results(study: Study, wide: pd.DataFrame) -> pd.DataFrame:
    """Without seeds that results have added.

    An effect is a mean over many Variants, of which each stopped for reasons of its own. With the seeds that all of
    them have from the start it is a design of fixed size, and the tests for that are exact.
    """
    return wide if study.sequential is None else wide.iloc[: study.sequential.least]


def _shapley(study: Study, cells: Cells, values: npt.NDArray[np.float64]) -> dict[str, pd.DataFrame]:
    names, counts = list(cells.levels), [len(levels) for levels in cells.levels.values()]
    table = np.full((len(values), *counts), np.nan)
    for place, column in zip(cells.places, values.T, strict=True):
        at: tuple[Any, ...] = (slice(None), *place)
        table[at] = column
    shares = ShapleyShares(partial(StudentTests, level=1 - study.analysis.alpha))
    found = shares(table)
    found["level"] = [cells.levels[names[f]][k] for f, k in zip(found["factor"], found["level"], strict=True)]
    found["factor"] = [names[f] for f in found["factor"]]
    found = found.rename(columns={"estimate": "share"})[["factor", "level", "share", "low", "high", "pairs"]]
    found["planned"] = len(values)
    return {"shapley": found, "totals": shares.total(table).assign(of="shapley")}


def _ladder(study: Study, block: Block, wide: pd.DataFrame) -> dict[str, pd.DataFrame]:
    known = named_variants(study)
    names = [known[name][0].name if name in known else name for name in block.variants]
    if not names:
        return {}
    ladder, values, planned = Ladder(judge_of(study)), _values(wide, names), _planned(study)
    rungs = ladder(values)
    rungs.insert(list(rungs.columns).index("n") + 1, "planned", [planned[name] for name in names])
    rungs.insert(0, "variant", names)
    rungs.insert(0, "step", ["", *block.steps][: len(names)])
    totals = ladder.total(values).assign(of="ladder") if len(names) > 1 else pd.DataFrame()
    return {"rungs": rungs, "totals": totals}


def _pairs(study: Study, block: Block, wide: pd.DataFrame) -> dict[str, pd.DataFrame]:
    known = named_variants(study)
    of_change: dict[tuple[str, ...], str] = {}
    for name in block.variants:
        if name in known:
            variant, assignment = known[name]
            own = block.cells.get(variant.name, assignment)
            of_change.setdefault(changes_of(study, block, own), variant.name)
    pairs = [changes for changes in of_change if len(changes) == 2]
    if not pairs:
        return {}
    baseline = _values(wide, [of_change.get((), study.baseline.name)])[:, 0]
    # Where a change alone is not in the design its Trials are missing: the pair stays, and says n = 0.
    first = _values(wide, [of_change.get((a,), "") for a, _ in pairs])
    second = _values(wide, [of_change.get((b,), "") for _, b in pairs])
    together = _values(wide, [of_change[pair] for pair in pairs])
    found = PairInteractions(judge_of(study))(baseline, first, second, together)
    planned = _planned(study)
    four = [(study.baseline.name, of_change.get((a,), ""), of_change.get((b,), ""), of_change[a, b]) for a, b in pairs]
    fewest = [min(planned[name] for name in names) for names in four]
    found.insert(list(found.columns).index("pairs") + 1, "planned", fewest)
    found.insert(0, "second", [b for _, b in pairs])
    found.insert(0, "first", [a for a, _ in pairs])
    return {"interactions": found}
