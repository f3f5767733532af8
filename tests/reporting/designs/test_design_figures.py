from __future__ import annotations

import io
import itertools
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.textpath import TextPath
from PIL import Image

from ablate.reporting.comparison import compare, comparison
from ablate.reporting.design_captions import design_figure_captions
from ablate.reporting.figures import interactions, shares, waterfall
from ablate.reporting.figures.designs import DESIGN_FIGURES
from ablate.reporting.figures.style import DOUBLE, SINGLE, new_figure, paper_style, to_png, to_svg
from ablate.study.study import Block

FIGURES = (waterfall, interactions, shares)


def texts(figure: Any) -> list[str]:
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def everything(designs: SimpleNamespace, **asked: Any) -> Any:
    study = designs.with_pairs(designs.with_ladder(designs.study()))
    return comparison(study, designs.records(study, **asked))


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("width", [DOUBLE, SINGLE])
def test_figures_have_their_width_and_the_same_bytes(
    designs: SimpleNamespace, figure: ModuleType, width: float
) -> None:
    """Drawn twice without a warning, a figure is as wide as a column and equal byte by byte."""
    compared = everything(designs)
    with paper_style():
        first, second = figure.draw(compared, width), figure.draw(compared, width)
        assert first.get_figwidth() == width
        assert to_svg(first) == to_svg(second)


@pytest.mark.parametrize("figure", FIGURES)
def test_nothing_to_show_is_no_figure(fake: SimpleNamespace, designs: SimpleNamespace, figure: ModuleType) -> None:
    """Without designs, and without results, there is none."""
    plain, open_ = fake.study(), designs.with_pairs(designs.with_ladder(designs.study()))
    with paper_style():
        assert figure.draw(comparison(plain, {})) is None
        assert figure.draw(comparison(open_, {})) is None


@pytest.mark.parametrize("width", [DOUBLE, SINGLE])
@pytest.mark.parametrize("figure", FIGURES)
def test_words_stay_on_the_page(designs: SimpleNamespace, figure: ModuleType, width: float) -> None:
    """Long names of Factors and Levels are shortened or folded: nothing reaches over the page's edge (0.01 inches)."""
    long = {f"a-rather-long-factor-{i}": ("reference", f"level+of-a-name-that-goes-on-and-on-{i}") for i in range(4)}
    study = designs.study(factors=long)
    steps = tuple(f"{f}={ls[1]}" for f, ls in long.items())
    chain = tuple(",".join(steps[:k]) or "baseline" for k in range(5))
    study = replace(study, blocks=(*study.blocks, Block("ladder", chain, tuple(long), steps=steps)))
    with paper_style():
        drawn = figure.draw(comparison(study, designs.records(study)), width)
        canvas = FigureCanvasAgg(drawn)
        canvas.draw()
        reached = drawn.get_tightbbox(canvas.get_renderer())
    assert min(reached.x0, reached.y0) >= -0.01
    assert reached.x1 <= drawn.get_figwidth() + 0.01
    assert reached.y1 <= drawn.get_figheight() + 0.01


def test_a_rung_without_results_keeps_its_place(designs: SimpleNamespace) -> None:
    """It says so, and the next rung has no gain."""
    study = designs.with_ladder(replace(designs.study(), blocks=()))
    compared = comparison(study, designs.records(study, lost=[("posemb=learned", s) for s in (0, 1, 2)]))
    with paper_style():
        found = texts(waterfall.draw(compared))
    assert "no result" in found
    assert "no pair of seeds" in found
    assert "+ posemb=learned" in found


def test_every_clear_interaction_is_marked_twice(designs: SimpleNamespace) -> None:
    """A star and a frame, beside the colour, for those below alpha; none for the others."""
    study = designs.study()
    compared = comparison(study, designs.records(study))
    effects = compared.designs.effects
    clear = (effects[effects["kind"] == "interaction"]["p_holm"] < 0.05).sum()
    assert clear >= 1
    with paper_style():
        drawn = interactions.draw(compared)
    assert sum(text.endswith("*") for text in texts(drawn)) == clear
    frames = [p for p in drawn.axes[0].patches if not p.get_fill()]
    assert len(frames) == clear


