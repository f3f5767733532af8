"""What a run of a study would do: its Variants, what each changes, which Trials are there, how long the rest takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ablate.estimate import Estimate, estimate
from ablate.power import StudyPower, study_power
from ablate.reporting.kept import Kept
from ablate.study.designs import other_names
from ablate.study.fingerprint import ABSENT
from ablate.study.matched import NO_CONTROL
from ablate.study.overrides import flatten
from ablate.study.study import Study, Trial, Variant
from ablate.tracking.record import Record
from ablate.wording import brief

State = Literal["new", "running", "interrupted", "finished", "failed"]


@dataclass(frozen=True)
class Plan:
    """A study against what has been trained of it."""

    study: Study
    states: Mapping[str, State]
    """Trial id -> what is known of it here."""
    estimate: Estimate
    slots: int

    left: tuple[Trial, ...]
    """Trials that a run would train."""

    power: StudyPower | None = None
    """What the study's seeds can see; None where too little has finished to tell."""

    def seconds_left(self) -> float | None:
        """Wall time of a run, s, with the Trials shared out evenly over the slots."""
        left = self.estimate.total(t.id for t in self.left)
        return None if left is None else left / min(self.slots, max(1, len(self.left)))

    def as_json(self, *, full: bool) -> dict[str, Any]:
        """The plan for programs; ``full`` adds every resolved Recipe."""
        study = self.study
        return {
            "study": study.name,
            "profile": study.profile,
            "metric": study.metric.name,
            "seeds": list(study.seeds),
            "data_fingerprint": study.data_fingerprint,
            "variants": [
                {
                    "name": variant.name,
                    "levels": dict(variant.levels),
                    "changes": _changes(variant),
                    "published": {c.label: c.values[variant.name] for c in study.published if variant.name in c.values},
                    **({"recipe": variant.recipe} if full else {}),
                }
                for variant in study.variants
            ],
            "teachers": [
                {**self._trial(trial), "changes": _changes(teacher), **({"recipe": teacher.recipe} if full else {})}
                for teacher, trial in zip(study.teacher_variants, study.teachers, strict=True)
            ],
            "trials": [self._trial(trial) for trial in study.trials],
            "power": asdict(self.power) if self.power else None,
            "estimate": {"seconds": self.seconds_left(), "slots": self.slots, "basis": self.estimate.basis},
        }

    def _trial(self, trial: Trial) -> dict[str, Any]:
        return {
            "id": trial.id,
            "variant": trial.variant,
            "seed": trial.seed,
            "needs": list(trial.needs),
            "state": self.states[trial.id],
            "estimated_seconds": self.estimate.seconds[trial.id],
        }


def _changes(variant: Variant) -> dict[str, Any]:
    return {field: {"from": a, "to": b} for field, (a, b) in variant.changes.items()}


def make_plan(
    study: Study, records: Mapping[str, Record], finished: list[Record], slots: int, kept: Kept | None = None
) -> Plan:
    """Compare a study with what is known of its Trials; ``finished`` are Trials to estimate from, ``kept`` has their
    outcomes by image.
    """
    states: dict[str, State] = {t.id: records[t.id].status if t.id in records else "new" for t in study.all_trials}
    left = tuple(to_train(study, records, retry_diverged=False))
    return Plan(study, states, estimate(study, finished), slots, left, study_power(study, records, kept))


def to_train(
    study: Study, records: Mapping[str, Record], *, retry_diverged: bool, only: Collection[str] | None = None
) -> list[Trial]:
    """Trials without a result, those that others need first. A divergence is one: the same Recipe would diverge again,
    and so would those have no teacher again that were to learn from it. With ``only``, those of these ids that have
    not finished, however they ended.
    """
    trials = {trial.id: trial for trial in study.all_trials}

    def failed_for_good(trial_id: str) -> bool:
        record = records.get(trial_id)
        if record is None or record.status != "failed" or retry_diverged:
            return False
        if record.cause == "teacher":
            return any(failed_for_good(need) for need in trials[trial_id].needs if need in trials)
        return record.cause == "diverged"

    finished = {trial_id for trial_id, record in records.items() if record.status == "finished"}
    unfinished = [trial for trial in trials.values() if trial.id not in finished]
    if only is not None:
        return [trial for trial in unfinished if trial.id in only]
    return [trial for trial in unfinished if not failed_for_good(trial.id)]


def to_train_again(study: Study, records: Mapping[str, Record]) -> set[str]:
    """The ids of what a plain run trains, failures that it tries again among them."""
    return {trial.id for trial in to_train(study, records, retry_diverged=False)}


