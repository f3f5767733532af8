"""Findings for the terminal and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ablate.doctor.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "not here": "dim"}


def render_findings(findings: Sequence[Finding]) -> RenderableType:
    """A row for each check, what to do below what was found; last, a line that counts."""
    table = Table(box=None)
    table.add_column("check", overflow="fold", min_width=14)
    table.add_column("", no_wrap=True)
    table.add_column("what was found, and what to do", overflow="fold")
    for finding in findings:
        says = Text(finding.says)
        if finding.advice:
            says.append(f"\n→ {finding.advice}", "bold")
        table.add_row(Text(finding.check), Text(finding.verdict, _STYLES[finding.verdict]), says)
    return Group(table, Text(), Text(summary(findings)))


def summary(findings: Sequence[Finding]) -> str:
    """How many problems and warnings there are."""
    counts = Counter(finding.verdict for finding in findings)
    problems, warnings = counts["problem"], counts["warning"]
    if not problems and not warnings:
        return f"{counts['ok']} checks, all is well"
    told = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((problems, "problem"), (warnings, "warning")) if n]
    return f"{counts['ok']} of {len(findings)} checks ok; {' and '.join(told)}"


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings for programs."""
    return {"ok": failed(findings) is False, "checks": [finding.as_json() for finding in findings]}


def failed(findings: Sequence[Finding]) -> bool:
    """Whether a problem was found."""
    return any(finding.verdict == "problem" for finding in findings)
