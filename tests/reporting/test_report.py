from __future__ import annotations

import io
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from ablate.reporting import renderers
from ablate.reporting import report as module
from ablate.reporting.comparison import compare
from ablate.reporting.frame import history_frame, teacher_frame, trial_frame
from ablate.reporting.further_tables import further_tables
from ablate.reporting.named_table import NamedTable
from ablate.reporting.report import Report, write_comparison, write_report

NAN = float("nan")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_two_writes_are_equal_to_the_byte(tmp_path: Path, fake: SimpleNamespace, written: Report) -> None:
    """The same study and Records, even handed over in another order, give the same files."""
    study, records = fake.realistic()
    write_report(study, dict(reversed(records.items())), tmp_path)
    assert contents(written.folder) == contents(tmp_path)


TABLES = {f"tables/{n}.{e}" for n in ("comparison", "failures") for e in ("csv", "md", "tex")}
FIGURES = {f"figures/{n}.{e}" for n in ("differences", "curves", "trials") for e in ("svg", "pdf")}


def test_the_folder_holds_what_is_promised(written: Report) -> None:
    """Both pages, tables in three forms, frames, figures in two forms, what fits a column, and nothing else."""
    of_a_column = {"tables/comparison-column.tex", "figures/differences-column.pdf"}
    further = {f"tables/{t.name}.{e}" for t in further_tables(written.comparison) for e in ("csv", "md", "tex")}
    frames = {"trials.csv", "history.csv"}
    expected = TABLES | FIGURES | further | of_a_column | frames | {"report.md", "report.html"}
    assert set(contents(written.folder)) == expected
    assert {str(p.relative_to(written.folder)) for p in written.files} == expected
    assert written.html.is_file()
    assert len(pd.read_csv(written.folder / "trials.csv")) == 42


@pytest.mark.parametrize(
    ("formats", "ends"),
    [({"html"}, {"html"}), ({"md"}, {"md", "svg"}), ({"tex"}, {"tex", "pdf"}), ({"csv"}, {"csv"})],
)
def test_a_format_is_written_alone(
    formats: set[str], ends: set[str], tmp_path: Path, fake: SimpleNamespace, written: Report
) -> None:
    """What it needs, with the bytes that it has in a whole report; nothing of the others."""
    report = write_report(*fake.realistic(), tmp_path, formats=formats)
    found = contents(tmp_path)
    assert {name.rpartition(".")[2] for name in found} == ends
    assert found == {name: content for name, content in contents(written.folder).items() if name in found}
    assert {str(p.relative_to(tmp_path)) for p in report.files} == set(found)


def test_formats_that_are_not_asked_for_stay(tmp_path: Path, fake: SimpleNamespace, written: Report) -> None:
    """Tables and figures of LaTeX are left as they are by a report in Markdown, which clears up after itself alone."""
    shutil.copytree(written.folder, tmp_path, dirs_exist_ok=True)
    write_report(fake.study(), {}, tmp_path, formats={"md"})
    left = set(contents(tmp_path))
    assert {name for name in left if name.endswith((".tex", ".pdf", ".csv"))} == {
        str(p.relative_to(written.folder)) for p in written.files if p.suffix in (".tex", ".pdf", ".csv")
    }
    assert not any(name.endswith(".svg") for name in left)


def test_a_comparison_without_records_has_a_report(tmp_path: Path, fake: SimpleNamespace, written: Report) -> None:
    """Made from frames alone, the tables and figures are those of the Records."""
    study, records = fake.realistic()
    compared = compare(study, trial_frame(study, records), teacher_frame(study, records))
    write_comparison(compared, {}, history_frame(study, records), tmp_path)
    same = {name for name in contents(tmp_path) if name not in ("report.md", "report.html")}
    assert same == {n for n in contents(written.folder) if n not in ("report.md", "report.html")}
    assert all((tmp_path / name).read_bytes() == (written.folder / name).read_bytes() for name in same)


