"""A section for each Factor: its Levels, what they change, and the Variants that move nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.reporting.comparison import Comparison, value_text
from ablate.study.study import Factor, Study, Variant


@dataclass(frozen=True)
class LevelRow:
    """A Level of a Factor."""

    name: str
    sets: tuple[str, ...]
    """Its overrides of the base, `model.position: learned`; empty for the reference."""
    variant: int | None
    """Place in the study of the Variant that takes this Level and moves nothing else; None where there is none."""


@dataclass(frozen=True)
class FactorSection:
    """A Factor on the page."""

    place: int
    title: str
    levels: tuple[LevelRow, ...]
    """The reference first."""
    combined: int
    """How many Variants move it together with other Factors."""

    @property
    def variants(self) -> list[int]:
        """Places of the Variants that its curves show, without the baseline's."""
        return [row.variant for row in self.levels[1:] if row.variant is not None]


def factor_sections(comparison: Comparison) -> list[FactorSection]:
    """In the study's order."""
    study = comparison.study
    alone: dict[tuple[str, str], int] = {}
    combined: dict[str, int] = {}
    for place, variant in enumerate(study.variants[1:], start=1):
        moved = moved_factors(study, variant)
        if len(moved) == 1 and not variant.control_of:
            alone.setdefault((moved[0], variant.levels[moved[0]]), place)
        else:
            for name in moved:
                combined[name] = combined.get(name, 0) + 1
    return [
        FactorSection(place, factor.label or name, _levels(name, factor, alone), combined.get(name, 0))
        for place, (name, factor) in enumerate(study.factors.items())
    ]


def moved_factors(study: Study, variant: Variant) -> list[str]:
    """Names of the Factors whose Level is not the reference."""
    return [n for n, f in study.factors.items() if variant.levels.get(n, f.reference) != f.reference]


def _levels(name: str, factor: Factor, alone: dict[tuple[str, str], int]) -> tuple[LevelRow, ...]:
    rows = [LevelRow(factor.reference, (), 0)]
    for level in factor.levels.values():
        sets = tuple(f"{field}: {value_text(value)}" for field, value in level.overrides.items())
        rows.append(LevelRow(level.name, sets, alone.get((name, level.name))))
    return tuple(rows)
