from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ablate.reporting import report as module
from ablate.reporting.report import Report, write_report

NAN = float("nan")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_two_writes_are_equal_to_the_byte(tmp_path: Path, fake: SimpleNamespace, written: Report) -> None:
    """The same study and Records, even handed over in another order, give the same files."""
    study, records = fake.realistic()
    write_report(study, dict(reversed(records.items())), tmp_path)
    assert contents(written.folder) == contents(tmp_path)


def test_the_folder_holds_what_is_promised(written: Report) -> None:
    """Both pages, tables in three forms, frames, figures in two forms at two widths, and nothing else."""
    tables = [f"tables/{n}.{e}" for n in ("comparison", "failures") for e in ("csv", "md", "tex")]
    figures = [
        f"figures/{n}{c}.{e}"
        for n in ("differences", "curves", "trials")
        for c in ("", "-column")
        for e in ("svg", "png")
    ]
    expected = {*tables, *figures, "report.md", "report.html", "trials.csv", "history.csv"}
    assert set(contents(written.folder)) == expected
    assert {str(p.relative_to(written.folder)) for p in written.files} == expected
    assert written.html.is_file()
    assert len(pd.read_csv(written.folder / "trials.csv")) == 42


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
        if not name.endswith(".png"):
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
