"""LaTeX: set with a real TeX, in `article` with one column and with two, and read back from its log and its pages."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.reporting import latex
from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.kept import Kept, ModelCost
from ablate.reporting.named_table import NamedTable
from ablate.reporting.report import Report
from ablate.reporting.statistics import SAME
from ablate.reporting.tables import left_columns
from ablate.reporting.tex_columns import COLUMN, GAP, PAGE, natural_widths, points, tex_columns
from ablate.reporting.tex_parts import cuts
from ablate.study.study import Analysis

#: What the tables' first line asks for.
PACKAGES = ("array", "booktabs")
#: Points that a line may stick out: less than a letter.
STICKING_OUT = 5.0


def has_tex() -> bool:
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        return False
    return all(not subprocess.run(["kpsewhich", f"{p}.sty"], capture_output=True).returncode for p in PACKAGES)


needs_tex = pytest.mark.skipif(not has_tex(), reason="no pdflatex with array and booktabs")


def typeset(texts: dict[str, str], folder: Path, columns: str) -> str:
    """The log of a document that has all these tables; fails where TeX does."""
    for name, text in texts.items():
        (folder / f"{name}.tex").write_text(text, encoding="utf-8")
    lines = [
        f"\\documentclass[{columns}]{{article}}",
        f"\\usepackage{{{','.join(PACKAGES)}}}",
        "\\begin{document}",
        "x",
    ]
    lines += [f"\\input{{{name}}}\\clearpage" for name in texts]
    (folder / "paper.tex").write_text("\n".join([*lines, "\\end{document}"]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = (folder / "paper.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, log[-3000:]
    return log


def complaints(log: str) -> list[str]:
    """What does not fit its page."""
    found = re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)[^\n]*", log)
    wide = [f"{size} pt too wide" for size in found if float(size) > STICKING_OUT]
    return wide + re.findall(r"LaTeX Warning: Float too large[^\n]*", log)


@needs_tex
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
@pytest.mark.parametrize("kind", ["written", "written_hostile"])
def test_tables_are_set_without_sticking_out(
    kind: str, columns: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Every table of a realistic and of a hostile study is set on a page of one column and of two, and fits it."""
    files = [path for path in request.getfixturevalue(kind).files if path.suffix == ".tex"]
    assert {"comparison", "comparison-column", "failures"} <= {path.stem for path in files}
    texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
    assert complaints(typeset(texts, tmp_path, columns)) == []


def long_study(fake: SimpleNamespace, variants: int) -> Comparison:
    """Variants with long names, two seeds each."""
    names = ("baseline", *(f"learning-rate={i}+position=sincos2d+pooling=cls" for i in range(variants)))
    study = fake.study(names, (0, 1))
    values = {name: [90.0 + i % 7, 91.5 + i % 5] for i, name in enumerate(names)}
    return comparison(study, fake.records(study, values))


@needs_tex
@pytest.mark.parametrize("layout", ["onecolumn", "twocolumn", "twocolumn,11pt"])
def test_a_long_table_is_set_in_parts_that_fit(layout: str, tmp_path: Path, fake: SimpleNamespace) -> None:
    """150 Variants fill several floats of the width of a page and of a column; none is higher than a page."""
    compared = long_study(fake, 150)
    log = typeset({"wide": latex.comparison_tex(compared), "narrow": latex.column_tex(compared)}, tmp_path, layout)
    assert [line for line in complaints(log) if "11pt" not in layout or "too large" in line] == []
    pages = re.search(r"Output written on paper\.pdf \((\d+) pages", log)
    assert pages is not None
    assert int(pages.group(1)) >= 5


@needs_tex
def test_parts_share_a_number_and_one_entry(tmp_path: Path, fake: SimpleNamespace) -> None:
    """The parts are Table 1, once in the list of tables, where the label points; the next table is Table 2."""
    after = "\\begin{table}\\caption{After}\\label{tab:after}x\\end{table}"
    typeset({"long": latex.comparison_tex(long_study(fake, 150)), "next": after}, tmp_path, "twocolumn")
    labels = dict(re.findall(r"\\newlabel\{(.*?)\}\{\{(\d+)\}", (tmp_path / "paper.aux").read_text()))
    assert labels == {"tab:simplevit-digits-comparison": "1", "tab:after": "2"}
    entries = re.findall(r"contentsline \{table\}\{\\numberline \{(\d+)\}", (tmp_path / "paper.aux").read_text())
    assert entries == ["1", "2"]


