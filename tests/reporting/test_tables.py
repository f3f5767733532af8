"""Tables against files in `golden/`, which no test writes.

After an intended change, read the diff in the failure (`pytest -vv` shows all of it), print what `render` returns for
the same study, look at it, and copy it into the file by hand.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from ablate.reporting import captions, latex, markdown, renderers
from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.tables import comparison_table, failures_table, left_columns
from ablate.study.study import Metric, PublishedColumn

#: What the golden CSV holds: the numbers that a reader sees first.
CORE = [
    "variant", "planned", "n", "mean", "std", "half", "pairs", "difference", "difference_low", "difference_high", "p",
    "p_holm", "verdict", "reason", "parameters", "seconds",
]  # fmt: skip
GOLDEN = Path(__file__).parent / "golden"
NAN = float("nan")


def render(name: str, compared: Comparison) -> str:
    table = comparison_table(compared)
    if name.startswith("failures"):
        return renderers.to_markdown(failures_table(compared))
    if name.endswith(".md"):
        return renderers.to_markdown(table)
    if name.endswith(".csv"):
        return renderers.to_csv(compared.summary[CORE].round(6))
    return latex.comparison_tex(compared)


@pytest.mark.parametrize("kind", ["realistic", "hostile"])
@pytest.mark.parametrize("name", ["comparison.md", "comparison.tex", "comparison.csv", "failures.md"])
def test_tables_are_golden(kind: str, name: str, fake: SimpleNamespace) -> None:
    """Markdown, LaTeX and CSV of a realistic and of a hostile study are exactly the files that were checked by eye."""
    compared = comparison(*getattr(fake, kind)())
    assert render(name, compared) == (GOLDEN / f"{kind}-{name}").read_text(encoding="utf-8")


def test_a_minimised_metric_is_said_to_be(fake: SimpleNamespace) -> None:
    """The caption names the direction, and the verdict follows it."""
    study = fake.study(("baseline", "a"), direction="minimize")
    compared = comparison(study, fake.records(study, {"baseline": [5.0, 6.0, 7.0], "a": [1.0, 2.1, 3.05]}))
    assert "lower is better" in captions.comparison_caption(compared)
    assert comparison_table(compared).loc[1, "Verdict"] == "helps"


def test_no_parameters_no_column(fake: SimpleNamespace) -> None:
    """A Trainable that reports no `parameters` gets a table without that column."""
    study = fake.study(("baseline", "a"))
    records = {"baseline-0": fake.record(study, "baseline", 0, 1.0, metrics={"top1": 1.0})}
    assert "Parameters" not in comparison_table(comparison(study, records)).columns


def test_nothing_finished_is_a_table_of_dashes(fake: SimpleNamespace) -> None:
    """Every Variant is there with n = 0, and every Trial is listed as not trained."""
    compared = comparison(fake.study(), {})
    table = comparison_table(compared)
    assert table["n"].tolist() == ["0/3"] * 3
    assert table["top-1 accuracy (%)"].tolist() == ["—"] * 3
    assert failures_table(compared)["Status"].tolist() == ["not trained"] * 3


def test_missing_pairs_are_shown_in_the_cell(fake: SimpleNamespace) -> None:
    """A difference over fewer pairs than planned says how many."""
    study = fake.study(("baseline", "a"))
    compared = comparison(study, fake.records(study, {"baseline": [1.0, 2.0, NAN], "a": [2.0, 4.0, 5.0]}))
    assert comparison_table(compared).loc[1, "Difference"].endswith("(n = 2)")


@pytest.mark.parametrize("width", [80, 100, 140, 220])
def test_the_terminal_shows_numbers_whole_and_says_what_it_leaves_out(width: int, fake: SimpleNamespace) -> None:
    """No line is wider than the terminal, no number is cut, and columns that are missing are named."""
    compared = comparison(*fake.realistic())
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderers.TerminalReport(compared))
    assert isinstance(console.file, io.StringIO)
    output = console.file.getvalue()
    assert max(cell_len(line) for line in output.splitlines()) <= width
    assert "−0.84 [−0.89, −0.80]" in output
    assert "diverged: loss" in output  # the beginning of a cell that may wrap
    table = output.split("higher is better")[0]
    words = " ".join(output.split())
    assert ("Parameters" in table) != (
        "Not shown for want of width" in words and "Parameters" in words.split("Not shown")[1]
    )


def test_the_terminal_takes_no_markup_from_names(fake: SimpleNamespace) -> None:
    """A Variant called `[red]x[/]` is printed as that."""
    study = fake.study(("baseline", "[red]x[/]"))
    console = Console(width=120, file=io.StringIO(), color_system=None)
    console.print(renderers.TerminalReport(comparison(study, {})))
    assert isinstance(console.file, io.StringIO)
    assert "[red]x[/]" in console.file.getvalue()


def test_published_numbers_read_as_published(fake: SimpleNamespace) -> None:
    """In their own digits, with their `≈`; the difference has the uncertainty of what was measured."""
    column = PublishedColumn("paper", {"baseline": 75.0, "a": 83.0}, "T1", "", {"baseline": "75.0", "a": "≈ 83"})
    study = fake.study(("baseline", "a", "b"), published=(column,))
    values = {"baseline": [75.0, 76.0, 77.0], "a": [80.0, 81.0, 82.0], "b": [1.0, 2.0, 3.0]}
    compared = comparison(study, fake.records(study, values))
    table = comparison_table(compared)
    assert table["top-1 accuracy (%)"].tolist() == ["76.0 ± 2.5", "81.0 ± 2.5", "2.0 ± 2.5"]
    assert table["paper"].tolist() == ["75.0", "≈ 83", "—"]
    assert table["− paper"].tolist() == ["+1.0 ± 2.5", "≈ −2.0 ± 2.5", "—"]
    assert "≈: only roughly known" in captions.comparison_caption(compared)


def test_a_small_metric_keeps_its_exponent_beside_published_numbers(fake: SimpleNamespace) -> None:
    """A difference of 4e-8 is not written as 4."""
    study = fake.study(
        ("baseline",), metric=Metric("nll", "minimize"), published=(PublishedColumn("paper", {"baseline": 1e-8}, "T"),)
    )
    compared = comparison(study, fake.records(study, {"baseline": [5.1e-8, 5.2e-8, 5.3e-8]}))
    assert comparison_table(compared).loc[0, "− paper"] == "(+4.20 ± 0.25)e-08, worse"


def test_the_caption_says_what_a_verdict_takes(fake: SimpleNamespace) -> None:
    """The |t| of Holm's first step with these seeds, also in standard deviations; nothing of it for one seed."""
    caption = captions.comparison_caption(comparison(fake.study(), {}))
    assert "With 3 seeds and 2 comparisons no Variant is said to help or hurt unless one |t| exceeds 6.2" in caption
    assert "difference of 3.6 standard deviations of the paired differences" in caption
    assert "|t|" not in captions.comparison_caption(comparison(fake.study(seeds=(0,)), {}))


