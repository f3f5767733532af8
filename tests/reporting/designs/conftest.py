"""Fake studies with designs, their blocks made by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ablate.study.study import Block, Factor, Level, Study, Trial, Variant

FACTORS = {"posemb": ("sincos2d", "learned", "none"), "pool": ("gap", "cls"), "head": ("mlp", "linear")}
STEPS = ("posemb=learned", "pool=cls", "head=linear")
CHAIN = tuple(",".join(STEPS[:k]) or "baseline" for k in range(4))


def crossed(
    factors: Mapping[str, Sequence[str]] = FACTORS,
    assignments: Sequence[Mapping[str, str]] | None = None,
    **block: Any,
) -> tuple[dict[str, Factor], tuple[Variant, ...], Block]:
    """Factors, Variants and the block of a factorial, or of what `assignments` and `block` say."""
    made = {n: Factor(n, ls[0], {level: Level(level, {}) for level in ls[1:]}) for n, ls in factors.items()}
    every = assignments or [dict(zip(factors, combo, strict=True)) for combo in itertools.product(*factors.values())]
    variants = []
    for some in every:
        levels = {n: some.get(n, ls[0]) for n, ls in factors.items()}
        name = ",".join(f"{f}={level}" for f, level in levels.items() if level != factors[f][0]) or "baseline"
        variants.append(Variant(name, levels, {"name": name}, {}))
    whole: dict[str, Any] = {"design": "factorial", "factors": tuple(factors), "levels": dict(factors)}
    return made, tuple(variants), Block(variants=tuple(v.name for v in variants), **whole | block)


def with_blocks(fake: SimpleNamespace, seeds: Sequence[int] = (0, 1, 2), **asked: Any) -> Study:
    """A study of `crossed(**asked)`."""
    factors, variants, block = crossed(**asked)
    trials = tuple(Trial(f"{v.name}-{s}", v.name, s, v.recipe) for s in seeds for v in variants)
    return replace(fake.study(("baseline",), seeds), factors=factors, variants=variants, trials=trials, blocks=(block,))


def results(fake: SimpleNamespace, study: Study, lost: Sequence[tuple[str, int]] = (), seed: int = 0) -> Any:
    """Records: posemb and pool hurt and interact, head helps; `lost` are (Variant, seed)."""
    rng = np.random.default_rng(seed)
    luck = dict(zip(study.seeds, rng.normal(0, 0.4, len(study.seeds)), strict=True))

    def value(levels: Mapping[str, str]) -> float:
        posemb = {"learned": -1.5, "none": -5.0}.get(levels.get("posemb", ""), 0.0)
        pool, head = levels.get("pool") == "cls", levels.get("head") == "linear"
        return 90 + posemb - 0.6 * pool + 0.9 * head + 2 * (pool and posemb < -4)

    values = {
        v.name: [
            np.nan if (v.name, s) in lost else value(v.levels) + luck[s] + rng.normal(0, 0.15) for s in study.seeds
        ]
        for v in study.variants
    }
    return fake.records(study, values)


def with_ladder(study: Study, **fields: Any) -> Study:
    """The study with a ladder as its first design, which `fields` change."""
    return replace(
        study, blocks=(replace(Block("ladder", CHAIN, tuple(FACTORS), steps=STEPS), **fields), *study.blocks)
    )


def with_pairs(study: Study) -> Study:
    """The study with all pairs of its changes as its last design."""
    few = tuple(v.name for v in study.variants if v.name.count(",") < 2)
    return replace(study, blocks=(*study.blocks, Block("pairs", few, tuple(study.factors))))


@pytest.fixture
def designs(fake: SimpleNamespace) -> SimpleNamespace:
    """`designs.study(...)`, `.records(study, lost=...)`, `.with_ladder(study)`, `.with_pairs(study)`."""
    functions: dict[str, Callable[..., Any]] = {
        "study": lambda **asked: with_blocks(fake, **asked),
        "records": lambda study, **asked: results(fake, study, **asked),
        "with_ladder": with_ladder,
        "with_pairs": with_pairs,
    }
    return SimpleNamespace(**functions)
