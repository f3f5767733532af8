"""Names of Levels are read back, and mended part by part."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.study.axes import Axes, Axis
from ablate.study.spelling import spelled
from ablate.study.study import Factor, Level

FACTORS = {
    name: Factor(name, reference, {level: Level(level, {}) for level in levels})
    for name, reference, levels in (
        ("posemb", "sincos2d", ("learned", "none")),
        ("pool", "gap", ("cls",)),
        ("head", "mlp", ("linear",)),
        ("batch", "1024", ("256", "4096")),
    )
}
#: `pool` and `head` go together; the study has `batch` last.
AXES = Axes(
    (
        Axis(("posemb",), (("sincos2d",), ("learned",), ("none",))),
        Axis(("pool", "head"), (("gap", "mlp"), ("cls", "linear"))),
        Axis(("batch",), (("1024",), ("256",), ("4096",))),
    ),
    FACTORS,
)
POINTS = list(itertools.product(range(3), range(2), range(3)))


@pytest.mark.parametrize("point", POINTS)
def test_a_name_leads_back_to_its_point(point: tuple[int, ...]) -> None:
    """`named` is the inverse of `name`."""
    assert AXES.named(AXES.name(point)) == point


@pytest.mark.parametrize(
    "name",
    ["", "posemb", "posemb=", "posemb=sincos2d", "pool=cls", "head=linear,pool=cls", "posemb=none,posemb=none", "x=y"],
)
def test_what_is_no_name_has_no_point(name: str) -> None:
    """Neither an unknown word nor a reference, a part of zipped Factors, another order, or a word twice."""
    assert AXES.named(name) is None


@given(point=st.sampled_from(POINTS), data=st.data())
def test_the_order_of_parts_is_mended(point: tuple[int, ...], data: st.DataObject) -> None:
    """With references among them, too."""
    parts = data.draw(st.permutations([f"{factor}={level}" for factor, level in AXES.levels(point).items()]))
    assert spelled(",".join(parts), AXES) == AXES.name(point)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("batch=256,posemb=lerned", "posemb=learned,batch=256"),
        ("pos_emb=none", "posemb=none"),
        ("batch=265,posemb=nnoe", "posemb=none,batch=256"),
        ("pool=cls,head=lin", "pool=cls,head=linear"),
        ("pool=cls", None),  # zipped with head
        ("posemb=none,posemb=learned", None),
        ("stem=conv,posemb=none", None),
        ("posemb=lerned*", None),
        ("lerned", None),
        ("baseline", None),
    ],
)
def test_each_part_is_the_nearest_level(name: str, meant: str | None) -> None:
    """Of its own Factor where the study has that; nothing where a part is near none, or is a pattern."""
    assert spelled(name, AXES) == meant
