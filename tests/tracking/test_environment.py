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
    """A clean tree is `no`, an edited one `yes`; untracked files are no edit, unless they are Python sources."""
    (repository / "mlflow.db").write_text("made by a run")
    clean = environment(repository)
    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] == "no"
    (repository / "deep" / "site-packages").mkdir(parents=True)
    (repository / "deep" / "site-packages" / "library.py").write_text("installed")
    assert environment(repository / "deep")["git_dirty"] == "no"
    (repository / "model.py").write_text("new")
    assert environment(repository / "deep")["git_dirty"] == "yes"
    (repository / "model.py").unlink()
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
    assert {"ablate-harness", "mlflow", "numpy", "timm", "torchvision"} <= found.keys()
    assert {"scipy", "scikit-learn", "submitit", "python", "platform", "hostname"} <= found.keys()
    assert all(isinstance(value, str) and value for value in found.values())


def test_nothing_heavy_is_imported():
    """The whole package but the store's methods is usable without torch and mlflow."""
    code = (
        "import sys; import ablate.tracking.mlflow_store as m, ablate.tracking.live, ablate.tracking.results;"
        "from ablate.tracking.environment import environment; environment(); m.MlflowStore(None);"
        "bad = {'torch', 'mlflow', 'timm', 'numpy', 'pandas'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_programs_own_commit_is_told_from_anywhere(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    """Started outside any repository, the commit of ablate's checkout is there; an installed copy has none."""
    package = repository / "ablate"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(module, "_OWN", package)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    found = environment(elsewhere)
    assert "ablate.commit" not in found  # git does not track the copy
    assert "git_commit" not in found
    subprocess.run(["git", "-C", str(repository), "add", "ablate"], check=True, capture_output=True)
    found = environment(elsewhere)
    assert (found["ablate.commit"], found["ablate.dirty"]) == (environment(repository)["git_commit"], "yes")
