"""Which Variants a study trains: enumerations of one Level per Factor.

Loading a study goes through the whole of its design, so `size` tells beforehand how much that is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from ablate.study.study import BASELINE, Factor

Assignment = dict[str, str]


def reference(factors: Mapping[str, Factor]) -> Assignment:
    """Every Factor at its reference Level: the baseline."""
    return {name: factor.reference for name, factor in factors.items()}


def one_at_a_time(factors: Mapping[str, Factor]) -> Iterator[Assignment]:
    """The baseline, then each other Level of each Factor alone: 1 + sum(levels - 1) Variants."""
    yield reference(factors)
    for name, factor in factors.items():
        for level in factor.levels:
            yield reference(factors) | {name: level}


def factorial(factors: Mapping[str, Factor]) -> Iterator[Assignment]:
    """Every combination of Levels, the baseline first: product(levels) Variants."""
    choices = [[factor.reference, *factor.levels] for factor in factors.values()]
    for combination in itertools.product(*choices):
        yield dict(zip(factors, combination, strict=True))


def listed(factors: Mapping[str, Factor]) -> Iterator[Assignment]:
    """The baseline alone; the study's own list is added to whatever the design gives."""
    yield reference(factors)


DESIGNS: dict[str, Callable[[Mapping[str, Factor]], Iterator[Assignment]]] = {
    "one_at_a_time": one_at_a_time,
    "factorial": factorial,
    "listed": listed,
}


def size(name: str, factors: Mapping[str, Factor]) -> int:
    """How many Variants a design has, without enumerating them."""
    others = [len(factor.levels) for factor in factors.values()]
    return {"one_at_a_time": 1 + sum(others), "factorial": math.prod(n + 1 for n in others), "listed": 1}[name]


def union(names: Sequence[str], factors: Mapping[str, Factor]) -> Iterator[Assignment]:
    """The designs one after the other, each assignment once."""
    seen = set()
    for name in names:
        for assignment in DESIGNS[name](factors):
            key = tuple(assignment.values())
            if key not in seen:
                seen.add(key)
                yield assignment


def variant_name(assignment: Mapping[str, str], factors: Mapping[str, Factor]) -> str:
    """``baseline``, or the Levels that differ from it: ``posemb=learned,pool=cls``."""
    changed = [f"{name}={level}" for name, level in assignment.items() if level != factors[name].reference]
    return ",".join(changed) or BASELINE
