"""Differences in words: what a reader wants to see of two probes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ablate.check.finding import Difference

if TYPE_CHECKING:
    from ablate.training.probe import Probe

MISSING = "–"
#: Differences of one sort that are named; of the others the number is told.
_NAMED = 3


def figures(one: float, other: float) -> tuple[str, str]:
    """Two numbers with as many digits, at least four, as it takes to tell them apart; equal ones have seven."""
    if one == other:
        return f"{one:.7g}", f"{other:.7g}"
    for digits in range(4, 17):
        texts = f"{one:#.{digits}g}", f"{other:#.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(one), repr(other)


def whole_model(field: str, value: Any) -> str:
    """The value of a field; of the whole model only its name, or of one without a name its size."""
    if field != "model" or not isinstance(value, Mapping):
        return str(value)
    return str(value.get("name") or f"a model of the space, dim {value.get('dim')}, depth {value.get('depth')}")


def grouped(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """What differs in several blocks, or layers, once, with the sides of the first."""
    groups: dict[tuple[str, str], list[Difference]] = {}
    for difference in found:
        groups.setdefault((difference.aspect, _general(difference.name)), []).append(difference)
    return tuple(
        replace(first, name=general if others else first.name, places=1 + len(others))
        for (_, general), (first, *others) in groups.items()
    )


def _general(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=[.:]|$)", "*", name)


def effects_in_words(baseline: Probe, variant: Probe, found: list[Difference]) -> tuple[str, ...]:
    """What differs, the most telling first: modules, parameters, tables, batches, losses, updates."""
    texts = _modules(found)
    if baseline.parameter_count != variant.parameter_count:
        counts = _count(baseline.parameter_count), _count(variant.parameter_count)
        if counts[0] == counts[1]:
            counts = f"{baseline.parameter_count:,}", f"{variant.parameter_count:,}"
        texts.append(f"parameters {counts[0]} → {counts[1]}")
    redrawn = [d.name for d in found if d.aspect == "parameter" and _same_shape(d.name, baseline, variant)]
    if redrawn:
        texts.append(f"other first values in {len(redrawn)} of {len(baseline.parameters)} parameters")
    for aspect in ("stream", "loss"):
        texts += _numbers_and_digests([d for d in found if d.aspect == aspect])
    return (*texts, *_updates(found))


def _same_shape(name: str, baseline: Probe, variant: Probe) -> bool:
    sides = [side.parameters[name].shape for side in (baseline, variant) if name in side.parameters]
    return len(sides) == 2 and sides[0] == sides[1]


def _modules(found: list[Difference]) -> list[str]:
    """Which modules are others; what is in one that is another is not told again, nor an attribute beside it."""
    modules = [d for d in found if d.aspect == "module"]
    replaced = {d.name for d in modules if ":" not in d.name}

    def told_above(name: str) -> bool:
        owner, _, attribute = name.partition(":")
        above = [owner[:i] for i, c in enumerate(owner) if c == "."] + ([owner] if attribute else [])
        return any(other in replaced for other in above)

    shown = grouped(d for d in modules if not told_above(d.name))
    shown = tuple(sorted(shown, key=lambda d: ":" in d.name))
    texts = [_module(d) for d in shown[:_NAMED]]
    return texts + ([f"{len(shown) - _NAMED} more in the modules"] if len(shown) > _NAMED else [])


def _module(found: Difference) -> str:
    owner, separator, attribute = found.name.partition(":")
    where = f"{owner or 'model'}: {attribute} " if separator else f"{owner or 'model'}: "
    return f"{where}{_brief(found.before)} → {_brief(found.after)}"


def _brief(text: str) -> str:
    try:
        return text if len(text) < 8 else f"{float(text):.4g}"
    except ValueError:
        return text


def _numbers_and_digests(found: list[Difference]) -> list[str]:
    """Numbers with both sides, and only the names of what is known by a digest; one loss stands for all."""
    if found and found[0].aspect == "loss":
        order = ("training loss", "loss after one update", "evaluation loss", "evaluation loss after two updates")
        first = min(found, key=lambda d: order.index(d.name))
        return [f"{first.name.replace('training loss', 'loss')} {first.before} → {first.after}"]
    counted = [f"{d.name} {d.before} → {d.after}" for d in found if d.name in ("batch size", "updates an epoch")]
    digests = [d.name for d in found if d.name not in ("batch size", "updates an epoch")]
    return [*counted, *([f"other {', '.join(digests)}"] if digests else [])]


def _updates(found: list[Difference]) -> list[str]:
    names = [d.name for d in found if d.aspect == "update"]
    texts = ["other learning rates"] if "learning rates" in names else []
    if not any(d.aspect == "loss" for d in found) and len(names) > len(texts):
        texts.append("other updates")
    return texts


def _count(number: int) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)
