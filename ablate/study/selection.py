"""What patterns on their names, those of `--only`, choose of a study's Variants."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

from ablate.study.ahead import Ahead
from ablate.study.errors import Problem, StudyError
from ablate.study.matched import without_suffix
from ablate.study.merging import Named
from ablate.study.space import Space
from ablate.study.spelling import WILDCARDS
from ablate.study.study import BASELINE

_NOT_CHOSEN = (
    "a greedy ladder could reach this rung, but no result that is here has led to it; run the study without --only, or "
    "`ablate report` it first where the Store has its results"
)


def select(variants: Sequence[Named], patterns: Sequence[str], ahead: Ahead) -> list[Named]:
    """The baseline, and those that a pattern fits by any of their names.

    Raises `StudyError` for one that fits none, or none but rungs ``ahead`` that are no Variants by another name.
    """
    if not patterns:
        return list(variants)
    chosen = [variant.name == BASELINE for variant in variants]
    for pattern in patterns:
        fit = _fit(pattern)
        hits = [any(map(fit, variant.names)) for variant in variants]
        if not any(hits):
            of_rungs = _rungs_of(pattern, ahead)
            hits = [variant.name in of_rungs for variant in variants]
            if not any(hits):
                if of_rungs:
                    raise StudyError(Problem(f"--only {pattern}: {_NOT_CHOSEN}"))
                told = ahead.names(variants).unknown(*without_suffix(pattern))
                raise StudyError(Problem(f"--only {pattern}: there is no such Variant; {told}"))
        chosen = [before or now for before, now in zip(chosen, hits, strict=True)]
    return [variant for variant, taken in zip(variants, chosen, strict=True) if taken]


def depends_on_results(patterns: Sequence[str], ahead: Ahead, fixed: Space) -> bool:
    """Whether a pattern fits a rung that is in none of the ``fixed`` designs, and no candidate for the first rung.

    The answer is the same before and after results have led to such a rung. A name that is no pattern is an error where
    they have not, and so chooses the same wherever it chooses anything.
    """
    fits = [_fit(pattern) for pattern in patterns if not WILDCARDS.isdisjoint(pattern)]
    return bool(fits) and ahead.any_above(lambda point, name: point not in fixed and any(fit(name) for fit in fits))


def _rungs_of(pattern: str, ahead: Ahead) -> set[str]:
    """What has the Recipes of the rungs that a pattern, or a name, chooses."""
    if not WILDCARDS.isdisjoint(pattern):
        return ahead.fitting(_fit(pattern))
    carrier = ahead.carrier(without_suffix(pattern)[0])
    return set() if carrier is None else {carrier}


def _fit(pattern: str) -> Callable[[str], object]:
    """What a pattern fits; one on controls as it were on the Variants whose twins they are."""
    return re.compile(fnmatch.translate(without_suffix(pattern)[0])).match
