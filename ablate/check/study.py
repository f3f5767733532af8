"""Which Variants of a study are checked, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.check.bench import BROKEN, Bench, broken
from ablate.check.finding import Finding
from ablate.check.known import finding_of, key_of, write_known
from ablate.check.reach import BEYOND_TWO_UPDATES
from ablate.remembered import read_json
from ablate.study.designs import variant_name
from ablate.study.fingerprint import ABSENT
from ablate.study.overrides import differences
from ablate.study.study import VISION, Study, Variant

#: (checks made, checks to make, Variant that is next).
Progress = Callable[[int, int, str], None]
#: What only the images themselves can show: how they are split, and which they are.
_NEEDS_DATA = frozenset(
    {"data.source", "data.test_fraction", "data.val_fraction", "data.split_seed", "data.evaluate_on"}
    | {"data.carve", "data.train_split", "data.test_split"}
)


@dataclass(frozen=True)
class Check:
    """A study's Variants against its baseline."""

    study: str
    profile: str
    variants: Mapping[str, Mapping[str, tuple[object, object]]]
    """Variant -> what it says that it changes: dotted field -> (value in the baseline, value here)."""
    findings: tuple[Finding, ...]
    """One for each Variant that was checked, in the study's order; the baseline's alone where that is in error."""
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

    Variants of one Level and listed ones are checked, and such others as have a Level that none of these has. One of
    several Levels is held beside the Variant nearest to it, too: beside the baseline a Level that does nothing, or too
    much, is hidden by the others. Teachers are built and updated, and held beside nothing: they are as they are.
    ``cache`` is a JSON file that keeps findings, so that a second check takes no time and imports no torch.
    """
    if study.trainable != VISION:
        note = f"this study trains with {study.trainable}, into whose models and updates no check can look"
        return Check(study.name, study.profile, {}, (), (), (note,))
    chosen, skipped = chosen_variants(study)
    chosen, notes = _shown_by_two_updates(chosen)
    if study.data_fingerprint == ABSENT:
        chosen, more = _without_data(study, chosen)
        notes += more
    nearest, folders = _nearest(study, chosen), cache and cache.parent / "fingerprints.json"
    chosen += study.teacher_variants
    keys = {v.name: key_of(study, v, nearest.get(v.name), folders) for v in chosen}
    known = read_json(cache)
    found = {name: finding for name, key in keys.items() if (finding := finding_of(known, key)) is not None}
    left = [v for v in chosen if v.name not in found]
    new = _probed(study, left, nearest, progress) if left else {}
    if study.baseline.name in new:
        found = {}
    # What cannot be built or trained may lack a package or a file, which the keys do not tell; and where that is the
    # nearest Variant, this one was not held beside it.
    lasting = {
        keys[name]: f
        for name, f in new.items()
        if not f.status.startswith("cannot") and (name not in nearest or f.beside)
    }
    write_known(cache, lasting)
    found |= new
    everything = (*study.variants, *study.teacher_variants)
    findings = [replace(found[v.name], variant=v.name) for v in everything if v.name in found]
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


def _only_beyond(fields: Iterable[str]) -> bool:
    """Whether two updates cannot show what these fields change."""

    def beyond(field: str) -> bool:
        return any(field == other or field.startswith(f"{other}.") for other in BEYOND_TWO_UPDATES)

    return all(map(beyond, fields))


def _shown_by_two_updates(chosen: list[Variant]) -> tuple[list[Variant], list[str]]:
    left = [v.name for v in chosen if v.changes and _only_beyond(v.changes)]
    reason = f"not checked, since two updates cannot show what they change: {', '.join(left)}"
    return [v for v in chosen if v.name not in left], [reason] if left else []


def _without_data(study: Study, chosen: list[Variant]) -> tuple[list[Variant], list[str]]:
    source = study.baseline.recipe["data"]["source"]
    notes = [f"the data ({source}) is not on this machine: random images stand in for it"]
    left = [v.name for v in chosen if _NEEDS_DATA & v.changes.keys()]
    if left:
        notes.append(f"not checked, since only the data can show what they change: {', '.join(left)}")
    return [v for v in chosen if v.name not in left], notes


def _nearest(study: Study, chosen: list[Variant]) -> dict[str, Variant]:
    """Variant -> the other one that differs from it by the fewest Levels, where those are fewer than the baseline's.

    Only those count that change fewer Levels, or as many and stand before it, so that no two are held beside each
    other twice; of several that are as near the last one: in a ladder the rung below, in whatever order it is written.
    """
    changed = {v.name: len(_changed_levels(study, v)) for v in chosen}
    ladder = sorted(chosen, key=lambda v: changed[v.name])
    nearest: dict[str, Variant] = {}
    for place, variant in enumerate(ladder):
        told_apart = [o for o in ladder[:place] if not _only_beyond(differences(o.recipe, variant.recipe))]
        found = min(reversed(told_apart), key=lambda other: _distance(variant, other), default=None)
        if found is not None and _distance(variant, found) < changed[variant.name]:
            nearest[variant.name] = found
    return nearest


def _distance(one: Variant, other: Variant) -> int:
    return sum(level != other.levels[factor] for factor, level in one.levels.items())


def _probed(
    study: Study, variants: list[Variant], nearest: Mapping[str, Variant], progress: Progress | None
) -> dict[str, Finding]:
    bench = Bench(study)
    found: dict[str, Finding] = {}
    try:
        bench.probe(study.baseline)
    except BROKEN as error:
        return {study.baseline.name: broken(error, "; nothing can be held beside it")}
    for done, variant in enumerate(variants):
        if progress is not None:
            progress(done, len(variants), variant.name)
        try:
            found[variant.name] = bench.finding(variant, nearest.get(variant.name))
        except BROKEN as error:
            found[variant.name] = broken(error)
    return found
