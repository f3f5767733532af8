"""How a study's results are judged, and how many seeds they take: what the file says, checked at one profile."""

from __future__ import annotations

from ablate.study.document import Path_
from ablate.study.errors import Problem, StudyError
from ablate.study.merging import Names
from ablate.study.resolve import Scope
from ablate.study.spec import Seeds, SequentialSeeds
from ablate.study.study import Analysis, Sequential


def resolve_analysis(scope: Scope, names: Names) -> Analysis:
    """The profile's own, else the study's. Raises `StudyError` where `tuned` names a Variant that does not exist.

    A Variant with several names may be called by any of them.
    """
    own = scope.profile.analysis is not None
    spec = scope.profile.analysis or scope.spec.analysis
    at: Path_ = scope.in_profile("analysis") if own else ("analysis",)
    tuned: dict[str, int | bool] = {}
    for written, count in spec.tuned.items():
        place = (*at, "tuned", written)
        name = names.find(written, scope, place)
        if name in tuned:
            raise scope.document.error(f"{written!r} is {name!r}, which is named here already", place)
        tuned[name] = count
    return Analysis(spec.margin, spec.alpha, spec.over, tuned)


def resolve_seeds(scope: Scope, count: int | None) -> tuple[int, ...]:
    """The seeds that there may be; ``count`` is what `--seeds` asks for. Raises `StudyError`."""
    seeds, at = _seeds(scope)
    if count is not None and count < 1:
        raise StudyError(Problem(f"--seeds {count}: there must be at least one seed"))
    if isinstance(seeds, SequentialSeeds):
        return tuple(range(count or seeds.max))
    if isinstance(seeds, int):
        return tuple(range(count or seeds))
    for index, seed in enumerate(seeds):
        if seed in seeds[:index]:
            raise scope.document.error(f"seed {seed} is given twice", (*at, index))
    if count is not None and count > len(seeds):
        raise StudyError(Problem(f"--seeds {count}: the study lists {len(seeds)} seeds; allowed: 1 to {len(seeds)}"))
    return tuple(seeds[:count])


def resolve_sequential(scope: Scope, count: int | None) -> Sequential | None:
    """How seeds are added by results; `--seeds` (``count``) fixes their number."""
    seeds, _ = _seeds(scope)
    if not isinstance(seeds, SequentialSeeds) or count is not None:
        return None
    return Sequential(seeds.min, seeds.max)


def _seeds(scope: Scope) -> tuple[Seeds, Path_]:
    if scope.profile.seeds is not None:
        return scope.profile.seeds, scope.in_profile("seeds")
    return scope.spec.seeds, ("seeds",)