@needs_tex
@pytest.mark.parametrize("layout", ["onecolumn", "twocolumn"])
def test_more_parts_than_latex_keeps_waiting(layout: str, tmp_path: Path, fake: SimpleNamespace) -> None:
    """A table of 5,000 rows, which are more floats than LaTeX holds back, is set without a word between them."""
    text = pd.DataFrame({"Variant": [f"v{i}" for i in range(5000)], "Difference": ["+0.41 [−0.05, +0.88]"] * 5000})
    tex = latex.named_tex(NamedTable("any", "Any", text, text, "Notes."), "simplevit")
    assert tex.count("\\begin{table*}") > 100
    assert complaints(typeset({"long": tex}, tmp_path, layout)) == []


def test_every_row_is_in_one_part(fake: SimpleNamespace) -> None:
    """Each part has the head and says which it is, the rows are all there in their order, the notes below the last."""
    tex = latex.comparison_tex(long_study(fake, 150))
    parts = tex.split("\\end{table*}")[:-1]
    assert len(parts) > 3
    shown = [re.findall(r"\\caption\{.*\(Part (\d+) of (\d+)\.\)\}", part) for part in parts]
    assert shown == [[(str(i + 1), str(len(parts)))] for i in range(len(parts))]
    assert all("p (Holm)" in part.split("\\midrule")[0] for part in parts)
    rows = [re.findall(r"^(?:learning-.*?rate=.*?(\d+)\+|baseline)", part, re.MULTILINE) for part in parts]
    assert [int(row) for part in rows for row in part if row] == list(range(150))
    assert [("\\scriptsize" in part) for part in parts] == [False] * (len(parts) - 1) + [True]


@given(heights=st.lists(st.floats(9.5, 80), min_size=1, max_size=80), room=st.floats(150, 450), below=st.floats(0, 150))
def test_cuts_are_few_and_even(heights: list[float], room: float, below: float) -> None:
    """Every row is in one part, there are as few as filling page after page gives, and none is much above the mean."""
    parts = cuts(heights, room, below)
    assert [i for part in parts for i in range(len(heights))[part]] == list(range(len(heights)))
    own = [*heights[:-1], heights[-1] + below]
    needed, used = 1, 0.0
    for i, height in enumerate(own):
        needed, used = (needed + 1, height) if i and used + height > room else (needed, used + height)
    assert len(parts) == needed
    sizes = [sum(own[part]) for part in parts]
    assert max(sizes) <= max(room, *own) + 1e-6
    assert max(sizes) <= sum(own) / needed + max(own) + 3


