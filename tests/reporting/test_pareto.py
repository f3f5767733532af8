from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from ablate.reporting.comparison import Comparison, compare, comparison
from ablate.reporting.figure_captions import figure_captions
from ablate.reporting.figures import pareto
from ablate.reporting.figures.pareto_points import cost_points, differ, front
from ablate.reporting.figures.placing import Labels
from ablate.reporting.figures.style import DOUBLE, SINGLE, lay_out, new_figure, paper_style, to_png, to_svg
from ablate.reporting.kept import Kept, ModelCost
from ablate.study.matched import SUFFIX

MEANS = {"baseline": 90.0, "small": 88.0, "wide": 92.0, "waste": 89.0, "deep": 91.0, f"deep{SUFFIX}": 90.5}
PARAMETERS = {"baseline": 40e3, "small": 20e3, "wide": 80e3, "waste": 90e3, "deep": 60e3, f"deep{SUFFIX}": 40.1e3}


def make(fake: SimpleNamespace, means: dict[str, float], flops: Any = None, **fields: Any) -> Comparison:
    """Three seeds of each Variant, half a point apart; `flops` by name."""
    study = fake.study(tuple(means), **fields)
    records = fake.records(study, {name: [mean - 0.5, mean, mean + 0.5] for name, mean in means.items()})
    for trial in study.trials:
        metrics = {**records[trial.id].metrics, "parameters": PARAMETERS.get(trial.variant, 40e3)}
        records[trial.id] = replace(records[trial.id], metrics=metrics, seconds=7.0 + 0.01 * trial.seed)
    cost = (lambda recipe: ModelCost(1.0, flops[recipe["name"]])) if flops else (lambda _: None)
    return comparison(study, records, Kept(cost=cost))


def drawn(compared: Comparison, width: float = DOUBLE) -> Figure:
    with paper_style():
        figure = pareto.draw(compared, width)
    assert figure is not None
    return figure


def names_in(figure: Figure) -> dict[str, Any]:
    return {text.get_text(): text for axes in figure.axes for text in axes.texts if isinstance(text, Annotation)}


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25),
    st.booleans(),
    st.sets(st.integers(0, 24)),
)
def test_the_front_is_what_nobody_beats(points: list[tuple[int, int]], maximize: bool, unknown: set[int]) -> None:
    """A point is on the front exactly where no other one is at least as good in both and better in one."""
    cost, value = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    value[[i for i in unknown if i < len(value)]] = np.nan
    sign = 1 if maximize else -1

    def beaten(i: int) -> bool:
        return any(
            cost[j] <= cost[i] and sign * value[j] >= sign * value[i] and (cost[j], value[j]) != (cost[i], value[i])
            for j in range(len(points))
        )

    expected = [not np.isnan(value[i]) and not beaten(i) for i in range(len(points))]
    assert list(front(cost, value, maximize=maximize)) == expected


def test_a_panel_for_each_cost_that_differs(fake: SimpleNamespace) -> None:
    """Parameters and FLOPs differ, seconds do not beyond chance: two panels, side by side or one above the other."""
    compared = make(fake, MEANS, flops={name: 25 * n for name, n in PARAMETERS.items()})
    for width in (DOUBLE, SINGLE):
        figure = drawn(compared, width)
        assert [axes.get_xlabel() for axes in figure.axes] == [
            "trainable parameters",
            "FLOPs of one image's forward pass",
        ]
        assert figure.get_figwidth() == width
        low, high = figure.axes[0].get_ylim()
        assert all(low < mean < high for mean in MEANS.values())


def test_nothing_is_drawn_where_all_cost_the_same(fake: SimpleNamespace) -> None:
    """Variants of one size and time, to within 0.5 % and chance, have no figure; nor has a study without results."""
    assert pareto.draw(make(fake, {"baseline": 90.0, "a": 91.0, "b": 92.0})) is None
    assert pareto.draw(comparison(fake.study(), {})) is None


def test_time_counts_where_it_is_beyond_chance(fake: SimpleNamespace) -> None:
    """10 % longer counts where seeds agree on it, and not where they differ by as much."""
    points = pd.DataFrame({"seconds": [100.0, 112.0], "deviation": [1.0, 2.0]})
    assert differ("seconds", points)
    assert not differ("seconds", points.assign(deviation=[10.0, 9.0]))
    assert not differ("seconds", points.assign(seconds=[100.0, 105.0]))
    assert differ("seconds", points.assign(deviation=np.nan))