def test_further_tables_are_in_every_format(
    tmp_path: Path, fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NamedTable is three files, a section of report.md with its figures, and on a terminal where it is short."""
    text = pd.DataFrame({"Step": ["a|b", "c"], "Gain": ["+1.0", "−2.0"]})
    table = NamedTable(
        "ladder", "The <ladder>", text, pd.DataFrame({"gain": [1.0, -2.0]}), "What *it* is.", ("trials",)
    )
    for place in (module, renderers):
        monkeypatch.setattr(place, "further_tables", lambda compared: [table])
    report = write_report(*fake.realistic(), tmp_path)
    assert (tmp_path / "tables/ladder.csv").read_text() == "gain\n1.0\n-2.0\n"
    assert r"| a\|b | +1.0 |" in (tmp_path / "tables/ladder.md").read_text()
    assert r"a\textbar{}b & +1.0 \\" in (tmp_path / "tables/ladder.tex").read_text()
    section = report.markdown.read_text().split(r"## The \<ladder>")[1].split("\n## ")[0]
    assert section.index("| c | −2.0 |") < section.index(r"What \*it\*") < section.index("(figures/trials.svg)")
    console = Console(width=100, file=io.StringIO(), color_system=None)
    console.print(renderers.TerminalReport(report.comparison))
    assert isinstance(console.file, io.StringIO)
    assert "The <ladder>" in console.file.getvalue()


def test_leftovers_go_and_strangers_stay(tmp_path: Path, fake: SimpleNamespace, written: Report) -> None:
    """Figures and tables that this report lacks are removed; files of somebody else are not touched."""
    shutil.copytree(written.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "figures" / "mine.svg").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    write_report(fake.study(), {}, tmp_path)
    left = set(contents(tmp_path))
    assert {name for name in left if name.startswith("figures/")} == {"figures/mine.svg"}
    assert "notes.txt" in left


def test_an_interrupted_write_leaves_the_old_report(
    tmp_path: Path, fake: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When drawing or writing fails, every file is as it was, and no scratch folder stays."""
    study = fake.study()
    write_report(study, fake.records(study, {"baseline": [1.0, 2.0]}), tmp_path)
    before = contents(tmp_path)

    def disk_full(self: Path, data: bytes) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(OSError, match="no space"):
        write_report(study, {}, tmp_path)
    assert contents(tmp_path) == before
    assert not list(tmp_path.glob(".report-*"))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"baseline": [90.0], "a": [80.0]},
        {"baseline": [NAN] * 3, "a": [80.0, 81.0, 82.0]},
        {"baseline": [90.0, 91.0, 92.0], "a": [NAN] * 3, "b": [90.0, 91.0, 92.0]},
        {"baseline": [0.0, 0.0, 0.0], "a": [0.0, 0.0, 0.0], "b": [1e-9, 1e9, -1e9]},
    ],
    ids=["nothing", "one-seed", "diverged-baseline", "failed-variant", "extreme"],
)
def test_any_state_of_a_study_has_a_report(
    values: dict[str, list[float]], direction: str, tmp_path: Path, fake: SimpleNamespace
) -> None:
    """Whatever has finished or failed, the report is written, and every planned Trial is accounted for."""
    study = fake.study(direction=direction)
    written = write_report(study, fake.records(study, values, history=3), tmp_path)
    done = int(written.comparison.summary["n"].sum())
    listed = sum(len(seeds.split(", ")) for seeds in written.comparison.failures["seeds"])
    assert done + listed == len(study.trials)


def test_a_study_of_the_baseline_alone_has_a_report(tmp_path: Path, fake: SimpleNamespace) -> None:
    """No Factor, no comparison, no Trainable metric but one."""
    study = fake.study(("baseline",), citation="", published=(), header={}, trainable="mine:train")
    records = {
        k: replace(r, metrics={"top1": 1.0})
        for k, r in fake.records(study, {"baseline": [1.0, 2.0]}, history=2).items()
    }
    assert write_report(study, records, tmp_path).markdown.read_text().count("There is only the baseline") == 1


def test_hostile_texts_have_a_report(written_hostile: Report) -> None:
    """Names with every special character end up in files that are valid UTF-8."""
    for name, content in contents(written_hostile.folder).items():
        if not name.endswith(".pdf"):
            content.decode("utf-8")


def test_markdown_links_are_relative_and_found(written: Report) -> None:
    """Every figure that report.md shows lies beside it."""
    text = written.markdown.read_text(encoding="utf-8")
    links = [line[line.index("](") + 2 : -1] for line in text.splitlines() if line.startswith("![")]
    assert links == ["figures/differences.svg", "figures/curves.svg", "figures/trials.svg"]
    assert all((written.folder / link).is_file() for link in links)


def test_reporting_imports_neither_torch_nor_mlflow() -> None:
    """In a fresh process the report's code loads no torch and no mlflow."""
    code = f"import sys, {module.__name__}; print(sorted({{'torch', 'mlflow'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
