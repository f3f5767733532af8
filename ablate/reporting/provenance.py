"""Where results come from, and what exactly was trained: facts for the end of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.reporting.comparison import value_text
from ablate.study.study import ResolvedRecipe, Study
from ablate.tracking.record import Record


def provenance(study: Study, records: Mapping[str, Record]) -> dict[str, str]:
    """Fact -> value; where Trials differ, each value with the number of Trials, the most frequent first."""
    known = [records[trial.id] for trial in study.all_trials if trial.id in records]
    facts = {"study": f"{study.path.name}, profile {study.profile}", "trainable": study.trainable}
    if study.selection:
        facts["selection"] = study.selection
    facts["data fingerprint"] = _values([r.data_fingerprint for r in known] or [study.data_fingerprint])
    facts["attempts"] = _values([str(r.attempts) for r in known]) if any(r.attempts > 1 for r in known) else ""
    trained = [record for record in known if record.cause != "teacher"]  # the others never ran
    for key in sorted({key for record in trained for key in record.environment}):
        facts[key] = _values([record.environment.get(key, "unknown") for record in trained])
    return {key: value for key, value in facts.items() if value}


def _values(values: list[str]) -> str:
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    if len(counts) == 1:
        return counts[0][0]
    return "; ".join(f"{value or 'none'} ({n} Trials)" for value, n in counts)


def flat_recipe(recipe: ResolvedRecipe) -> dict[str, str]:
    """Dotted field -> value as text, for every value of a resolved Recipe, in its own order."""
    return dict(_walk(recipe, ""))


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value_text(value)
