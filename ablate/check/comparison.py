"""One Variant's probe against the baseline's: what differs, what of it may, and whether anything does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ablate.check.finding import Aspect, Difference, Finding
from ablate.check.reach import Reach, allows_module, allows_tensor, reach_of
from ablate.check.words import MISSING, effects_in_words, figures, grouped, whole_model

if TYPE_CHECKING:
    from ablate.training.probe import Probe

#: Relative difference of a loss or a norm beyond which it is no rounding, in float32 over two updates and in float64.
_ROUNDING, _ROUNDING_DOUBLE = 1e-4, 1e-11
#: Relative difference of a loss that must not differ: the same images and weights, by kernels that may be others.
_SAME_LOSS = 1e-5
#: No rounding only beyond more, and that in float64: a bias before a batch norm has no gradient but rounding, of which
#: AdamW may make a whole step, and running statistics show it.
_AMPLIFIED, _ROUNDING_AMPLIFIED = "evaluation loss after two updates", 1e-8
#: Number -> the name under which `reach` lets it differ.
_REACHED_AS = {
    "evaluation loss": "evaluation loss",
    "training loss": "training loss",
    "gradient norm": "training loss",
}

Sides = Mapping[str, tuple[Any, Any]]


def compare(baseline: Probe, variant: Probe, changes: Sides, exact: tuple[Probe, Probe] | None = None) -> Finding:
    """Whether a Variant that changes these fields does what it says and nothing else.

    ``exact`` are both sides' probes in float64, where `needs_exact` asks for them; without, float32 decides. What is
    said of a Level without effect is left to `ablate.check.reasons`.
    """
    found = list(_differences(baseline, variant))
    reach = reach_of(changes, baseline, variant)
    leaks = [d for d in found if not _allowed(reach, d, baseline, variant)]
    effects = effects_in_words(baseline, variant, found)
    if leaks:
        note = f"it may change what {_listed(changes)} says, and no more"
        return Finding("leak", effects, grouped(leaks), note)
    if not _has_effect(baseline, variant, changes, exact):
        return Finding("no effect", effects, _without_effect(baseline, found, changes))
    return Finding("ok", effects, (), _only_beyond(baseline, variant, changes, found))


def needs_exact(baseline: Probe, variant: Probe, changes: Sides) -> bool:
    """Whether the two are so close that only float64 can tell a small effect from rounding.

    Where the model computes in another order, rounding differs, and AdamW makes much of little. Anything but the model
    leaves the order as it is, so that there the smallest difference is one.
    """
    if not only_model(changes) or not changes or baseline.stream != variant.stream:
        return False
    return _same_numbers(baseline, variant, _ROUNDING, amplified=math.inf)


def only_model(changes: Iterable[str]) -> bool:
    """Whether all that changes is the model."""
    return all(field.split(".")[0] == "model" for field in changes)


def _has_effect(baseline: Probe, variant: Probe, changes: Sides, exact: tuple[Probe, Probe] | None) -> bool:
    if baseline.stream != variant.stream or baseline.rates != variant.rates:
        return True
    if exact is not None:
        return not _same_numbers(*exact, _ROUNDING_DOUBLE, amplified=_ROUNDING_AMPLIFIED)
    if only_model(changes):
        # A parameter that nothing reads is no effect, so that the function alone counts.
        return not _same_numbers(baseline, variant, 0.0, amplified=0.0)
    return (baseline.updated, baseline.beyond) != (variant.updated, variant.beyond)


def _same_numbers(baseline: Probe, variant: Probe, tolerance: float, *, amplified: float) -> bool:
    one, other = _numbers(baseline), _numbers(variant)
    return all(_close(one[n], other[n], amplified if n == _AMPLIFIED else tolerance) for n in one)


def _close(one: float, other: float, tolerance: float) -> bool:
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=0.0) or (math.isnan(one) and math.isnan(other))


def _numbers(probe: Probe) -> dict[str, float]:
    return {**probe.losses, **probe.norms}


def _differences(baseline: Probe, variant: Probe) -> Iterator[Difference]:
    sides: list[tuple[Aspect, Mapping[str, Any], Mapping[str, Any]]] = [
        ("module", baseline.modules, variant.modules),
        ("parameter", baseline.parameters, variant.parameters),
        ("buffer", baseline.buffers, variant.buffers),
        ("stream", baseline.stream, variant.stream),
    ]
    for aspect, before, after in sides:
        yield from _unequal(aspect, before, after)
    for name, value in _numbers(baseline).items():
        other = _numbers(variant)[name]
        if not _close(value, other, 0.0):
            yield Difference("loss" if name in baseline.losses else "update", name, *figures(value, other))
    yield from _unequal("update", {"learning rates": baseline.rates}, {"learning rates": variant.rates})
    updated = list(_unequal("update", baseline.updated, variant.updated))
    yield from updated or _unequal("update", baseline.beyond, variant.beyond)


def _unequal(aspect: Aspect, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in [*before, *(n for n in after if n not in before)]:
        one, other = before.get(name), after.get(name)
        if one != other:
            yield Difference(
                aspect, name, MISSING if one is None else str(one), MISSING if other is None else str(other)
            )


def _allowed(reach: Reach, found: Difference, baseline: Probe, variant: Probe) -> bool:
    name = found.name
    if found.aspect == "module":
        return allows_module(reach, name)
    if found.aspect in ("parameter", "buffer"):
        before, after = (side.parameters.get(name) or side.buffers.get(name) for side in (baseline, variant))
        return allows_tensor(reach, name, before, after, _owner_differs(baseline, variant, name))
    if found.aspect == "stream" or name == "learning rates":
        return name in reach.beside
    if name in _REACHED_AS and _close(_numbers(baseline)[name], _numbers(variant)[name], _SAME_LOSS):
        return True
    return _REACHED_AS.get(name, "update") in reach.beside


def _owner_differs(baseline: Probe, variant: Probe, name: str) -> bool:
    """Whether the module that holds a tensor has another attribute, or a tensor of another shape."""
    owner = name.rpartition(".")[0]

    def told(side: Probe) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
        tensors = {**side.parameters, **side.buffers}
        shapes = {n: values.shape for n, values in tensors.items() if n.rpartition(".")[0] == owner}
        return {n: text for n, text in side.modules.items() if n.partition(":")[0] == owner}, shapes

    return told(baseline) != told(variant)


def _without_effect(baseline: Probe, found: list[Difference], changes: Sides) -> tuple[Difference, ...]:
    """What differs all the same, and the losses which do not."""
    tree = [d for d in found if d.aspect in ("module", "parameter", "buffer")]
    said = [Difference("field", f, whole_model(f, a), whole_model(f, b)) for f, (a, b) in changes.items()]
    same = [Difference("loss", n, *figures(value, value)) for n, value in baseline.losses.items()]
    return (*said, *grouped(tree), *same)


def _only_beyond(baseline: Probe, variant: Probe, changes: Sides, found: list[Difference]) -> str:
    """Where only the far too large gradient showed the effect: beyond which norm it begins."""
    if baseline.updated != variant.updated or any(d.aspect in ("stream", "loss") for d in found):
        return ""
    if baseline.rates != variant.rates or "optimizer.clip_norm" not in changes:
        return ""
    bound = min(float(side) for side in changes["optimizer.clip_norm"] if side != "off")
    largest = max(baseline.norms.values())
    return f"takes effect only where the gradient's norm is above {bound:g}; here it was at most {largest:.3g}"


def _listed(changes: Sides) -> str:
    return ", ".join(changes)
