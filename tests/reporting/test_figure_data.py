"""What the figures draw, read back from their lines: the numbers of the tables and no others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.figures import curves, differences, trials
from ablate.reporting.figures.style import BLUE, DOUBLE, LINES, RED, SINGLE, folded, paper_style
from ablate.reporting.frame import history_frame
from ablate.study.study import PublishedColumn

NAN = float("nan")
#: Helps, hurts, unsure, failed; asymmetric, so that neither mean, median nor order can be taken for another.
VALUES = {
    "baseline": [90.0, 90.5, 91.9],
    "up": [92.0, 92.51, 93.93],
    "down": [88.0, 88.52, 89.9],
    "level": [90.3, 90.1, 93.0],
    "lost": [NAN, NAN, NAN],
}
PUBLISHED = (
    PublishedColumn("Table 1", {"baseline": 76.5, "up": 77.75, "down": 75.25}, "a paper"),
    PublishedColumn("rerun", {"baseline": 76.0, "up": 77.5, "level": 75.0}, "another"),
    PublishedColumn("no baseline", {"up": 77.0}, "a third"),
)


def compared_of(fake: SimpleNamespace, direction: str = "maximize") -> tuple[Comparison, Any]:
    study = fake.study(tuple(VALUES), published=PUBLISHED, direction=direction)
    records = fake.records(study, VALUES, history=6)
    return comparison(study, records), history_frame(study, records)


class Mark(NamedTuple):
    """A marker of a row: where it is, and the artist that it is a part of."""

    x: float
    line: Line2D


def marks_at(figure: Figure, y: float, marker: str) -> list[Mark]:
    """The markers of this form that the first panel has in this row."""
    lines = [line for line in figure.axes[0].get_lines() if line.get_marker() == marker]
    points = [(x, at, line) for line in lines for x, at in zip(line.get_xdata(), line.get_ydata(), strict=True)]
    return [Mark(float(x), line) for x, at, line in points if np.isclose(at, y)]


def xs(marks: list[Mark]) -> list[float]:
    return [mark.x for mark in marks]


def legend_of(figure: Figure) -> dict[str, Line2D]:
    (legend,) = figure.legends
    handles = [handle for handle in legend.legend_handles if isinstance(handle, Line2D)]
    return {text.get_text(): handle for text, handle in zip(legend.get_texts(), handles, strict=True)}


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_a_difference_is_drawn_where_it_is(width: float, fake: SimpleNamespace) -> None:
    """Mean, both ends of the interval and every pair of each row, to rounding."""
    compared, _ = compared_of(fake)
    with paper_style():
        figure = differences.draw(compared, width)
    assert figure is not None
    for y, (name, marker) in enumerate((("up", "^"), ("down", "v"), ("level", "o"))):
        row = compared.summary.set_index("variant").loc[name]
        assert xs(marks_at(figure, y, marker)) == pytest.approx([row["difference"]])
        assert xs(marks_at(figure, y, "|")) == pytest.approx([row["difference_low"], row["difference_high"]])
        singles = np.subtract(VALUES[name], VALUES["baseline"])
        assert xs(marks_at(figure, y + 0.24, "o")) == pytest.approx(list(singles))
    assert marks_at(figure, 3, "o") == []


@pytest.mark.parametrize(
    ("direction", "up", "down"), [("maximize", ("^", BLUE), ("v", RED)), ("minimize", ("v", RED), ("^", BLUE))]
)
def test_the_marker_is_the_verdict(
    direction: str, up: tuple[str, str], down: tuple[str, str], fake: SimpleNamespace
) -> None:
    """What helps points up in blue and what hurts down in red, whichever way is better, here and in the legend."""
    compared, _ = compared_of(fake, direction)
    with paper_style():
        figure = differences.draw(compared)
    assert figure is not None
    legend = legend_of(figure)
    verdicts = dict(zip(compared.summary["variant"], compared.summary["verdict"], strict=True))
    for y, name, (marker, colour) in ((0, "up", up), (1, "down", down)):
        ((_, line),) = marks_at(figure, y, marker)
        assert to_hex(line.get_markerfacecolor()) == colour
        shown = legend[verdicts[name]]
        assert (shown.get_marker(), to_hex(shown.get_markerfacecolor())) == (marker, colour)
    ((_, line),) = marks_at(figure, 2, "o")
    assert to_hex(line.get_markerfacecolor()) == to_hex("white")
    assert verdicts == {"baseline": "", "up": legend_verdict(up), "down": legend_verdict(down), **dict.fromkeys(
        ("level", "lost"), "not enough evidence"
    )}  # fmt: skip


def legend_verdict(look: tuple[str, str]) -> str:
    return "helps" if look == ("^", BLUE) else "hurts"


def test_each_source_has_its_own_sign_at_the_published_difference(fake: SimpleNamespace) -> None:
    """Published less published baseline, one marker per column, named in the legend; without a baseline, none."""
    compared, _ = compared_of(fake)
    with paper_style():
        figure = differences.draw(compared)
    assert figure is not None
    assert [xs(marks_at(figure, y, "D")) for y in range(4)] == [[1.25], [-1.25], [], []]
    assert [xs(marks_at(figure, y, "s")) for y in range(4)] == [[1.5], [], [-1.0], []]
    legend = legend_of(figure)
    assert [text for text in legend if text.startswith("published")] == ["published: Table 1", "published: rerun"]
    assert [legend[f"published: {name}"].get_marker() for name in ("Table 1", "rerun")] == ["D", "s"]


def test_a_far_row_keeps_its_verdict(fake: SimpleNamespace) -> None:
    """At the width of a column the arrow has the verdict's colour and its marker beside it; the legend has no other."""
    names = ("baseline", "a", "b", "c", "far")
    study = fake.study(names, published=(PublishedColumn("paper", {"baseline": 70.0, "far": 20.0}, "T"),))
    values = dict(zip(names, ([90.0, 90.5, 91.0], [90.9, 90.2, 91], [89, 91, 91.2], [90, 89.9, 91.9]), strict=False))
    compared = comparison(study, fake.records(study, {**values, "far": [50.0, 50.52, 51.0]}))
    with paper_style():
        figure = differences.draw(compared, SINGLE)
    assert figure is not None
    assert compared.summary.loc[4, "verdict"] == "hurts"
    ((_, arrow),), ((_, verdict),) = marks_at(figure, 3, "<"), marks_at(figure, 3, "v")
    assert to_hex(arrow.get_color()) == RED
    assert to_hex(verdict.get_markerfacecolor()) == RED
    assert set(legend_of(figure)) == {"hurts", "not enough evidence", "one seed"}


