"""The direction of imports, and what may be imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_imports_go_one_way() -> None:
    """Every contract of pyproject.toml's import-linter section holds in the source."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["schema"],
        ["plan", "studies/simplevit.yaml"],
        ["plan", "studies/simplevit.yaml", "--json", "--full"],
        ["status", "studies/simplevit.yaml"],
        *([verb, "--help"] for verb in ("run", "status", "logs", "cancel", "retry", "doctor")),
    ],
    ids=lambda a: " ".join(a),
)
def test_quick_verbs_import_neither_torch_nor_mlflow(arguments: list[str], tmp_path: Path) -> None:
    """Help, schema, a plan and a study's standing answer at once, since the heavy packages stay unloaded."""
    code = (
        "import sys\n"
        "from ablate.cli import app\n"
        "try:\n"
        "    app(sys.argv[1:])\n"
        "except SystemExit as leave:\n"
        "    assert not leave.code, leave.code\n"
        "heavy = {'torch', 'mlflow', 'timm', 'pandas', 'matplotlib', 'submitit'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    arguments = [str(ROOT / a) if a.startswith("studies/") else a for a in arguments]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_path_of_a_run_is_in_one_file() -> None:
    """A verb's file holds all between its arguments and the function that does the work: cli.py, or cli_report.py."""
    for verb, (file, works) in {
        "run": ("cli.py", "run_study("),
        "report": ("cli_report.py", "report_study("),
        "plan": ("cli.py", "plan_study("),
        "check": ("cli.py", "check_levels("),
    }.items():
        source = (ROOT / "ablate" / file).read_text(encoding="utf-8")
        body = source.partition(f"\ndef {verb}(")[2].partition("\ndef ")[0].partition("\n@app")[0]
        assert works in body


def test_no_file_has_outgrown_one_idea() -> None:
    """No module of the package is longer than 300 lines: where one is, it has two ideas in it."""
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in (ROOT / "ablate").rglob("*.py")}
    assert lengths
    assert {str(p): n for p, n in lengths.items() if n > 300} == {}


def test_no_module_is_a_bag() -> None:
    """There is no utils.py, helpers.py or common.py."""
    names = {p.name for p in (ROOT / "ablate").rglob("*.py")}
    assert not names & {"utils.py", "helpers.py", "common.py", "misc.py"}
