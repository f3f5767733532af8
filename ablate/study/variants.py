"""Variants of a study: one Recipe for each, no two of them the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.study.ahead import Ahead
from ablate.study.axes import ApartError, Axes, Point, resolve_axes
from ablate.study.bases import BaseRecipe
from ablate.study.blocks import make_blocks
from ablate.study.designs import resolve_designs
from ablate.study.document import Path_
from ablate.study.enumerations import Given
from ablate.study.errors import StudyError
from ablate.study.identity import digest
from ablate.study.levels import check_contradictions, check_levels, recipe_key
from ablate.study.merging import Named, Names, merged
from ablate.study.overrides import differences
from ablate.study.recipes import Recipes
from ablate.study.resolve import Scope, resolve_listed
from ablate.study.rules import Rules, resolve_rules
from ablate.study.selection import depends_on_results, select
from ablate.study.space import Space
from ablate.study.study import Block, Factor, Growth, Variant

#: The most Variants that a study may train: each is resolved and checked (2 ms) before anything trains.
MAX_VARIANTS = 10_000
#: The most combinations that are gone through to count them, or to find those that are asked for (5 microseconds each).
MAX_COMBINATIONS = 2**18
#: The most rungs to which a greedy ladder has not got that are resolved to look for Trials of them.
MAX_FURTHER = 2**8


@dataclass(frozen=True)
class Variants:
    """The Variants of a study that are trained, and what is known of all."""

    chosen: tuple[Variant, ...]
    """The baseline first."""
    blocks: tuple[Block, ...]
    names: Names
    """Of all Variants, whether or not they are chosen."""
    led: bool
    """Whether a pattern chooses rungs that are there only where results have led a greedy ladder to them."""
    grows: bool
    """Whether results choose what comes next: there is a greedy ladder, as a whole."""
    further: Callable[[], tuple[Variant, ...]] = tuple
    """What other results would have chosen, resolved when it is asked for: of the rungs that a greedy ladder could
    reach the first `MAX_FURTHER`, those of the fewest steps."""


def resolve_variants(
    scope: Scope,
    factors: Mapping[str, Factor],
    base: BaseRecipe,
    teachers: Collection[str] = (),
    *,
    only: Sequence[str] = (),
    growth: Growth = Growth(),  # noqa: B008 - frozen
) -> Variants:
    """The Variants of the designs, the baseline first, then the listed ones; those of one Recipe are one.

    ``only`` are patterns on their names, and only what they choose is resolved; the rest is checked all the same. One
    that learns from one of the study's ``teachers`` names it as the study does. Raises `StudyError` for more than
    `MAX_VARIANTS` of them, for a Level that cannot be applied or changes nothing, for Levels that contradict each
    other, for listed Variants that name what does not exist or what constraints take out, and for a design that
    cannot be.
    """
    axes = resolve_axes(scope, factors)
    rules = resolve_rules(scope, axes)
    designs = resolve_designs(scope, axes, rules, growth)
    listed = _listed(scope, axes, rules)
    generated = Space(axes, [design.points for design in designs], rules)
    _check_bound(scope, generated, only)
    listed_points = Given([point for point, _ in listed.values()])
    space = Space(axes, [*generated.designs, listed_points], rules)
    recipes = Recipes(scope, axes, base, teachers)
    effects = check_levels(space, recipes)

    def place_of(variant: Named) -> Path_:
        if variant.listed:
            return scope.variant_place(variant.name)
        changed = recipes.changed(variant.point)
        return scope.overrides_place(changed[-1][0], changed[-1][1].name) if changed else ("base",)

    every = [Named(axes.name(point), point) for point in generated]
    every += [Named(name, point, listed=True) for name, (point, _) in listed.items()]
    check_contradictions(space, recipes, every, place_of)
    key = recipe_key(space, effects)
    whole = merged(every, key)
    reaches = [design.ladder.reach for design in designs if design.ladder and design.ladder.reach]
    ahead = Ahead(axes, reaches, whole, key)
    asked = select(whole, only, ahead)
    _check_count(scope, len(asked))
    chosen = merged(asked, lambda variant: digest(recipes.of(variant.point)))
    names = ahead.names(whole, chosen)
    blocks = make_blocks(scope, space, designs, list(listed), chosen, names)
    notes = {name: note for name, (_, note) in listed.items()}
    made = tuple(_variant(variant, recipes, notes.get(variant.name, "")) for variant in chosen)
    grows = any(block.greedy for block in blocks)
    further = (lambda: tuple(_further(made, ahead, recipes))) if grows else tuple
    fixed = [design.points for design in designs if not (design.ladder and design.ladder.greedy)]
    led = depends_on_results(only, ahead, Space(axes, [*fixed, listed_points], rules))
    return Variants(made, blocks, names, led, grows, further)


def _variant(variant: Named, recipes: Recipes, note: str) -> Variant:
    recipe = recipes.of(variant.point)
    changes = differences(recipes.base.tree, recipe)
    return Variant(variant.name, recipes.axes.levels(variant.point), recipe, changes, note, variant.also)


def _listed(scope: Scope, axes: Axes, rules: Rules) -> dict[str, tuple[Point, str]]:
    """Listed Variants: name -> (point, note). Raises `StudyError` for one that constraints take out."""
    found = {}
    for name, (levels, note) in resolve_listed(scope, axes.factors).items():
        try:
            point = axes.at(levels)
        except ApartError as error:
            raise scope.document.error(f"Variant {name!r}: {error}", scope.variant_place(name)) from None
        rule = rules.broken_by(point)
        if rule is not None:
            raise scope.document.error(f"Variant {name!r} is taken out by {rule.text}", scope.variant_place(name))
        found[name] = point, note
    return found


def _check_bound(scope: Scope, generated: Space, only: Sequence[str]) -> None:
    """Raises `StudyError` for designs too large even to be gone through."""
    if generated.bound > MAX_COMBINATIONS:
        chosen = f"; --only chooses among at most {MAX_COMBINATIONS:,}" if only else ""
        _refuse(scope, generated.bound, chosen)


def _check_count(scope: Scope, count: int) -> None:
    if count > MAX_VARIANTS:
        _refuse(scope, count, "")


def _refuse(scope: Scope, count: int, chosen: str) -> None:
    allowed = f"at most {MAX_VARIANTS:,} are allowed; take out Factors or Levels, or list the Variants that matter"
    _, place = next(iter(scope.designs))
    at = place[:-1] if isinstance(place[-1], int) else place
    raise scope.document.error(f"the design has {count:,} Variants; {allowed}{chosen}", at)


def _further(made: Sequence[Variant], ahead: Ahead, recipes: Recipes) -> Iterator[Variant]:
    """Rungs that are ahead as Variants, without those whose Recipe a Variant has."""
    known = {digest(variant.recipe) for variant in made}
    for named in itertools.islice(ahead.rungs(), MAX_FURTHER):
        try:
            variant = _variant(named, recipes, "")
        except StudyError:  # its Levels contradict one another: nobody can have trained it
            continue
        if digest(variant.recipe) not in known:
            yield variant
