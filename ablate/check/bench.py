"""Where Variants are held beside the baseline and beside each other, each probed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ablate.check.comparison import compare, needs_exact, only_model
from ablate.check.finding import Finding, Status
from ablate.check.reasons import why_no_effect
from ablate.recipe import Recipe
from ablate.study.fingerprint import ABSENT
from ablate.study.overrides import differences
from ablate.study.study import Study, Variant

if TYPE_CHECKING:
    from ablate.training.probe import Probe

#: What a Recipe that cannot be trained raises, and what a part of the user's own does that is not made for its place.
BROKEN = (ValueError, TypeError, RuntimeError, AttributeError, LookupError, ArithmeticError)


def broken(error: Exception, consequence: str = "") -> Finding:
    """The finding of a Variant whose probe raised this."""
    from ablate.training.probe import UntrainableError

    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    status: Status = "cannot be trained" if isinstance(error, UntrainableError) else "cannot be built"
    return Finding(status, note=f"{kind}{error}{consequence}")


class Bench:
    """The probes of a study's Variants."""

    def __init__(self, study: Study) -> None:
        from ablate.data.sources import load
        from ablate.training.stand_in import stand_in

        self._study = study
        absent = study.data_fingerprint == ABSENT
        # Variants mostly share their data, and listing a large folder takes longer than all the rest.
        self._splits = lru_cache(maxsize=2)(stand_in if absent else load)
        self._probes: dict[tuple[str, bool], Probe] = {}

    def finding(self, variant: Variant, nearest: Variant | None) -> Finding:
        """Hold a Variant beside the baseline, and beside the Variant nearest to it. Raises `BROKEN` where it fails.

        A teacher is held beside nothing, and in order if it can be built and trained.
        """
        if variant.is_teacher:
            taught = self.probe(variant)
            return Finding("ok", (f"{taught.parameter_count:,} parameters",))
        found = self._held(variant, self._study.baseline, variant.changes)
        if found.status != "ok" or nearest is None:
            return replace(found, beside=nearest.name) if nearest is not None else found
        try:
            self.probe(nearest)
        except BROKEN:  # told where it is held itself
            return found
        step = self._held(variant, nearest, differences(nearest.recipe, variant.recipe))
        if step.status == "ok":
            return replace(found, beside=nearest.name)
        return replace(step, beside=nearest.name, note=f"beside {nearest.name}, the Variant nearest to it: {step.note}")

    def _held(self, variant: Variant, other: Variant, changes: Mapping[str, tuple[Any, Any]]) -> Finding:
        sides = self.probe(other), self.probe(variant)
        exact, failure = None, ""
        if needs_exact(*sides, changes):
            try:
                exact = self.probe(other, double=True), self.probe(variant, double=True)
            except BROKEN as error:  # the same in float32 was no error
                failure = f"told by float32, in which rounding is an effect, too: float64 fails with {error}"
        found = compare(*sides, changes, exact)
        if found.status == "leak":
            # It may have changed what lasts as long as this process; Variants after it must not be blamed for that.
            self._renew()
        if found.status == "no effect":
            rounded = exact is None and (bool(failure) or not only_model(changes))
            beside = "the baseline" if other.is_baseline else other.name
            why = why_no_effect(changes, variant.recipe, sides[1], beside, rounded=rounded)
            return replace(found, note=why)
        return replace(found, note="; ".join(filter(None, (found.note, failure))))

    def _renew(self) -> None:
        kept, self._probes = self._probes, {}
        try:
            self.probe(self._study.baseline)
        except BROKEN:
            self._probes = kept

    def probe(self, variant: Variant, *, double: bool = False) -> Probe:
        """The Variant's probe, made once. Raises `BROKEN` where it cannot be trained."""
        from ablate.training.probe import probe

        key = variant.name, double
        if key not in self._probes:
            checked = Recipe.model_validate(variant.recipe)
            self._probes[key] = probe(checked, double=double, splits=self._splits(checked.data))
        return self._probes[key]
