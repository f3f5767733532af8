from __future__ import annotations

import itertools
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from ablate.reporting.comparison import comparison
from ablate.reporting.design_tables import design_tables
from ablate.reporting.named_table import NamedTable
from ablate.study.study import Sequential


def tables(designs: SimpleNamespace, study: Any, **asked: Any) -> dict[str, NamedTable]:
    return {table.name: table for table in design_tables(comparison(study, designs.records(study, **asked)))}


def fractional(designs: SimpleNamespace) -> Any:
    """Half of 2^3: each main effect is aliased with the interaction of the other two."""
    factors = {"posemb": ("sincos2d", "learned"), "pool": ("gap", "cls"), "head": ("mlp", "linear")}
    every = [dict(zip(factors, combo, strict=True)) for combo in itertools.product(*factors.values())]
    half = [some for some in every if sum(some[f] != ls[0] for f, ls in factors.items()) % 2 == 0]
    aliases = {"posemb": ("pool:head",), "pool": ("posemb:head",), "head": ("posemb:pool",)}
    aliases |= {"posemb:pool": ("head",), "posemb:head": ("pool",), "pool:head": ("posemb",)}
    return designs.study(factors=factors, assignments=half, design="fractional", resolution=3, aliases=aliases)


def test_every_design_has_its_tables(designs: SimpleNamespace) -> None:
    """Names fit files, cells are texts, text and numbers have the same rows, and every caption says something."""
    found = tables(designs, designs.with_pairs(designs.with_ladder(designs.study())))
    assert list(found) == ["ladder", "main-effects", "interactions", "variance", "shapley", "pairs"]
    for table in found.values():
        assert re.fullmatch(r"[a-z0-9-]+", table.name)
        assert all(isinstance(cell, str) for cell in table.text.to_numpy().ravel())
        assert len(table.text) == len(table.numbers)
        assert table.caption
    assert found["ladder"].figures == ("waterfall",)
    assert found["shapley"].figures == ("shares",)


def test_a_study_without_designs_has_no_tables(fake: SimpleNamespace) -> None:
    """Nothing is shown where there is nothing."""
    study = fake.study()
    assert design_tables(comparison(study, fake.records(study, {"baseline": [1.0, 2.0]}))) == []


def test_the_same_design_twice_has_two_names(designs: SimpleNamespace) -> None:
    """The second table of a kind has a number, and so a file of its own."""
    found = tables(
        designs, designs.with_ladder(designs.with_ladder(designs.with_ladder(replace(designs.study(), blocks=()))))
    )
    assert list(found) == ["ladder", "ladder-2", "ladder-3"]
    assert found["ladder-2"].title == "Ladder (2)"


def test_aliased_effects_are_warned_of(designs: SimpleNamespace) -> None:
    """The caption of main effects names those aliased with interactions; the alias table has each alias once."""
    found = tables(designs, fractional(designs))
    assert "WARNING: main effects aliased with interactions: posemb, pool, head." in found["main-effects"].caption
    assert "resolution 3" in found["main-effects"].caption
    assert list(found["aliases"].text["Aliased with"]) == ["pool:head", "posemb:head", "posemb:pool"]
    assert "interactions" not in found


def test_a_ladder_found_greedily_says_so(designs: SimpleNamespace) -> None:
    """Its gains look better than they are, and the caption says why; a given order has no such words."""
    plain = tables(designs, designs.with_ladder(replace(designs.study(), blocks=())))["ladder"]
    greedy = tables(designs, designs.with_ladder(replace(designs.study(), blocks=()), greedy=True))["ladder"]
    assert "chosen as the best of its candidates by these same results" in greedy.caption
    assert "candidates" not in plain.caption


def test_a_backward_ladder_takes_back(designs: SimpleNamespace) -> None:
    """Its foot has every change, and each rung a minus."""
    study = designs.with_ladder(replace(designs.study(), blocks=()))
    block = study.blocks[0]
    back = replace(block, variants=block.variants[::-1], steps=block.steps[::-1], backward=True)
    table = tables(designs, replace(study, blocks=(back,)))["ladder"]
    assert list(table.text["Rung"]) == [
        "everything changed",
        "− head=linear",
        "− pool=cls",
        "− posemb=learned",
        "total",
    ]
    assert "takes back" in table.caption


def test_fewer_pairs_are_written_beside_a_gain(designs: SimpleNamespace) -> None:
    """A failed seed shows in n of the rung, and in both gains that need it."""
    study = designs.with_ladder(replace(designs.study(), blocks=()))
    table = tables(designs, study, lost=[("posemb=learned", 0)])["ladder"]
    assert list(table.text["n"]) == ["3/3", "2/3", "3/3", "3/3", ""]
    assert [cell.endswith("(n = 2)") for cell in table.text["Gain"]] == [False, True, True, False, False]


def test_a_lost_cell_has_a_reason(designs: SimpleNamespace) -> None:
    """An effect that cannot be known is a dash, and a column says which Levels have no result."""
    factors = {"posemb": ("sincos2d", "learned"), "pool": ("gap", "cls")}
    study = designs.study(factors=factors)
    found = tables(designs, study, lost=[("posemb=learned,pool=cls", s) for s in (0, 1, 2)])
    assert list(found["main-effects"].text["Effect"]) == ["—", "—"]
    assert set(found["main-effects"].text["Why"]) == {"no result of posemb=learned with pool=cls"}


def test_captions_name_the_studys_level_and_families(designs: SimpleNamespace) -> None:
    """alpha, the size of the family, the references, and that seeds were added by results."""
    study = designs.study()
    study = replace(study, analysis=replace(study.analysis, alpha=0.1), sequential=Sequential(2, 3))
    caption = tables(designs, study)["main-effects"].caption
    for words in ("90 % interval", "over the 4 main effects", "posemb=sincos2d", "Seeds were added"):
        assert words in caption


def test_shares_end_with_their_total(designs: SimpleNamespace) -> None:
    """The last row is what all changes do together."""
    table = tables(designs, designs.study())["shapley"]
    assert table.text["Factor"].iloc[-1] == "total"
    assert table.numbers["share"].notna().all()


def test_constraints_are_told(designs: SimpleNamespace) -> None:
    """The caption says how many combinations were taken out, and the interaction that needs them says why."""
    factors = {"posemb": ("sincos2d", "learned"), "pool": ("gap", "cls"), "head": ("mlp", "linear")}
    every = [dict(zip(factors, combo, strict=True)) for combo in itertools.product(*factors.values())]
    kept = [some for some in every if (some["posemb"], some["pool"]) != ("learned", "cls")]
    found = tables(designs, designs.study(factors=factors, assignments=kept, excluded=2))
    assert "Constraints took 2 combinations out of the design" in found["main-effects"].caption
    assert "never meet" in found["interactions"].text["Why"].iloc[0]
    assert "shapley" not in found
