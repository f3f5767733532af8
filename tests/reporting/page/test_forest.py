from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.reporting.comparison import comparison
from ablate.reporting.page.forest import EDGE, WIDTH, Scale, axis, row, scale_of, seeds_of

NUMBERS = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_nothing_is_drawn_outside(first: float, second: float, value: float) -> None:
    """Whatever the value, its place lies inside the drawing."""
    low, high = sorted((first, second))
    if low < high:
        assert EDGE <= Scale(low, high).place(value) <= WIDTH - EDGE


@given(st.floats(-1e5, 0), st.floats(1e-5, 1e5))
def test_marks_are_few_and_inside(low: float, high: float) -> None:
    """Two to seven round marks, zero among them."""
    ticks = Scale(low, high).ticks()
    assert 2 <= len(ticks) <= 7
    assert any(value == 0 for value, _ in ticks)
    assert all(low * (1 + 1e-9) <= value <= high * (1 + 1e-9) for value, _ in ticks)


def test_a_far_variant_does_not_shrink_the_others(fake: SimpleNamespace) -> None:
    """45 points down is an arrow at the edge; the scale is that of the others."""
    study, records = fake.realistic()
    compared = comparison(study, records)
    seeds = seeds_of(compared)
    scale = scale_of(compared, seeds)
    assert scale is not None
    assert -15 < scale.low < -4.5
    found = {r["variant"]: r for r in compared.summary.to_dict("records")}
    assert "mark far" in row(scale, found["position=none"], seeds["position=none"])
    assert "mark far" not in row(scale, found["batch=4x"], seeds["batch=4x"])


def test_a_row_has_its_seeds_its_interval_and_its_verdict(fake: SimpleNamespace) -> None:
    """Three dots, one interval, and the mark's place is the difference's."""
    study, records = fake.realistic()
    compared = comparison(study, records)
    seeds = seeds_of(compared)
    scale = scale_of(compared, seeds)
    assert scale is not None
    found = next(r for r in compared.summary.to_dict("records") if r["variant"] == "batch=4x")
    svg = str(row(scale, found, seeds["batch=4x"]))
    dots = re.search(r'class="seeds" d="([^"]*)"', svg)
    assert dots is not None
    assert dots[1].count("M") == 3
    assert svg.count('class="interval"') == 1
    assert f'class="mark" d="M{scale.place(found["difference"])} ' in svg


@pytest.mark.parametrize("value", [90.0, math.nan])
def test_equal_or_missing_results_have_a_row(fake: SimpleNamespace, value: float) -> None:
    """Where all seeds agree there is a scale; where nothing is known there is none."""
    study = fake.study(("baseline", "a"))
    compared = comparison(study, fake.records(study, {"baseline": [90.0] * 3, "a": [value] * 3}))
    scale = scale_of(compared, seeds_of(compared))
    assert (scale is None) == math.isnan(value)
    if scale is not None:
        assert "<text" in axis(scale)
