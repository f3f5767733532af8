"""Which Levels foreign runs have, which combination is the baseline, and what else varies among the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ablate.tracking.mlflow_foreign import ForeignRun
from ablate.wording import listing, nearest, plural

#: One value per Factor, in the order of the Factors.
Levels = tuple[str, ...]
#: The Level of a run that has not logged the Factor's param.
NOT_LOGGED = "(not logged)"
#: Values of a param that are told one by one.
_SHOWN = 4


class ForeignError(ValueError):
    """The question does not fit the runs; the message says what there is."""


def check_params(runs: Sequence[ForeignRun], factors: Sequence[str], seed_param: str | None, metric: str) -> None:
    """Raise `ForeignError` where a Factor, the seed's param or the metric is none that the runs have, or cannot be."""
    if not runs:
        raise ForeignError("no run was found: the experiment has none, or none that the search allows")
    params = dict.fromkeys(name for run in runs for name in run.params)
    varying = [name for name in params if len({run.params.get(name) for run in runs}) > 1]
    for name in [*factors, *([seed_param] if seed_param else [])]:
        if name not in params:
            raise ForeignError(
                f"no run has a param {name!r}; those that vary: {', '.join(varying)}{nearest(name, params)}"
            )
    if seed_param in factors:
        raise ForeignError(f"{seed_param!r} cannot be a Factor and the seed")
    for name in factors:
        if name not in varying:
            raise ForeignError(f"the param {name!r} has one value in all runs; those that vary: {', '.join(varying)}")
    metrics = dict.fromkeys(name for run in runs for name in run.metrics)
    if metric not in metrics:
        raise ForeignError(f"no run has logged a metric {metric!r}; {listing(metrics)}{nearest(metric, metrics)}")


def chosen_baseline(
    runs: Sequence[ForeignRun],
    levels: Mapping[str, Levels],
    factors: Sequence[str],
    asked: Mapping[str, str] | None,
) -> tuple[Levels, str]:
    """The baseline's Levels, and how they were chosen: as asked, else those of the most finished runs.

    Where several combinations have as many, the one whose first run was started first.
    """
    counts = Counter({levels[run.run_id]: 0 for run in runs})
    counts.update(levels[run.run_id] for run in runs if run.status == "FINISHED")
    if asked is None:
        return max(counts, key=lambda combination: counts[combination]), "the combination with the most finished runs"
    for name in asked:
        if name not in factors:
            raise ForeignError(
                f"--baseline names {name!r}, which is no Factor; {listing(factors)}{nearest(name, factors)}"
            )
    lacking = [name for name in factors if name not in asked]
    if lacking:
        raise ForeignError(f"--baseline must give a value for every Factor; it lacks {', '.join(lacking)}")
    wanted = tuple(asked[name] for name in factors)
    if wanted not in counts:
        there = [",".join(f"{n}={v}" for n, v in zip(factors, found, strict=True)) for found in counts]
        text = ",".join(f"{name}={asked[name]}" for name in factors)
        raise ForeignError(f"no run is {text}, which --baseline names; {listing(there)}{nearest(text, there)}")
    return wanted, "as asked"


def level_order(runs: Sequence[ForeignRun], factors: Sequence[str], base: Levels) -> list[list[str]]:
    """Each Factor's Levels, the baseline's first: numbers by size, others in the order in which they were first run."""
    orders = []
    for name, reference in zip(factors, base, strict=True):
        found = list(dict.fromkeys(run.params.get(name, NOT_LOGGED) for run in runs))
        numbers = {value: _number(value) for value in found}
        if all(number is not None for value, number in numbers.items() if value != NOT_LOGGED):
            found.sort(key=lambda value: (value == NOT_LOGGED, numbers[value] or 0.0))
        orders.append([reference, *(value for value in found if value != reference)])
    return orders


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def beside(
    groups: Mapping[Levels, Sequence[tuple[int, ForeignRun, int]]], asked: Collection[str | None]
) -> dict[str, str]:
    """Params that vary and are not ``asked`` for -> their values, and whether they part the Variants.

    One that takes different values in different Variants confounds: a difference may be owed to it.
    """
    runs = [run for members in groups.values() for _, run, _ in members]
    names = sorted({name for run in runs for name in run.params}.difference(asked))
    found = {}
    for name in names:
        values = Counter(run.params.get(name, NOT_LOGGED) for run in runs)
        if len(values) == 1:
            continue
        within = {combination: {r.params.get(name, NOT_LOGGED) for _, r, _ in g} for combination, g in groups.items()}
        parts = len({frozenset(of_variant) for of_variant in within.values()}) > 1
        how = "differs between Variants, whose differences may be owed to it" if parts else "varies alike in each"
        if len(values) == len(runs):  # an output folder, say
            how = "another value in every run"
        shown = ", ".join(f"{value} ({plural(n, 'run')})" for value, n in values.most_common(_SHOWN))
        more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
        found[name] = f"{shown}{more}, {how}"
    return found
