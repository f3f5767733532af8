"""What a Trial and a Variant look like in MLflow: names, tags, params and texts, as plain Python values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.study.overrides import flatten
from ablate.study.study import TEACHER, Study, Trial, Variant
from ablate.tracking.codec import pack_metrics
from ablate.tracking.record import Record, Row
from ablate.tracking.store import variant_key

KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH, DIGEST_LENGTH = 250, 6000, 5000, 36
VARIANT_KEY = "ablate.variant_key"
KIND = "ablate.kind"
#: Names the other Variants, or the teacher, whose Trial a run is, too.
ALSO = "ablate.also"
#: Tags of a run that say where in the study its Trial stands.
STANDING = (VARIANT_KEY, KIND, ALSO)
_NOTE = "mlflow.note.content"
_NOT_A_KEY = re.compile(r"[^\w\-. /]")
_STATUS_IN_MLFLOW = {"running": "RUNNING", "interrupted": "KILLED", "finished": "FINISHED", "failed": "FAILED"}


def key(name: str) -> str:
    """A name that MLflow takes for a param, a tag or a metric: others become ``_`` in it, and it ends at 250."""
    clean = _NOT_A_KEY.sub("_", name)[:KEY_LENGTH]
    # MLflow also refuses keys that are not normal paths.
    parts = [part for part in clean.split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "_"


def cut(value: str, length: int) -> str:
    """``value``, cut with an ellipsis where it is longer; the whole one is in ``recipe.json``."""
    return value if len(value) <= length else value[: length - 1] + "…"


def params(recipe: Mapping[str, Any]) -> dict[str, str]:
    """A resolved Recipe as params: dotted keys; strings as they are, other values as JSON."""
    return {key(field): cut(_text(value), PARAM_LENGTH) for field, value in flatten(recipe)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def study_tags(study: Study) -> dict[str, str]:
    """Tags of the experiment."""
    note = [f"**{study.question}**" if study.question else ""]
    note += [f"{name}: {said}" for name, said in (("Source", study.source), ("Expected", study.expected)) if said]
    note.append(study.selection)
    taught = "; a teacher is a run of its own" if study.teachers else ""
    note.append(
        f"One parent run a Variant, one child run a Trial{taught}. Compared by `{study.metric.name}` "
        f"({study.metric.direction}). The report is the run named `report`."
    )
    return _tags(
        {
            "ablate.study": study.name,
            "ablate.profile": study.profile,
            "ablate.question": study.question,
            _NOTE: "\n\n".join(line for line in note if line),
        }
    )


def variant_tags(study: Study, variant: Variant) -> dict[str, str]:
    """Tags of a parent run: study, Variant, the Level of each Factor, and a description."""
    lines = [f"Variant **{variant.name}** of {study.slug}: {study.question}", variant.note]
    if variant.is_baseline:
        lines.append("The baseline: every Factor at its reference Level.")
    lines.append("\n".join(f"- `{name}`: `{was}` → `{now}`" for name, (was, now) in variant.changes.items()))
    return _tags(
        {
            KIND: "variant",
            "ablate.study": study.name,
            "ablate.profile": study.profile,
            "ablate.variant": variant.name,
            VARIANT_KEY: variant_key(variant),
            **{f"factor.{factor}": level for factor, level in variant.levels.items()},
            _NOTE: "\n\n".join(line for line in lines if line),
            "mlflow.source.name": str(study.path),
            "mlflow.source.type": "LOCAL",
        }
    )


def report_tags(study: Study, description: str) -> dict[str, str]:
    """Tags of the run that holds the report. A description too long for MLflow ends with a whole line."""
    note = f"The report of {study.slug}: {study.question}\n\n{description}".rstrip()
    rest = "\n\n... the rest is in `report.md`, among the artifacts."
    if len(note) > TAG_LENGTH:
        note = note[: note.rindex("\n", 0, TAG_LENGTH - len(rest))] + rest
    return _tags({KIND: "report", "ablate.study": study.name, "ablate.profile": study.profile, _NOTE: note})


def place_tags(study: Study, variant: Variant, trial: Trial, parent: str | None, also: Sequence[str]) -> dict[str, str]:
    """Tags of a Trial's run that the study decides: where it stands; a child run but for a teacher.

    A Trial that is several Variants', which differ in how they are judged alone, is the first one's child; ``also``
    names the others.
    """
    return _tags(
        {
            **({"mlflow.parentRunId": parent} if parent else {}),
            **({ALSO: "; ".join(also)} if also else {}),
            **({"ablate.needs": " ".join(trial.needs)} if trial.needs else {}),
            KIND: "teacher" if variant.is_teacher else "trial",
            "ablate.trial_id": trial.id,
            "ablate.seed": str(trial.seed),
            "ablate.trainable": study.trainable,
            _NOTE: _trial_note(study, variant, trial),
        }
    )


def trial_tags(place: Mapping[str, str], record: Record) -> dict[str, str]:
    """All tags of a Trial's run: those of its place, and the Record's, which may change while it runs."""
    environment = dict(record.environment)
    tags = {
        **place,
        "ablate.trainable": record.trainable,
        "ablate.status": record.status,
        "ablate.cause": record.cause or "",
        "ablate.attempts": str(record.attempts),
        "ablate.seconds": f"{record.seconds:.3f}",
        "ablate.data_fingerprint": record.data_fingerprint,
    }
    if record.status == "failed":
        tags[_NOTE] = f"**Failed ({record.cause}):** {record.error}\n\n{place.get(_NOTE, '')}"
    if commit := environment.pop("git_commit", ""):
        tags["mlflow.source.git.commit"] = commit
    tags |= {f"env.{name}": value for name, value in environment.items()}
    return _tags(tags)


def run_name(tags: Mapping[str, str]) -> str:
    """What a child run with these tags is called."""
    return f"{tags['ablate.variant']} · seed {tags['ablate.seed']}"


def mlflow_status(record: Record) -> str:
    """The status of the run that shows this Record."""
    return _STATUS_IN_MLFLOW[record.status]


def milliseconds(seconds: float) -> int:
    """Seconds since the Unix epoch as MLflow counts them."""
    return round(seconds * 1000)


def points(rows: Sequence[Row]) -> list[tuple[str, float, int, int]]:
    """Every measurement as (key, value, timestamp in ms, step)."""
    return [(key(name), value, milliseconds(row.time), row.step) for row in rows for name, value in row.metrics.items()]


def final_points(record: Record) -> list[tuple[str, float, int, int]]:
    """The final metrics, as the last value of the curve of the same name.

    MLflow takes the value of the highest step, then of the latest time, for a run's value. Where the curve ends
    with that very value nothing is added, so that the curve keeps one point a step.
    """
    last = record.history[-1] if record.history else Row(0, {}, record.started)
    shown = pack_metrics(last.metrics)
    time = max(milliseconds(record.ended or last.time), milliseconds(last.time) + 1)
    packed = pack_metrics(record.metrics)
    return [(key(n), v, time, last.step) for n, v in record.metrics.items() if shown.get(n) != packed[n]]


def digest(rows: Sequence[Row]) -> str:
    """Identifies a history, to see whether what was delivered earlier is still its beginning."""
    text = json.dumps([(row.step, pack_metrics(row.metrics), row.time) for row in rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_name(study: Study, recipe: Mapping[str, Any]) -> str:
    """How the data set is called in MLflow: the Recipe's source where it has one."""
    data = recipe.get("data")
    source = data.get("source") if isinstance(data, Mapping) else data
    return str(source) if source else study.name


def _trial_note(study: Study, variant: Variant, trial: Trial) -> str:
    if variant.is_teacher:
        name = variant.name.removeprefix(TEACHER)
        lines = [f"The teacher **{name}** of {study.slug}, seed {trial.seed}, from which others learn.", variant.note]
    else:
        lines = [f"Seed {trial.seed} of Variant **{variant.name}** in {study.slug}."]
    changes = [f"- `{name}`: `{was}` → `{now}`" for name, (was, now) in variant.changes.items()]
    baseline = "The base as it is." if variant.is_teacher else "The baseline: every Factor at its reference Level."
    lines.append("\n".join(changes) if changes else baseline)
    lines.append(f"Trial `{trial.id}`; the whole Recipe is in `recipe.json`, the result in `result.json`.")
    return "\n\n".join(line for line in lines if line)


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key(name): cut(value, TAG_LENGTH) for name, value in tags.items()}
