"""A study and its Records made of runs that someone else's code has logged: Recipes are params, Factors are named.

What a run was is known by its params alone. So everything that may spoil a comparison is told: params that vary and
are no Factor, runs that were left out, and repeated ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ablate.foreign_levels import NOT_LOGGED, ForeignError, Levels, beside, check_params, chosen_baseline, level_order
from ablate.study.overrides import differences
from ablate.study.study import BASELINE, Factor, Level, Metric, Study, Trial, Variant
from ablate.tracking.mlflow_foreign import ForeignExperiment, ForeignRun
from ablate.tracking.record import Record, Row, Status
from ablate.wording import plural

_STATUS: dict[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}


@dataclass(frozen=True)
class ForeignQuestion:
    """What is asked of the runs."""

    factors: tuple[str, ...]
    """Params."""
    metric: str
    direction: Literal["maximize", "minimize"]
    seed_param: str | None
    """The param that says which runs share their luck; None where none does: then nothing is paired."""
    baseline: Mapping[str, str] | None = None
    """Param -> value for each Factor; None takes the combination with the most finished runs."""


@dataclass(frozen=True)
class ForeignStudy:
    """The runs as a study, and what its reader has to know."""

    study: Study
    records: Mapping[str, Record]
    beside: Mapping[str, str]
    """Params that vary and are neither Factor nor seed -> how, in words."""
    told: Mapping[str, str]
    """What was chosen, left out and superseded: subject -> sentence."""


def foreign_study(
    experiment: ForeignExperiment, question: ForeignQuestion, histories: Mapping[str, tuple[Row, ...]] | None = None
) -> ForeignStudy:
    """Make a study of runs. Raises `ForeignError` where the question does not fit them."""
    check_params(experiment.runs, question.factors, question.seed_param, question.metric)
    kept, left_out = _usable(experiment.runs, question)
    levels = {run.run_id: tuple(run.params.get(name, NOT_LOGGED) for name in question.factors) for run in kept}
    base, how = chosen_baseline(kept, levels, question.factors, question.baseline)
    order = level_order(kept, question.factors, base)
    groups = _groups(kept, levels, base, order)
    chosen, superseded = _one_run_a_seed(groups, question)
    aside = beside(chosen, {*question.factors, question.seed_param})
    told = {
        "Runs": f"{sum(map(len, chosen.values()))} of MLflow's experiment {experiment.name!r}",
        "Compared by": f"the value of {question.metric!r} that each run logged last",
        "Baseline": f"{_named(question.factors, base)}, {how}",
        "Left out": left_out,
        "Repeated": superseded,
        "Varies beside the Factors": "; ".join(f"{name}: {text}" for name, text in aside.items()),
    }
    told = {name: text for name, text in told.items() if text}
    study, records = _study(experiment, question, chosen, base, order, told, histories or {})
    return ForeignStudy(study, records, aside, told)


_Groups = dict[Levels, list[tuple[int, ForeignRun, int]]]
"""Levels -> (seed, run, attempts)."""


def _usable(runs: Sequence[ForeignRun], question: ForeignQuestion) -> tuple[list[ForeignRun], str]:
    """Runs that are trainings, and a sentence on the others."""
    kept, why = [], Counter[str]()
    for run in runs:
        if run.is_parent and question.metric not in run.metrics:
            why["with other runs nested in them and no such metric"] += 1
        elif not any(name in run.params for name in question.factors):
            why["without any of the Factors' params"] += 1
        elif question.seed_param is not None and question.seed_param not in run.params:
            why[f"without the param {question.seed_param!r}"] += 1
        else:
            kept.append(run)
    if not kept:
        reasons = "; ".join(f"{n} {text}" for text, n in why.items())
        raise ForeignError(f"no run can be used: {reasons}")
    return kept, "; ".join(f"{plural(n, 'run')} {text}" for text, n in why.items())


def _groups(
    runs: Sequence[ForeignRun], levels: Mapping[str, Levels], base: Levels, order: Sequence[Sequence[str]]
) -> dict[Levels, list[ForeignRun]]:
    """The baseline first, then by how many Levels differ from it, then in the order of Factors and Levels."""
    groups: dict[Levels, list[ForeignRun]] = {}
    for run in runs:
        groups.setdefault(levels[run.run_id], []).append(run)
    places = [{level: i for i, level in enumerate(of_factor)} for of_factor in order]

    def rank(combination: Levels) -> tuple[object, ...]:
        changed = [i for i, level in enumerate(combination) if level != base[i]]
        return len(changed), changed, [places[i][level] for i, level in enumerate(combination)]

    return {combination: groups[combination] for combination in sorted(groups, key=rank)}


def _one_run_a_seed(groups: Mapping[Levels, list[ForeignRun]], question: ForeignQuestion) -> tuple[_Groups, str]:
    """Of runs with the same Levels and seed the one that was started last counts, a finished one before any other.

    Without a seed's param every run is a replicate of its own. No two of them share a number then, in whatever Variant,
    so that nothing can be paired that was not.
    """
    chosen: _Groups = {}
    repeated, number = 0, 0
    for combination, runs in groups.items():
        if question.seed_param is None:
            chosen[combination] = [(number + i, run, 1) for i, run in enumerate(runs)]
            number += len(runs)
            continue
        by_seed: dict[int, list[ForeignRun]] = {}
        for run in runs:
            by_seed.setdefault(_seed(run, question.seed_param), []).append(run)
        chosen[combination] = []
        for seed, same in sorted(by_seed.items()):
            best = max(same, key=lambda run: (run.status == "FINISHED" and question.metric in run.metrics, run.started))
            chosen[combination].append((seed, best, len(same)))
            repeated += len(same) - 1
    words = f"{repeated} {'runs were' if repeated > 1 else 'run was'} superseded by another of the same Levels and seed"
    return chosen, f"{words}: the one started last counts, a finished one before any other" if repeated else ""


def _seed(run: ForeignRun, param: str) -> int:
    try:
        return int(run.params[param])
    except ValueError:
        found = run.params[param]
        raise ForeignError(f"the param {param!r} of run {run.name!r} is {found!r}, and no whole number") from None


def _named(factors: Sequence[str], levels: Levels) -> str:
    return ",".join(f"{name}={level}" for name, level in zip(factors, levels, strict=True))


def _study(
    experiment: ForeignExperiment,
    question: ForeignQuestion,
    chosen: _Groups,
    base: Levels,
    order: Sequence[Sequence[str]],
    told: Mapping[str, str],
    histories: Mapping[str, tuple[Row, ...]],
) -> tuple[Study, dict[str, Record]]:
    recipes = {combination: _common(chosen[combination], question.seed_param) for combination in chosen}
    variants, trials, records = [], [], {}
    for combination, members in chosen.items():
        changed = [(n, now) for n, now, was in zip(question.factors, combination, base, strict=True) if now != was]
        name = "+".join(f"{factor}={level}" for factor, level in changed) or BASELINE
        levels = dict(zip(question.factors, combination, strict=True))
        changes = differences(recipes[base], recipes[combination])
        variants.append(Variant(name, levels, recipes[combination], changes))
        for seed, run, attempts in members:
            trials.append(Trial(run.run_id, name, seed, dict(run.params)))
            records[run.run_id] = _record(run, seed, attempts, histories.get(run.run_id, ()))
    seeds = tuple(sorted({trial.seed for trial in trials}))
    study = Study(
        name=experiment.name,
        profile="mlflow",
        path=Path(f"{experiment.name}.mlflow"),
        question=f"Which of {', '.join(question.factors)} matter for {question.metric}, and by how much?",
        source=f"runs in {experiment.uri}",
        expected="",
        trainable="runs of other code",
        metric=Metric(question.metric, question.direction, "", question.metric),
        factors={
            name: Factor(name, base[i], {level: Level(level, {name: level}) for level in order[i] if level != base[i]})
            for i, name in enumerate(question.factors)
        },
        variants=tuple(variants),
        seeds=seeds,
        trials=tuple(sorted(trials, key=lambda trial: seeds.index(trial.seed))),
        data_fingerprint=", ".join(dict.fromkeys(run.data for g in chosen.values() for _, run, _ in g if run.data)),
        header=told,
    )
    return study, records


def _common(members: Sequence[tuple[int, ForeignRun, int]], seed_param: str | None) -> dict[str, str]:
    """The params that all runs of a Variant have in common, the seed's left out: its Recipe as far as it is known."""
    first, *others = (run.params for _, run, _ in members)
    return {
        name: value
        for name, value in first.items()
        if name != seed_param and all(params.get(name) == value for params in others)
    }


def _record(run: ForeignRun, seed: int, attempts: int, history: tuple[Row, ...]) -> Record:
    status = _STATUS.get(run.status, "running")
    commit = run.tags.get("mlflow.source.git.commit", "")
    facts = {
        "commit": commit,
        "source": run.tags.get("mlflow.source.name", ""),
        "user": run.tags.get("mlflow.user", ""),
    }
    return Record(
        trial_id=run.run_id,
        seed=seed,
        trainable="runs of other code",
        recipe=dict(run.params),
        status=status,
        started=run.started,
        ended=run.ended,
        seconds=max(run.ended - run.started, 0.0) if run.ended is not None else 0.0,
        attempts=attempts,
        metrics=dict(run.metrics) if status == "finished" else {},
        history=history,
        cause="error" if status == "failed" else None,
        error=f"run {run.name!r} failed; MLflow does not say why" if status == "failed" else "",
        data_fingerprint=run.data,
        environment={name: value for name, value in facts.items() if value},
    )