_COUNTS = ("new", "begun", "finished", "failed")


def render_plan(plan: Plan) -> RenderableType:
    """The plan for the terminal."""
    study = plan.study
    table = Table(title=f"{study.name}, profile {study.profile}: {study.question}", title_justify="left", box=None)
    needs = _needs(study)
    headings = ("Variant", "changes against the baseline", *(["needs"] if needs else []), *_COUNTS)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in _COUNTS else "left", overflow="fold")
    of_variant: dict[str, list[State]] = {}
    for trial in (*study.teachers, *study.trials):
        of_variant.setdefault(trial.variant, []).append(plan.states[trial.id])
    for variant in (*study.teacher_variants, *study.variants):
        states = of_variant.get(variant.name, [])
        changes = [f"{field}: {brief(a)} → {brief(b)}" for field, (a, b) in variant.changes.items()]
        begun = states.count("running") + states.count("interrupted")
        counts = (states.count("new"), begun, states.count("finished"), states.count("failed"))
        needed = [Text(needs.get(variant.name, "–"))] if needs else []
        table.add_row(Text(variant.name), Text("\n".join(changes) or "–"), *needed, *map(str, counts))
    return Group(table, Text("\n".join(["", *_summary(plan)])))


def _needs(study: Study) -> dict[str, str]:
    """Variant -> what it learns from: the study's teacher by its name, another Trial by its id."""
    names = {trial.id: trial.variant for trial in study.teachers}
    trials = (*study.teachers, *study.trials)
    return {t.variant: ", ".join(names.get(need, f"trial:{need}") for need in t.needs) for t in trials if t.needs}


def _summary(plan: Plan) -> list[str]:
    study, count = plan.study, len(plan.left)
    finished = sum(state == "finished" for state in plan.states.values())
    lines = [f"{_product(study)}: {finished} finished, {count} to train"]
    lines += [f"{v.name}: {v.note}" for v in study.variants if NO_CONTROL in v.note]
    lines += [f"{name} is also {also}: their Recipes are one" for name, also in _merged(study)]
    if study.data_fingerprint == ABSENT:
        source = study.baseline.recipe["data"]["source"]
        lines.append(f"the data ({source}) is not on this machine: this study can be planned here, not run")
    lines += [
        f"the teacher's weights ({name}) are not on this machine: this study can be planned here, not run"
        for name in study.absent
    ]
    left = plan.seconds_left()
    if count and left is not None:
        lines.append(f"about {duration(left)} on {plan.slots} slots, estimated from {plan.estimate.basis}")
    elif count:
        lines.append(f"time unknown; an estimate would rest on {plan.estimate.basis}")
    return [*lines, *(plan.power.lines() if plan.power else [])]


def _merged(study: Study) -> list[tuple[str, str]]:
    """Variants that the study asks for twice, with their other names; what a design calls a listed one is none."""
    found = [(variant.name, ", ".join(other_names(variant, study.factors))) for variant in study.variants]
    return [(name, others) for name, others in found if others]


def _product(study: Study) -> str:
    """How many Trials there are, and why."""
    own = len({trial.id for trial in study.trials})
    number = f"{own} Trials" if own == len(study.trials) else f"{len(study.trials)} results from {own} Trials"
    extra = len(study.all_trials) - own
    teachers = f", and {extra} {'teacher' if extra == 1 else 'teachers'}" if extra else ""
    if (limits := study.sequential) is not None:
        more = f"seeds are added up to {limits.most} where a verdict is open"
        return f"{len(study.variants)} Variants from {limits.least} seeds on: {number} so far{teachers}; {more}"
    grows = "; its greedy ladder grows by the results" if any(b.greedy and b.candidates for b in study.blocks) else ""
    return f"{len(study.variants)} Variants x {len(study.seeds)} seeds = {number}{teachers}{grows}"


def render_recipes(study: Study) -> RenderableType:
    """Every value of every Variant's Recipe, dotted field by dotted field."""
    table = Table(box=None)
    for heading in ("Variant", "field", "value"):
        table.add_column(heading, overflow="fold")
    for variant in (*study.teacher_variants, *study.variants):
        for field, value in flatten(variant.recipe):
            style = "bold" if field in variant.changes else ""
            table.add_row(Text(variant.name), Text(field), Text(brief(value), style))
        table.add_section()
    return table


def duration(seconds: float) -> str:
    """A duration in the two largest units that say something: `3 min 20 s`, `5 h 10 min`, `12 d 3 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
