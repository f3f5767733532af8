from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from ablate.reporting.comparison import comparison
from ablate.reporting.figures import curves, differences
from ablate.reporting.figures.drawn import draw_all
from ablate.reporting.figures.panels import core_reach
from ablate.reporting.figures.style import SINGLE, label, paper_style, row_label, to_pdf, to_svg
from ablate.reporting.frame import history_frame
from ablate.reporting.report import Report

NAN = float("nan")
#: The figures of `make_realistic`: its Variants cost the same, and it has one design.
MADE = ("differences", "curves", "trials")


def drawn(study: Any, records: Any) -> dict[str, bytes]:
    return draw_all(comparison(study, records), history_frame(study, records))


def visible_texts(figure: Any) -> list[str]:
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


@pytest.mark.parametrize("kind", ["written", "written_hostile"])
def test_figures_have_the_width_of_a_column(kind: str, request: pytest.FixtureRequest) -> None:
    """All are drawn without a warning, 6.8 or 3.3 inches wide, as SVG that parses and as PDF."""
    files = {
        path.name: path.read_bytes() for path in request.getfixturevalue(kind).files if path.parent.name == "figures"
    }
    assert set(files) == {f"{name}.{kind}" for name in MADE for kind in ("svg", "pdf")} | {"differences-column.pdf"}
    for name, content in files.items():
        points = 72 * (3.3 if "-column" in name else 6.8)
        if name.endswith("pdf"):
            box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ", content)
            assert box is not None
            assert float(box.group(1)) == pytest.approx(points)
        else:
            width = ElementTree.fromstring(content).attrib["width"]
            assert float(width.removesuffix("pt")) == pytest.approx(points)


def test_a_pdf_has_outlines_and_no_font(written: Report) -> None:
    """Journals refuse Type 3 fonts, and what has no font needs none on any machine."""
    for path in written.files:
        if path.suffix == ".pdf":
            content = path.read_bytes()
            assert content.startswith(b"%PDF")
            assert b"/Type3" not in content
            assert b"/FontFile" not in content


@pytest.mark.parametrize(
    ("kinds", "ends"), [(["svg"], {"svg"}), (["pdf"], {"pdf"}), ([], set()), (["svg", "pdf"], {"svg", "pdf"})]
)
def test_only_what_is_asked_for_is_drawn(kinds: list[str], ends: set[str], fake: SimpleNamespace) -> None:
    """A report without LaTeX draws no PDF, and one of numbers draws nothing."""
    study = fake.study(("baseline", "a"))
    records = fake.records(study, {"baseline": [1.0, 2.0, 3.0], "a": [2.0, 2.5, 3.7]})
    files = draw_all(comparison(study, records), history_frame(study, records), kinds)
    assert {name.rpartition(".")[2] for name in files} == ends


def test_laid_out_once_it_stays(fake: SimpleNamespace) -> None:
    """Written as PDF, a figure gives the same SVG as before, to the byte; only its texts are outlines by then."""
    compared = comparison(*fake.realistic())
    with paper_style():
        first, second = differences.draw(compared), differences.draw(compared)
        assert first is not None
        assert second is not None
        to_pdf(second)
        assert to_svg(first) == to_svg(first)
        assert [axes.get_position().bounds for axes in first.axes] == [a.get_position().bounds for a in second.axes]


def test_figures_are_the_same_bytes_whatever_the_users_style(fake: SimpleNamespace) -> None:
    """Drawn twice, once under another rcParams, the bytes are equal; and the user's settings are back afterwards."""
    study = fake.study(("baseline", "a"))
    records = fake.records(study, {"baseline": [1.0, 2.0, 3.0], "a": [2.0, 2.5, NAN]}, history=6)
    first = drawn(study, records)
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": None, "axes.facecolor": "red"}):
        second = drawn(study, records)
        assert mpl.rcParams["font.size"] == 30
    assert first == second
    assert b"<dc:date>" not in first["differences.svg"]


@pytest.mark.parametrize(
    ("reaches", "core"),
    [
        ([0.3, 0.5, 1.0, 2.0, 45.0], 2.0),
        ([0.3, 0.5, 0.5, 1, 3, 3, 5, 10, 17, 29, 45], 5),
        ([1.0, 2.0, 3.0, 4.0], None),
        ([0.0, 0.0, 45.0], None),
        ([], None),
    ],
)
def test_a_scale_is_split_only_for_far_rows(reaches: list[float], core: float | None) -> None:
    """The cut is at the widest gap above the nearer half; without a far row there is none."""
    assert core_reach(reaches) == core