def test_a_missing_pair_is_hatched(designs: SimpleNamespace) -> None:
    """A pair that was planned and has no result differs from one that does not exist."""
    study = designs.with_pairs(replace(designs.study(), blocks=()))
    compared = comparison(study, designs.records(study, lost=[("posemb=none,pool=cls", s) for s in (0, 1, 2)]))
    with paper_style():
        drawn = interactions.draw(compared)
    assert [p.get_hatch() for p in drawn.axes[0].patches if p.get_hatch()] == ["////"]


def test_blue_is_better_whichever_way(designs: SimpleNamespace) -> None:
    """The better end of the scale is blue and the other red, with a metric that is maximised and one that is not."""
    study = designs.study()
    ends = []
    for direction in ("maximize", "minimize"):
        turned = replace(study, metric=replace(study.metric, direction=direction))
        with paper_style():
            drawn = interactions.draw(comparison(turned, designs.records(turned)))
        colours = drawn.axes[0].images[0].get_cmap()
        red, _, blue, _ = colours(1.0) if direction == "maximize" else colours(0.0)
        ends.append(blue - red)
    assert min(ends) > 0.2


def test_many_changes_are_cut_to_the_strongest(designs: SimpleNamespace) -> None:
    """More changes than fit: the figure shows the largest interactions and says how many there are."""
    factors = {f"f{i}": ("off", "on") for i in range(interactions.MOST_CHANGES + 3)}
    some = [{}, *({a: "on"} for a in factors)]
    some += [{a: "on", b: "on"} for a, b in itertools.combinations(factors, 2)]
    study = designs.study(factors=factors, assignments=some, design="listed")
    study = designs.with_pairs(replace(study, blocks=()))
    with paper_style():
        drawn = interactions.draw(comparison(study, designs.records(study)))
    assert len(drawn.axes[0].get_yticks()) == interactions.MOST_CHANGES
    assert "24 of 27 changes, those with the largest interactions" in texts(drawn)


def test_shares_end_with_everything_changed(designs: SimpleNamespace) -> None:
    """The last bar is the total; a share whose interval includes zero is an open bar."""
    study = designs.study()
    compared = comparison(study, designs.records(study))
    with paper_style():
        drawn = shares.draw(compared)
    assert "everything changed" in texts(drawn)
    table = compared.designs.shapley
    opened = ((table["low"] <= 0) & (table["high"] >= 0)).sum()
    white = (1.0, 1.0, 1.0, 1.0)
    bars = [p for p in drawn.axes[0].patches if np.isclose(p.get_height(), 0.55)]
    assert sum(p.get_facecolor() == white for p in bars) == opened


def test_every_figure_has_a_caption(designs: SimpleNamespace) -> None:
    """One for each name, and a ladder found greedily is called that."""
    study = designs.with_ladder(designs.study(), greedy=True)
    captions = design_figure_captions(comparison(study, designs.records(study)))
    assert set(captions) == set(DESIGN_FIGURES)
    assert "chosen by these same results" in captions["waterfall"]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("width", [DOUBLE, SINGLE])
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_no_text_leaves_the_figure(designs: SimpleNamespace, figure: ModuleType, width: float, scale: float) -> None:
    """Nothing touches its left or right edge, where a text would be cut off, with short numbers and with long ones."""
    compared = everything(designs)
    trials = compared.trials.assign(metric=90 + scale * (compared.trials["metric"] - 90))
    compared = compare(compared.study, trials, compared.teachers)
    with paper_style():
        picture = to_png(figure.draw(compared, width))
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("L"))
    assert (pixels[:, [0, -1]] == 255).all()


@pytest.mark.parametrize("size", [6, 7, 8])
def test_text_is_measured_as_wide_as_its_outlines(size: int) -> None:
    """The layout makes room for what SVG and PDF draw, to half a point: hinted text would be three points narrower."""
    with paper_style():
        figure = new_figure(DOUBLE, 1)
        FigureCanvasAgg(figure)
        text = figure.text(0, 0, "everything changed", fontsize=size)
        drawn = TextPath((0, 0), text.get_text(), size=size, prop=text.get_fontproperties()).get_extents().width
        assert text.get_window_extent().width >= drawn - 0.5
