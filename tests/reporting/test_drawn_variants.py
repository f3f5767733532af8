"""Which Variants the figures draw of a study with more than a page has room for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from ablate.reporting.comparison import comparison
from ablate.reporting.drawn_variants import FEW, MOST_DRAWN, drawn_variants
from ablate.reporting.figure_captions import figure_captions
from ablate.reporting.figures import curves, differences, trials
from ablate.reporting.figures.style import paper_style
from ablate.reporting.frame import history_frame
from ablate.reporting.tables import comparison_table


def values_of(count: int) -> dict[str, list[float]]:
    """Variant `v7` differs by 7 points, up where that is even; the order in the study is not that of the effects."""
    shuffled = np.random.default_rng(1).permutation(count) + 1
    effects = {f"v{i}": float(i if i % 2 == 0 else -i) for i in shuffled}
    return {name: [50 + effect, 51.5 + effect * 1.01] for name, effect in {"baseline": 0.0, **effects}.items()}


def test_the_farthest_are_drawn_and_all_are_in_the_table(fake: SimpleNamespace) -> None:
    """In either direction, in the study's order; curves of fewer; captions say of how many, and the table has all."""
    values = values_of(MOST_DRAWN + 15)
    study = fake.study(tuple(values), (0, 1))
    records = fake.records(study, values, history=3)
    compared = comparison(study, records)
    farthest = [name for name in values if name != "baseline" and int(name[1:]) > 15]
    assert drawn_variants(compared) == farthest
    with paper_style():
        rows = {figure: figure.draw(compared) for figure in (differences, trials)}
        lines = curves.draw(compared, history_frame(study, records))
    named = {f: [t.get_text() for t in figure.axes[0].get_yticklabels()] for f, figure in rows.items() if figure}
    assert named == {differences: farthest, trials: ["baseline", *farthest]}
    assert lines is not None
    legends = [axes.get_legend() for axes in lines.axes]
    few = [name for name in farthest if int(name[1:]) > MOST_DRAWN + 15 - FEW]
    assert len(few) == FEW
    assert sorted(t.get_text() for legend in legends if legend for t in legend.get_texts()) == sorted(few)

    assert list(comparison_table(compared)["Variant"]) == list(values)
    for name, most in {"differences": MOST_DRAWN, "curves": FEW, "trials": MOST_DRAWN}.items():
        told = f"Of {MOST_DRAWN + 15} Variants only the {most} farthest from the baseline"
        assert told in figure_captions(compared)[name]


def test_where_all_have_room_all_are_drawn(fake: SimpleNamespace) -> None:
    """And nothing is said of others; a Variant without a result keeps its row."""
    values = values_of(MOST_DRAWN) | {"v3": [float("nan")] * 2}
    study = fake.study(tuple(values), (0, 1))
    compared = comparison(study, fake.records(study, values))
    assert drawn_variants(compared) == list(values)[1:]
    assert not any("farthest" in caption for caption in figure_captions(compared).values())


def test_one_without_a_result_makes_room_for_those_with_one(fake: SimpleNamespace) -> None:
    """There is no distance to rank it by; the table of failures names it."""
    values = values_of(MOST_DRAWN + 1) | {"v31": [float("nan")] * 2}
    study = fake.study(tuple(values), (0, 1))
    compared = comparison(study, fake.records(study, values))
    assert drawn_variants(compared) == [name for name in values if name not in ("baseline", "v31")]
    assert list(compared.failures["variant"]) == ["v31"]