def test_a_far_row_is_an_arrow_with_its_numbers(fake: SimpleNamespace) -> None:
    """In one column there is no second panel: the row that is off the scale is written out."""
    compared = comparison(*fake.realistic())
    with paper_style():
        figure = differences.draw(compared, SINGLE)
    assert figure is not None
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xlim()[0] > -10
    assert any(re.fullmatch(r"−4\d\.\d\d \[−4\d\.\d\d, −\d\d\.\d\d\]", text) for text in visible_texts(figure))


def test_every_variant_is_a_row_even_without_a_result(fake: SimpleNamespace) -> None:
    """A Variant that failed keeps its place and says why, and reduced n is written beside the name."""
    study = fake.study(("baseline", "a", "b"))
    records = fake.records(study, {"baseline": [1.0, 2.0, 3.0], "a": [NAN] * 3, "b": [1.5, 2.2, NAN]})
    with paper_style():
        figure = differences.draw(comparison(study, records))
    assert figure is not None
    texts = visible_texts(figure)
    assert "a" in texts
    assert "b (n = 2)" in texts
    assert " no pair of seeds" in texts


def test_curves_say_how_many_seeds_they_rest_on(fake: SimpleNamespace) -> None:
    """A Variant with a failed seed has its n in the legend, since the failed curve may end outside the axes."""
    study = fake.study(("baseline", "a", "b"))
    records = fake.records(study, {"baseline": [1.0] * 3, "a": [1.0, 2.0, NAN], "b": [NAN] * 3}, history=6)
    with paper_style():
        figure = curves.draw(comparison(study, records), history_frame(study, records))
    assert figure is not None
    assert {"a (2/3)", "b (0/3)"} <= set(visible_texts(figure))


def test_a_figure_with_nothing_to_show_is_left_out(fake: SimpleNamespace) -> None:
    """Nothing finished: no figure. A diverged baseline: no differences, but the Trials. No history: no curves."""
    study = fake.study()
    assert drawn(study, {}) == {}
    files = drawn(study, fake.records(study, {"baseline": [NAN] * 3, "a": [1.0, 2.0, 3.0]}))
    assert set(files) == {"trials.svg", "trials.pdf"}


def test_one_seed_is_enough_to_draw(fake: SimpleNamespace) -> None:
    """Without intervals the points are there all the same."""
    study = fake.study(seeds=(7,))
    assert len(drawn(study, fake.records(study, {"baseline": [1.0], "a": [2.0], "b": [1.5]}, history=3))) == 7


def test_variants_of_one_factor_share_a_panel(fake: SimpleNamespace) -> None:
    """Small multiples: a panel per Factor with at most four Levels, and the combined Variants last."""
    names = ("baseline", "a=1+b=1", *(f"a={i}" for i in range(1, 6)), "b=1")
    panels = curves.panels_of(fake.study(names), names)
    assert panels == [("a", ["a=1", "a=2", "a=3", "a=4"]), ("a", ["a=5"]), ("b", ["b=1"]), ("combined", ["a=1+b=1"])]


def test_the_curve_is_the_metric_or_else_a_loss(fake: SimpleNamespace) -> None:
    """The study's own metric first, then the same under a prefix, then a loss, otherwise nothing."""
    study = fake.study()
    history = history_frame(study, fake.records(study, {"baseline": [90.0]}, history=2))
    assert curves.curve_name(study, history) == "top1"
    assert curves.curve_name(study, history.replace({"name": {"top1": "val/top1"}})) == "val/top1"
    other = replace(study, metric=replace(study.metric, name="f1"))
    assert curves.curve_name(other, history) == "train/loss"
    assert curves.curve_name(other, history.iloc[:0]) is None


def test_labels_are_drawable_and_short() -> None:
    """What the font lacks becomes a box, what is too long loses its middle, and rows of one column break once."""
    assert label("a尺\nb") == "a□ b"
    assert label("abcdefghij", 5) == "ab…ij"
    assert row_label("randaugment=off+mixup=off", SINGLE) == "randaugment=off+\nmixup=off"
    assert all(len(line) <= 23 for line in row_label("x" * 100, SINGLE).split("\n"))