def test_the_legend_has_no_verdict_that_no_row_shows(fake: SimpleNamespace) -> None:
    """A Variant without a result has no marker, so that its verdict needs no explanation."""
    study = fake.study(("baseline", "up", "lost"))
    compared = comparison(study, fake.records(study, {name: VALUES[name] for name in ("baseline", "up", "lost")}))
    with paper_style():
        figure = differences.draw(compared)
    assert figure is not None
    assert set(legend_of(figure)) == {"helps", "one seed"}


def test_a_curve_is_the_mean_and_its_band_the_extremes(fake: SimpleNamespace) -> None:
    """At every step, over the seeds: the mean, the lowest and the highest, for the baseline and for each Level."""
    compared, history = compared_of(fake)
    with paper_style():
        figure = curves.draw(compared, history)
    assert figure is not None
    panels = [variants for _, variants in curves.panels_of(compared.study, list(compared.summary["variant"]))]
    for axes, shown in zip(figure.axes, panels, strict=False):
        drawn = ["baseline", *(name for name in shown if name != "lost")]
        bands = [c for c in axes.collections if isinstance(c, PolyCollection)]
        lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 6]
        for name, line, band in zip(drawn, lines, bands, strict=True):
            rows = history[(history["variant"] == name) & (history["name"] == "top1")]
            by_step = rows.pivot(index="step", columns="seed", values="value")
            assert list(line.get_xdata()) == list(by_step.index)
            assert np.asarray(line.get_ydata()) == pytest.approx(by_step.mean(axis=1).to_numpy(), abs=1e-12)
            corners = np.asarray(band.get_paths()[0].vertices)
            for step, low, high in zip(by_step.index, by_step.min(axis=1), by_step.max(axis=1), strict=True):
                at = corners[corners[:, 0] == step, 1]
                assert (at.min(), at.max()) == pytest.approx((low, high), abs=1e-12)
    assert to_hex(figure.axes[0].get_lines()[1].get_color()) == LINES[0][0]


def test_every_trial_is_a_point_at_its_value(fake: SimpleNamespace) -> None:
    """Each seed by its own marker where it ended, the bar at the mean, and the missing by seed and cause."""
    compared, _ = compared_of(fake)
    with paper_style():
        figure = trials.draw(compared)
    assert figure is not None
    for y, (name, values) in enumerate(VALUES.items()):
        for offset, marker, value in zip((-0.16, 0.0, 0.16), "osD", values, strict=True):
            assert xs(marks_at(figure, y + offset, marker)) == ([] if name == "lost" else [value])
        assert xs(marks_at(figure, y, "|")) == ([] if name == "lost" else pytest.approx([np.mean(values)]))
    texts = {text.get_text(): text.get_position()[1] for text in figure.axes[-1].texts}
    assert texts == {"× seeds 0, 1, 2: diverged": 4}


def test_one_missing_seed_is_named_and_not_counted(fake: SimpleNamespace) -> None:
    """`× seed 1`, which is not to be read as one time."""
    study = fake.study(("baseline", "a"))
    compared = comparison(study, fake.records(study, {"baseline": [1.0, 2.0, 3.0], "a": [1.0, NAN, 2.0]}))
    with paper_style():
        figure = trials.draw(compared)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["× seed 1: diverged"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("batch=4096-warmup-epochs", "batch=4096-warmup-\nepochs"),
        ("randaugment=off+mixup=off", "randaugment=off+\nmixup=off"),
        ("position=learned+pooling=cls+dropout=0.1", "position=learned+\npooling=cls+dropout=0.1"),
        ("position=learned+pooling=cls+dropout=0.1+x", "position=learned+\npooling=cls…opout=0.1+x"),
        ("short", "short"),
    ],
)
def test_a_long_name_breaks_where_it_is_joined(text: str, lines: str) -> None:
    """At `+` first, otherwise at a dash or `=`, and never inside a word that has one."""
    assert folded(text, 23) == lines
