"""A check for the terminal and for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ablate.check.finding import Difference, Finding
from ablate.check.study import Check
from ablate.check.words import whole_model
from ablate.study.study import BASELINE
from ablate.wording import brief

_STYLES = {"ok": "green"}
#: Differences of an error that the terminal shows; `as_json` has them all.
_SHOWN = 8


def render_check(check: Check) -> RenderableType:
    """A row for each Variant; below, every error with both sides; last, a line that counts."""
    parts: list[RenderableType] = []
    if check.findings:
        parts.append(_table(check))
    parts.append(render_errors(check))
    return Group(*parts, *[Text(note) for note in check.notes], Text(summary(check)))


def render_errors(check: Check) -> RenderableType:
    """Every error with both sides."""
    return Group(*[Text(line) for finding in check.failed for line in _error(finding)])


def summary(check: Check) -> str:
    """How many Variants were checked, with what result, and how many were left out."""
    errors, count = len(check.failed), len(check.findings)
    result = f"{errors} of {count} Variants in error" if errors else f"{count} Variants checked, each does what it says"
    if not count:
        result = "nothing was checked"
    elif check.findings[0].variant == BASELINE:
        result = f"nothing could be checked: the baseline {check.findings[0].status}"
    left_out = f"; {len(check.skipped)} combinations of Levels that were each checked are left out"
    return f"{check.study}, profile {check.profile}: {result}{left_out if check.skipped else ''}"


def as_json(check: Check) -> dict[str, Any]:
    """The check for programs."""
    return {
        "study": check.study,
        "profile": check.profile,
        "ok": not check.failed,
        "variants": [
            {
                **finding.as_json(),
                "changes": {f: {"from": a, "to": b} for f, (a, b) in check.variants.get(finding.variant, {}).items()},
            }
            for finding in check.findings
        ],
        "skipped": list(check.skipped),
        "notes": list(check.notes),
    }


def _table(check: Check) -> Table:
    table = Table(box=None)
    for heading in ("Variant", "", "what it says", "what differs"):
        table.add_column(heading, overflow="fold")
    for finding in check.findings:
        changes = check.variants.get(finding.variant, {})
        says = [f"{field}: {_side(field, a)} → {_side(field, b)}" for field, (a, b) in changes.items()]
        effects = [*finding.effects, *([finding.note] if finding.note and finding.status == "ok" else [])]
        if finding.beside and finding.status == "ok":
            effects.append(f"held beside {finding.beside}, too")
        status = Text(finding.status, _STYLES.get(finding.status, "bold red"))
        table.add_row(Text(finding.variant), status, Text("\n".join(says) or "–"), Text("; ".join(effects) or "–"))
    return table


def _side(field: str, value: Any) -> str:
    return whole_model(field, value) if field == "model" else brief(value)


def _error(finding: Finding) -> list[str]:
    lines = ["", f"{finding.variant}: {finding.status}: {finding.note}"]
    lines += [f"  {_sides(difference)}" for difference in finding.problems[:_SHOWN]]
    if len(finding.problems) > _SHOWN:
        lines.append(f"  and {len(finding.problems) - _SHOWN} more")
    return lines


def _sides(found: Difference) -> str:
    name = f"model{found.name}" if found.name[:1] in ("", ":") else found.name
    what = f"{found.aspect} " if found.aspect in ("module", "parameter", "buffer", "field") else ""
    places = f" ({found.places} places)" if found.places > 1 else ""
    return f"{what}{name}{places}: {found.before} → {found.after}"