@needs_tex
@settings(max_examples=6, deadline=None)
@given(cells=st.lists(st.text(max_size=30), min_size=12, max_size=12))
def test_any_text_can_be_set(cells: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever stands in the cells, the title and the caption, in any script, TeX does not stop at it."""
    text = pd.DataFrame({"Why": cells[:4], "Step": cells[4:8], "Variant": cells[8:12]})
    table = NamedTable("any", cells[0], text, text, " ".join(cells))
    typeset({"any": latex.named_tex(table, cells[1])}, tmp_path_factory.mktemp("any"), "twocolumn")


def test_one_file_serves_both_layouts(written: Report) -> None:
    """`table*` spans both columns, and is `table` where there is one; the file for a column is a `table`."""
    wide = (written.folder / "tables/comparison.tex").read_text(encoding="utf-8")
    assert set(re.findall(r"\\begin\{(table.?)\}", wide)) == {"table*"}
    narrow = (written.folder / "tables/comparison-column.tex").read_text(encoding="utf-8")
    assert re.findall(r"\\begin\{(table.?)\}", narrow) == ["table"]


def test_labels_name_the_study(written: Report) -> None:
    """So that a paper can have tables of several studies; they are unique within one."""
    texts = [path.read_text(encoding="utf-8") for path in written.files if path.suffix == ".tex"]
    labels = [label for text in texts for label in re.findall(r"\\label\{(.*?)\}", text)]
    assert {f"tab:simplevit-digits-{n}" for n in ("comparison", "comparison-column", "published")} <= set(labels)
    assert len(labels) == len(set(labels))
    assert all(label.startswith("tab:simplevit-digits-") for label in labels)


def test_a_paper_has_what_it_has_room_for(fake: SimpleNamespace) -> None:
    """Names wrap where they are joined, captions are short, neither Changes nor published numbers widen the first."""
    tex = latex.comparison_tex(comparison(*fake.realistic()))
    first, second = tex.split("\\end{table*}")[:2]
    assert "position=\\allowbreak{}learned+\\allowbreak{}pooling=" in first
    assert "Changes" not in tex
    assert ("SimpleViT" in first, "SimpleViT" in second) == (False, True)
    assert all(len(caption) < 160 for caption in re.findall(r"\\caption\{(.*)\}", tex))


@pytest.mark.parametrize("make", [latex.comparison_tex, latex.column_tex])
def test_a_mark_is_a_verdict(make: object, fake: SimpleNamespace) -> None:
    """An asterisk stands in the row of every Variant that helps or hurts, `=` where there is no difference."""
    study, records = fake.realistic()
    compared = comparison(replace(study, analysis=Analysis(margin=0.5)), records)
    compared.summary.loc[4, "verdict"] = SAME
    assert callable(make)
    body = make(compared).split("\\midrule")[1].split("\\bottomrule")[0].strip()
    found = [re.findall(r"rlap\{(.*?)\} *(?:&|\\)", row) for row in body.split("\n")]
    wanted = {"helps": ["*"], "hurts": ["*"], SAME: ["$^{=}$"]}
    assert found == [wanted.get(verdict, []) for verdict in compared.summary["verdict"]]
    assert {"hurts", SAME} <= set(compared.summary["verdict"])


@pytest.mark.parametrize("width", [PAGE, COLUMN])
@given(words=st.lists(st.text("abcdefgh=+-0123456789", max_size=60), min_size=1, max_size=6))
def test_columns_add_up_to_the_line(width: float, words: list[str]) -> None:
    """Text wraps as far as it must and no further: either all is as wide as it would be, or the line is full."""
    table = pd.DataFrame({"Variant": words, "Why": words[::-1], "Difference": ["+0.41 [−0.05, +0.88]"] * len(words)})
    columns = tex_columns(table, left_columns(table), width)
    natural = max(map(points, words))
    sizes = [natural if c.share is None else c.share * width for c in columns[:2]]
    number = points("+0.41 [−0.05, +0.88]")
    assert columns[2].share is None
    total = sum(max(size, points("Variant")) for size in sizes) + number + 2 * GAP
    if any(column.share for column in columns):
        assert total == pytest.approx(width, abs=12)
    else:
        assert total <= width + 1e-9


@needs_tex
def test_widths_are_those_of_the_font(tmp_path: Path) -> None:
    """The estimate is within 8 % of what TeX measures for a line of a table."""
    lines = ["position=learned+pooling=cls", "−43.98 [−48.45, −39.50]", "not enough evidence (4 more seeds)", "102.7k"]
    boxes = [
        f"\\setbox0\\hbox{{\\footnotesize {latex.escaping.latex(line)}}}\\typeout{{WIDTH \\the\\wd0}}" for line in lines
    ]
    log = typeset({"widths": "\n".join(boxes)}, tmp_path, "onecolumn")
    measured = [float(width) for width in re.findall(r"WIDTH ([\d.]+)pt", log)]
    assert [points(line) for line in lines] == pytest.approx(measured, rel=0.08)


def test_costs_leave_room_for_names(fake: SimpleNamespace) -> None:
    """Parameters and FLOPs stand in the table where they and their headings leave the names a fifth of the line."""
    study, records = fake.realistic()
    compared = comparison(study, records, Kept(cost=lambda _: ModelCost(102_666.0, 1.29e6)))
    table = latex._of_interest(compared, ("Variant", "n"))
    added = []
    for interval in range(5):
        wider = latex._with_costs(compared, table)
        added.append(wider.shape[1] - table.shape[1])
        assert not added[-1] or sum(natural_widths(wider)[1:]) + GAP * (wider.shape[1] - 1) <= 0.8 * PAGE
        table = table.assign(**{f"interval {interval}": "+0.41 [−0.05, +0.88]"})
    assert (added[0], added[-1]) == (2, 0)