@pytest.mark.parametrize(("values", "told"), [([99.0, 99.5, 97.0], True), ([90.0, 90.5, 90.2], False)])
def test_an_interval_beyond_a_hundred_percent_is_explained(
    values: list[float], told: bool, fake: SimpleNamespace
) -> None:
    """Where it happens, and nowhere else."""
    study = fake.study(("baseline",))
    compared = comparison(study, fake.records(study, {"baseline": values}))
    assert (compared.summary.loc[0, "high"] > 100) == told
    assert ("may reach beyond" in captions.comparison_caption(compared)) == told


def test_text_stands_to_the_left_in_markdown(fake: SimpleNamespace) -> None:
    """In the tables of the Recipe and of the changes every column is text, and both have words below them."""
    study, records = fake.realistic()
    text = markdown.to_report(comparison(study, records), records, ())
    for head, words in (("| Variant | Field | Baseline | Here |", "Every field"), ("| Field | Value |", "Every value")):
        table, caption = text[text.index(head) :].split("\n\n")[:2]
        assert set(table.split("\n")[1].strip("|").split("|")) == {":---"}
        assert caption.startswith(words)


def test_csv_keeps_full_precision(fake: SimpleNamespace) -> None:
    """The raw mean comes back bit by bit."""
    study = fake.study(("baseline",))
    compared = comparison(study, fake.records(study, {"baseline": [1 / 3, 2 / 3, 0.1]}))
    row = next(csv.DictReader(io.StringIO(renderers.to_csv(compared.summary))))
    assert float(row["mean"]) == compared.summary.loc[0, "mean"]


def test_the_caption_says_what_the_numbers_are(fake: SimpleNamespace) -> None:
    """n, the kind of interval, pairing, correction, what ± is, and that a selection is one."""
    study = fake.study(selection="--only a")
    caption = captions.comparison_caption(comparison(study, {}))
    for words in (
        "±",
        "95 % t interval",
        "n: seeds with a result",
        "paired by seed",
        "Holm",
        "2 comparisons",
        "not adjusted",
        "--only a",
    ):
        assert words in caption


def test_words_stand_to_the_left_and_numbers_to_the_right() -> None:
    """By what the cells say: a column `Effect` may hold names in one table and estimates in another."""
    names, estimates = ["posemb", "posemb:pool", "—"], ["+0.3 [−0.1, +0.7]", "—", "< 0.001"]
    table = pd.DataFrame({"Effect": names, "Estimate": estimates, "Class": ["0", "1", "2"], "Variant": ["1", "2", "3"]})
    assert left_columns(table) == [True, False, False, True]
    assert left_columns(table.rename(columns={"Effect": "x", "Estimate": "Effect"})) == [True, False, False, True]
