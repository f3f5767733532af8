from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ablate.tracking import environment as module
from ablate.tracking.environment import environment


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "train.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    return tmp_path


def test_the_commit_and_its_cleanness_are_told(repository: Path):
    """A clean tree is `no`, an edited one `yes`; untracked files are no edit."""
    (repository / "mlflow.db").write_text("made by a run")
    clean = environment(repository)
    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] == "no"
    (repository / "train.py").write_text("2")
    assert environment(repository)["git_dirty"] == "yes"


@pytest.mark.parametrize("error", [FileNotFoundError("no git"), subprocess.TimeoutExpired("git", 10)])
def test_without_git_the_flag_is_unknown(error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No git, a hanging git or no repository: no commit is claimed, and nothing is raised."""

    def fail(*arguments: object, **options: object) -> None:
        raise error

    assert environment(tmp_path)["git_dirty"] == "unknown"
    monkeypatch.setattr(module.subprocess, "run", fail)
    found = environment(tmp_path)
    assert found["git_dirty"] == "unknown"
    assert "git_commit" not in found


def test_versions_and_machine_are_told(tmp_path: Path):
    """Every package that is installed stands with its version, and every value is a string that says something."""
    found = environment(tmp_path)
    assert found["torch"] == version("torch")
    assert {"ablate-harness", "mlflow", "numpy", "timm", "python", "platform", "hostname"} <= found.keys()
    assert all(isinstance(value, str) and value for value in found.values())


def test_nothing_heavy_is_imported():
    """The whole package but the store's methods is usable without torch and mlflow."""
    code = (
        "import sys; import ablate.tracking.mlflow_store as m, ablate.tracking.live, ablate.tracking.results;"
        "from ablate.tracking.environment import environment; environment(); m.MlflowStore(None);"
        "bad = {'torch', 'mlflow', 'timm', 'numpy', 'pandas'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