def test_the_front_and_the_control_are_marked(fake: SimpleNamespace) -> None:
    """The front is filled, and in the legend; the control has a marker of its own and a line to its Variant."""
    compared = make(fake, MEANS)
    twins = [replace(v, control_of="deep") if v.name.endswith(SUFFIX) else v for v in compared.study.variants]
    compared = replace(compared, study=replace(compared.study, variants=tuple(twins)))
    figure = drawn(compared)
    [axes] = figure.axes
    filled = [line for line in axes.lines if line.get_markerfacecolor() == "#0072b2" and line.get_linestyle() == "None"]
    on_front = sorted(float(x) for line in filled for x in np.asarray(line.get_xdata(), dtype=float))
    assert on_front == [20e3, 40e3, 40.1e3, 60e3, 80e3]  # all but waste
    assert [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "D"] == [[40.1e3]]
    assert [60e3, 40.1e3] in [list(line.get_xdata()) for line in axes.lines]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "baseline",
        "Variant",
        "control at equal parameters",
        "on the front",
    ]


def test_a_wide_range_has_a_logarithmic_axis(fake: SimpleNamespace) -> None:
    """From a ratio of eight on; ticks are short and say the unit."""
    flops = {name: 1e6 * 10**i for i, name in enumerate(MEANS)}
    figure = drawn(make(fake, MEANS, flops=flops))
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log"]
    figure.draw_without_rendering()
    assert "10G" in [tick.get_text() for tick in figure.axes[1].get_xticklabels()]


def test_a_far_variant_does_not_squeeze_the_rest(fake: SimpleNamespace) -> None:
    """It is an arrow at the edge, with its name and mean, and the axis keeps to the others."""
    figure = drawn(
        make(fake, MEANS | {"broken": 40.0}, flops={**{n: 25 * p for n, p in PARAMETERS.items()}, "broken": 9e5})
    )
    assert figure.axes[0].get_ylim()[0] > 80
    assert "broken: 40.0" in names_in(figure)
    assert [line.get_marker() for line in figure.axes[0].lines].count("v") == 1


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
@pytest.mark.parametrize("crowd", [False, True])
def test_names_do_not_collide(fake: SimpleNamespace, width: float, crowd: bool) -> None:
    """No two names of a panel overlap, none covers a point; in a crowd some are left out, never the lone ones."""
    draws = np.random.default_rng(1)
    means = {"baseline": 90.0} | {f"a_rather_long_name_{i}": 90 + draws.normal() for i in range(30 if crowd else 6)}
    flops = {name: 1e6 * (1 + draws.random() ** 2) for name in means}
    compared = make(fake, means, flops=flops)
    figure = drawn(compared, width)
    [axes] = figure.axes
    shown = [text for text in axes.texts if isinstance(text, Annotation)]
    figure.draw_without_rendering()
    boxes = [mpl.text.Text.get_window_extent(text) for text in shown]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]
    points = axes.transData.transform(list(zip(flops.values(), means.values(), strict=True)))
    assert not [1 for box in boxes for x, y in points if box.x0 < x < box.x1 and box.y0 < y < box.y1]
    assert 1 <= len(shown) <= len(means)


def crowded_front(fake: SimpleNamespace, variants: int) -> Comparison:
    """Every second Variant is on the front, so near each other that their names do not fit."""
    draws = np.random.default_rng(0)
    means = {"baseline": 90.0} | {f"mixer=attention_{i}": 90 + 0.1 * i - 0.5 * (i % 2) for i in range(1, variants)}
    flops = {name: 1e6 * (1 + 0.004 * i + 1e-4 * draws.random()) for i, name in enumerate(means)}
    return make(fake, means, flops=flops)


@pytest.mark.parametrize("width", [SINGLE, DOUBLE])
def test_everybody_on_the_front_is_named(fake: SimpleNamespace, width: float) -> None:
    """Beside its point, or by a number there to which the legend has the key; numbers run with the cost."""
    compared = crowded_front(fake, 40)
    points = cost_points(compared)
    on = front(points["flops"].to_numpy(float), points["mean"].to_numpy(float), maximize=True) & ~points["baseline"]
    wanted = set(points.loc[on, "short"])
    assert len(wanted) > 15
    figure = drawn(compared, width)
    [legend] = figure.legends
    key = dict(entry.split(": ") for text in legend.get_texts() if ": " in (entry := text.get_text()))
    shown = set(names_in(figure))
    assert {key.get(text, text) for text in shown} >= wanted
    assert len(key) > 3
    order = points.set_index("short")["flops"][[key[str(i + 1)] for i in range(len(key))]]
    assert order.is_monotonic_increasing
    assert all(
        text.get_window_extent().x0 >= 0 and text.get_window_extent().x1 <= 72 * width for text in legend.get_texts()
    )


