"""Which Variants of a study are checked, and what came out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.check.comparison import compare, needs_exact
from ablate.check.finding import Finding
from ablate.check.known import finding_of, key_of, read_known, write_known
from ablate.recipe import Recipe
from ablate.study.designs import variant_name
from ablate.study.fingerprint import ABSENT
from ablate.study.study import VISION, ResolvedRecipe, Study, Variant

if TYPE_CHECKING:
    from ablate.training.probe import Probe

#: (checks made, checks to make, Variant that is next).
Progress = Callable[[int, int, str], None]
#: What only the images themselves can show: how they are split, and which they are.
_NEEDS_DATA = frozenset(
    {"data.source", "data.test_fraction", "data.val_fraction", "data.split_seed", "data.evaluate_on"}
)
#: What a Recipe that cannot be trained raises, and what a part of the user's own does that is not made for its place.
_BROKEN = (ValueError, TypeError, RuntimeError, AttributeError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Check:
    """A study's Variants against its baseline."""

    study: str
    profile: str
    variants: Mapping[str, Mapping[str, tuple[object, object]]]
    """Variant -> what it says that it changes: dotted field -> (value in the baseline, value here)."""
    findings: tuple[Finding, ...]
    """One for each Variant that was checked, in the study's order; one for the baseline where that cannot be built."""
    skipped: tuple[str, ...] = ()
    """Variants that combine Levels each of which was checked."""
    notes: tuple[str, ...] = ()
    """What was not checked, or not as it is, and why."""

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that are errors."""
        return tuple(finding for finding in self.findings if finding.status != "ok")


def check_study(study: Study, *, cache: Path | None = None, progress: Progress | None = None) -> Check:
    """Hold each Variant beside the baseline: it must change what it says, and nothing else.

    Variants of one Level and listed ones are checked, and such others as have a Level that none of these has.
    ``cache`` is a JSON file that keeps findings, so that a second check takes no time and imports no torch.
    """
    if study.trainable != VISION:
        note = f"this study trains with {study.trainable}, into whose models and updates no check can look"
        return Check(study.name, study.profile, {}, (), (), (note,))
    chosen, skipped = chosen_variants(study)
    notes: list[str] = []
    if study.data_fingerprint == ABSENT:
        chosen, notes = _without_data(study, chosen)
    keys = {v.name: key_of(study, v.recipe, cache and cache.parent / "fingerprints.json") for v in chosen}
    known = read_known(cache)
    found = {name: finding for name, key in keys.items() if (finding := finding_of(known, key)) is not None}
    left = [v for v in chosen if v.name not in found]
    new = _probed(study, left, progress) if left else {}
    # What cannot be built may lack a package or a file, which the keys do not tell.
    lasting = {keys[name]: f for name, f in new.items() if name in keys and f.status != "cannot be built"}
    write_known(cache, lasting)
    found |= new
    findings = [replace(found[v.name], variant=v.name) for v in study.variants if v.name in found]
    changes = {v.name: v.changes for v in chosen}
    return Check(study.name, study.profile, changes, tuple(findings), skipped, tuple(notes))


def chosen_variants(study: Study) -> tuple[list[Variant], tuple[str, ...]]:
    """The Variants to check, and the names of those that only combine Levels which are checked with these."""
    others = study.variants[1:]
    changed = {v.name: _changed_levels(study, v) for v in others}
    listed = {v.name for v in others if v.name != variant_name(v.levels, study.factors)}
    chosen = {name for name, levels in changed.items() if len(levels) == 1 or name in listed}
    covered = {level for name in chosen if len(changed[name]) == 1 for level in changed[name]}
    for name, levels in changed.items():
        if not levels <= covered:
            chosen.add(name)
            covered |= levels
    return [v for v in others if v.name in chosen], tuple(v.name for v in others if v.name not in chosen)


def _changed_levels(study: Study, variant: Variant) -> set[tuple[str, str]]:
    return {(f, level) for f, level in variant.levels.items() if level != study.factors[f].reference}


def _without_data(study: Study, chosen: list[Variant]) -> tuple[list[Variant], list[str]]:
    source = study.baseline.recipe["data"]["source"]
    notes = [f"the data ({source}) is not on this machine: random images stand in for it"]
    left = [v.name for v in chosen if _NEEDS_DATA & v.changes.keys()]
    if left:
        notes.append(f"not checked, since only the data can show what they change: {', '.join(left)}")
    return [v for v in chosen if v.name not in left], notes


def _probed(study: Study, variants: list[Variant], progress: Progress | None) -> dict[str, Finding]:
    bench = _Bench(study)
    found: dict[str, Finding] = {}
    try:
        bench.renew()
    except _BROKEN as error:
        return {study.baseline.name: _cannot_be_built(error, "; nothing can be held beside it")}
    for done, variant in enumerate(variants):
        if progress is not None:
            progress(done, len(variants), variant.name)
        try:
            found[variant.name] = bench.finding(variant)
        except _BROKEN as error:
            found[variant.name] = _cannot_be_built(error)
    return found


def _cannot_be_built(error: Exception, consequence: str = "") -> Finding:
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return Finding("cannot be built", note=f"{kind}{error}{consequence}")


class _Bench:
    """The baseline's probe, beside which Variants are held."""

    def __init__(self, study: Study) -> None:
        from ablate.data.sources import load
        from ablate.training.stand_in import stand_in

        self._recipe = study.baseline.recipe
        absent = study.data_fingerprint == ABSENT
        # Variants mostly share their data, and listing a large folder takes longer than all the rest.
        self._splits = lru_cache(maxsize=2)(stand_in if absent else load)
        self._baseline: Probe | None = None
        self._exact: Probe | None = None

    def renew(self) -> None:
        """Probe the baseline. Raises ValueError where it cannot be trained."""
        self._baseline, self._exact = self._probe(self._recipe), None

    def finding(self, variant: Variant) -> Finding:
        """Hold a Variant beside the baseline. Raises ValueError where it cannot be trained."""
        assert self._baseline is not None
        other = self._probe(variant.recipe)
        exact = None
        if needs_exact(self._baseline, other, variant.changes):
            self._exact = self._exact or self._probe(self._recipe, double=True)
            exact = (self._exact, self._probe(variant.recipe, double=True))
        finding = compare(self._baseline, other, variant.changes, exact)
        if finding.status == "leak":
            # It may have changed what lasts as long as this process; Variants after it must not be blamed for that.
            with contextlib.suppress(*_BROKEN):
                self.renew()
        return finding

    def _probe(self, recipe: ResolvedRecipe, *, double: bool = False) -> Probe:
        from ablate.training.probe import probe

        checked = Recipe.model_validate(recipe)
        return probe(checked, double=double, splits=self._splits(checked.data))
