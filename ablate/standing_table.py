"""How a study stands, for a terminal and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ablate.execution.display import clock
from ablate.plan import duration
from ablate.standing import STATES, State, StudyStanding, TrialStanding
from ablate.study.study import Study
from ablate.tracking.codec import pack_metrics

#: So many letters of a Trial's id name it to people, in a terminal of at least so many columns.
SHORT, WIDE = 8, 110
#: A study of more Trials shows one by one only those that want attention,
FOLDED_ABOVE = 40
#: and of each of these states so many.
SHOWN = 25
_FIRST: tuple[State, ...] = ("failed", "stale", "unknown", "running", "requeued")
_STYLES = {"failed": "red", "stale": "red", "unknown": "yellow", "running": "green", "finished": "dim", "new": "dim"}
#: What a narrow terminal does without, and how much of a node's name it is shown, and a wide one.
_WIDE_ONLY = ("id", "limit")
_NODE, _NODE_NARROW = 20, 9
_NUMBERS = ("seed", "epoch", "step", "last heartbeat", "time left", "limit")


def as_json(study: Study, standing: StudyStanding) -> dict[str, Any]:
    """One document with all that is known. Times are seconds since the Unix epoch, null is what nobody knows.

    ``study``, ``profile``, ``metric``; ``now``: when this was so; ``slurm``: why Slurm did not answer, else null;
    ``counts``: Trials by state, each state there is (`standing.STATES`); ``trials``, each with ``id``, ``variant``,
    ``seed``; ``state``, ``why``; ``job``, ``node`` (text, empty without); ``step`` of ``steps``; ``value``: the metric
    so far (NaN and infinities as text); ``heartbeat``: the latest sign of life; ``seconds_left`` at its pace,
    ``limit_seconds_left`` of Slurm's time limit; ``attempts``; ``cause`` and ``error`` of a failure.
    """
    return {
        "study": study.name,
        "profile": study.profile,
        "metric": study.metric.name,
        "now": standing.now,
        "slurm": standing.slurm or None,
        "counts": dict.fromkeys(STATES, 0) | _counts(standing.trials),
        "trials": [_plain(item) for item in standing.trials],
    }


def _plain(item: TrialStanding) -> dict[str, Any]:
    return {
        "id": item.trial.id,
        "variant": item.trial.variant,
        "seed": item.trial.seed,
        "state": item.state,
        "why": item.why,
        "job": item.job,
        "node": item.node,
        "step": item.step,
        "steps": item.steps,
        "value": None if item.value is None else pack_metrics({"value": item.value})["value"],
        "heartbeat": item.heartbeat,
        "seconds_left": item.seconds_left,
        "limit_seconds_left": item.limit_left,
        "attempts": item.attempts,
        "cause": item.cause,
        "error": item.error,
    }


def render(
    study: Study, standing: StudyStanding, *, width: int, whole: bool = False, most: int = SHOWN, away: str = ""
) -> RenderableType:
    """The study's table: counts first, then the Trials that want attention.

    Of a long study the rest is folded into counts per Variant, and of a state more than ``most`` into a number, unless
    the ``whole`` is asked for. ``away`` says since when Slurm has not answered.
    """
    ranked = sorted(standing.trials, key=lambda item: STATES.index(item.state))
    fold = not whole and len(ranked) > FOLDED_ABOVE
    shown = [item for item in ranked if not fold or item.state in _FIRST]
    parts: list[RenderableType] = [_headline(study, standing)]
    if standing.slurm:
        parts.append(Text(f"Slurm does not answer{away}: {standing.slurm}; this is what the spool knows", "yellow"))
    if shown:
        parts += [Text(), _table(study, shown, standing.now, width, None if whole else most)]
    if fold and len(shown) < len(ranked):
        parts += [Text(), _folded([item for item in standing.trials if item.state not in _FIRST])]
    notes = _notes(ranked)
    if notes:
        parts += [Text(), *notes[: None if whole else most]]
    return Group(*parts)


def _headline(study: Study, standing: StudyStanding) -> Text:
    counts = _counts(standing.trials)
    listed = ", ".join(f"{number} {_word(state)}" for state, number in counts.items())
    return Text(f"{study.slug}: {len(standing.trials)} Trials: {listed}")


def _counts(items: Sequence[TrialStanding]) -> dict[str, int]:
    counts = Counter(item.state for item in items)
    return {state: counts[state] for state in STATES if counts[state]}


def _word(state: str) -> str:
    return "not begun" if state == "new" else state


def _table(study: Study, items: Sequence[TrialStanding], now: float, width: int, most: int | None) -> Table:
    """One row a Trial; a narrow terminal does without ids, and nobody sees a column in which nothing stands."""
    step = "epoch" if any(item.steps is not None for item in items) else "step"
    metric = study.metric.name
    headings = ("Trial", "seed", "id", "state", "job", "node", step, metric, "last heartbeat", "time left", "limit")
    rows: list[tuple[str, ...]] = []
    styles: list[str] = []
    for state, group in groupby(items, key=lambda item: item.state):
        alike = list(group)
        kept = alike[:most]
        rows += [_cells(item, now, _NODE if width >= WIDE else _NODE_NARROW) for item in kept]
        styles += [_STYLES.get(state, "")] * len(kept)
        if len(alike) > len(kept):
            rows.append((f"and {len(alike) - len(kept):,} more", "", "", _word(state), *[""] * 7))
            styles.append(_STYLES.get(state, ""))
    wide = width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    used = [k for k, name in enumerate(headings) if any(row[k] for row in rows) and (wide or name not in _WIDE_ONLY)]
    for name in (headings[k] for k in used):
        justify: Literal["left", "right"] = "right" if name in (*_NUMBERS, metric) else "left"
        heading = Text(name if wide else name.rpartition(" ")[2], "dim")
        # Only a Variant's name may take several lines; numbers stay whole.
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=name != "Trial")
    for row, style in zip(rows, styles, strict=True):
        table.add_row(*(Text(row[k], style if headings[k] == "state" else "") for k in used))
    return table


def _cells(item: TrialStanding, now: float, longest: int) -> tuple[str, ...]:
    reached = "" if item.step is None else str(item.step)
    return (
        item.trial.variant,
        str(item.trial.seed),
        item.trial.id[:SHORT],
        _word(item.state),
        item.job,
        item.node if len(item.node) <= longest else f"{item.node[: longest - 1]}…",
        f"{reached}/{item.steps}" if reached and item.steps is not None else reached,
        "" if item.value is None else f"{item.value:.4g}",
        "" if item.heartbeat is None else age(now - item.heartbeat),
        "" if item.seconds_left is None else clock(item.seconds_left),
        "" if item.limit_left is None else clock(item.limit_left),
    )


def age(seconds: float) -> str:
    """How long ago something was, in its largest unit: `12 s ago`. A clock that is ahead counts as now."""
    return f"{' '.join(duration(max(0.0, seconds)).split()[:2])} ago"


def _notes(items: Sequence[TrialStanding]) -> list[Text]:
    """Why Trials stand as they do: failures one by one, and everything else once with all that it holds for."""
    notes = []
    alike: dict[tuple[str, str], list[TrialStanding]] = {}
    for item in items:
        if item.state == "failed":
            cause = "" if item.cause == "error" else f"{item.cause}: "
            tries = f" (attempt {item.attempts})" if item.attempts > 1 else ""
            notes.append(Text(f"FAILED {item.name}{tries}: {cause}{item.error}", "red"))
        elif item.why:
            alike.setdefault((_word(item.state), item.why), []).append(item)
    for (state, why), held in alike.items():
        who = held[0].name if len(held) == 1 else f"{len(held):,} Trials"
        notes.append(Text(f"{state}, {who}: {why}"))
    return notes


def _folded(items: Sequence[TrialStanding]) -> Table:
    """Counts of the rest, a Variant to a row."""
    states = list(_counts(items))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Variant", header_style="dim", overflow="fold")
    for state in states:
        table.add_column(_word(state), header_style="dim", justify="right")
    by_variant: dict[str, list[TrialStanding]] = {}
    for item in items:
        by_variant.setdefault(item.trial.variant, []).append(item)
    for variant, own in by_variant.items():
        counts = _counts(own)
        table.add_row(Text(variant), *(str(counts.get(state, "–")) for state in states))
    return table