def test_a_front_with_room_needs_no_key(fake: SimpleNamespace) -> None:
    """Where all names fit, the legend has the signs alone."""
    [legend] = drawn(make(fake, MEANS)).legends
    assert not [text for text in legend.get_texts() if ":" in text.get_text()]


def test_a_name_without_room_is_left_out() -> None:
    """Of points on top of each other only so many are named as find room, and what was tried leaves nothing behind."""
    with paper_style():
        figure = new_figure(1.5, 1.2)
        axes = figure.subplots()
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        lay_out(figure)
        labels = Labels(axes)
        labels.keep_free([0.5], [0.5])
        placed = [labels.place("as long as the panel", 0.5, 0.5, "black") for _ in range(20)]
    assert not all(placed)
    assert len(axes.texts) == sum(placed)


def test_names_without_their_one_factor(fake: SimpleNamespace) -> None:
    """Where all Variants are Levels of one Factor, the Level is enough; of two Factors both are named."""
    one = {"baseline": 90.0, "family=vit": 91.0, "family=mixer": 92.0}
    assert list(cost_points(make(fake, one))["short"]) == ["baseline", "vit", "mixer"]
    two = {"baseline": 90.0, "family=vit": 91.0, "pool=cls": 92.0}
    assert list(cost_points(make(fake, two))["short"]) == list(two)


def test_the_figure_is_the_same_bytes(fake: SimpleNamespace) -> None:
    """Drawn twice, once under another rcParams, SVG and PNG are equal."""
    compared = make(fake, MEANS)
    first = drawn(compared)
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": None}):
        second = drawn(compared)
    with paper_style():
        assert to_svg(first) == to_svg(second)
        assert to_png(first) == to_png(second)


def test_hostile_names_are_drawn(fake: SimpleNamespace) -> None:
    """Whatever Variants are called, in whatever script, and whichever seeds failed, the figure is drawn."""
    study, records = fake.hostile()
    for i, (trial_id, record) in enumerate(records.items()):
        records[trial_id] = replace(record, metrics={**record.metrics, "parameters": 1e3 * (1 + i)})
    figure = drawn(comparison(study, records), SINGLE)
    with paper_style():
        assert to_svg(figure)


@pytest.mark.parametrize("study", ["families", "ceit"])
def test_committed_results_are_drawn(study: str, fake: SimpleNamespace) -> None:
    """Of the study's own committed Trials the figure has the parameters, and the front begins with the smallest."""
    trials = pd.read_csv(Path(__file__).parents[2] / "reports" / study / "digits" / "trials.csv")
    trials = trials.assign(cause="", error="")
    names = list(dict.fromkeys(trials["variant"]))
    made = fake.study(tuple(names), tuple(sorted(set(trials["seed"]))))
    compared = compare(made, trials, pd.DataFrame())
    figure = drawn(compared)
    assert figure.axes[0].get_xlabel() == "trainable parameters"
    smallest = compared.summary.loc[compared.summary["parameters"].idxmin(), "parameters"]
    edge = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert np.asarray(edge[0].get_xdata())[0] == pytest.approx(smallest)


def test_a_long_front_is_drawn_a_few_times_and_fits_a_page(
    fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 120 on the front at most 24 are numbered, in six lines of the legend, and the figure is made thrice."""
    means = {"baseline": 50.0, **{f"v{k}=on": 50 + 0.3 * k for k in range(1, 121)}}
    flops = {name: 1e6 * (1 + place) for place, name in enumerate(means)}
    made = []
    monkeypatch.setattr(pareto, "new_figure", lambda *size: made.append(size) or new_figure(*size))
    figure = drawn(make(fake, means, flops))
    assert len(made) <= 3
    assert figure.get_figheight() <= 2.9 + 6 * 0.15 + 1e-9
    assert max(int(name) for name in names_in(figure) if name.isdigit()) <= 24


@pytest.mark.parametrize("joint", [",", "+"])
def test_names_of_combinations_are_whole(fake: SimpleNamespace, joint: str) -> None:
    """Single changes of one Factor stand without its name; where one is a combination all names are as they are."""
    short = cost_points(make(fake, {"baseline": 90.0, "width=1": 91.0, "width=2": 92.0}))["short"]
    assert list(short) == ["baseline", "1", "2"]
    means = {"baseline": 90.0, "width=1": 91.0, f"width=1{joint}depth=2": 92.0}
    assert list(cost_points(make(fake, means))["short"]) == list(means)


def test_the_caption_speaks_of_what_is_drawn(fake: SimpleNamespace) -> None:
    """Of controls only where there are some, of time only where it has a panel."""
    plain = figure_captions(make(fake, {"baseline": 90.0, "wide": 92.0}))["pareto"]
    assert "Diamonds" not in plain
    assert "panel of time" not in plain
