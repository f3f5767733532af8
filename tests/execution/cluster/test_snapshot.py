"""What jobs run is what was there at submission, whatever is edited since."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

from ablate.execution.cluster import copying
from ablate.execution.cluster.own_code import import_folders, own_code
from ablate.execution.cluster.snapshot import KEPT_S, forget_unused, take_snapshot
from ablate.execution.cluster.source_files import source_files
from ablate.study.load import find_modules_in, load_study
from ablate.tracking.environment import environment

JOB = """
import importlib, sys
from ablate.execution.cluster.snapshot import enter_snapshot
enter_snapshot()
module, _, name = sys.argv[1].partition(":")
print(getattr(importlib.import_module(module), name)())
"""


@pytest.fixture(autouse=True)
def own_path():
    """What a test puts on `sys.path` is forgotten after it."""
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture
def beside(tmp_path):
    """A folder of a study with a module of the user's own, which imports another one and opens a file."""
    folder = tmp_path / "studies"
    write(folder / "mine.py", "from pathlib import Path\nimport other\ndef train():\n    return other.ANSWER\n")
    write(
        folder / "mine.py", "def read():\n    return (Path(__file__).parent / 'classes.txt').read_text()\n", append=True
    )
    write(folder / "other.py", "ANSWER = 'old'\n")
    write(folder / "classes.txt", "cat dog")
    find_modules_in(folder)
    return folder


def write(path: Path, text: str, *, append: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if append else "w") as file:
        file.write(text)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def job(snapshot, target: str, *, python_path: str = "", code: str = JOB, cwd: Path | None = None) -> str:
    """What a job prints that runs from the snapshot."""
    path = os.pathsep.join(filter(None, [*map(str, snapshot.import_paths), python_path]))
    command = [sys.executable, "-P", "-c", code, target]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_edit_after_the_snapshot_does_not_reach_the_job(beside, tmp_path):
    """A module that lies only beside the study, and one that it imports, run as they were, with a file beside them."""
    snapshot = take_snapshot(tmp_path / "snapshots", sources=import_folders(["mine:train"]))
    write(beside / "other.py", "ANSWER = 'new'\n")
    (beside / "mine.py").unlink()
    write(beside / "classes.txt", "changed")

    assert job(snapshot, "mine:train") == "old"
    assert job(snapshot, "mine:read") == "cat dog"


def test_the_program_itself_is_the_snapshots(tmp_path):
    """The job's `ablate`, with the files that are no Python, is the copy, wherever the installed one lies."""
    snapshot = take_snapshot(tmp_path / "snapshots")
    code = (
        "import ablate.cli, ablate.execution.worker; from pathlib import Path; print(Path(ablate.cli.__file__).parent)"
    )
    installed = Path(__file__).resolve().parents[3] / "ablate"

    assert Path(job(snapshot, "", code=code)) == snapshot.path / "ablate" != installed
    names = {p.relative_to(installed) for p in installed.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert {p.relative_to(snapshot.path / "ablate") for p in (snapshot.path / "ablate").rglob("*.*")} >= {
        name for name in names if name.suffix in (".py", ".j2", ".css", ".yaml")
    }


def test_equal_code_has_one_snapshot_and_other_code_another(beside, tmp_path):
    """The same code gives the same folder, untouched; an edit gives a second one and leaves the first."""
    into, sources = tmp_path / "snapshots", import_folders(["mine:train"])
    first = take_snapshot(into, sources=sources)
    made = (first.path / "paths.json").stat().st_mtime_ns
    assert take_snapshot(into, sources=sources) == first
    assert (first.path / "paths.json").stat().st_mtime_ns == made
    write(beside / "other.py", "ANSWER = 'new'\n")
    second = take_snapshot(into, sources=sources)

    assert sorted(path.name for path in into.iterdir()) == sorted({first.digest, second.digest})
    assert len({first.digest, second.digest}) == 2


def test_drivers_at_once_make_one_snapshot(beside, tmp_path):
    """Four that take it side by side agree, and leave nothing half made."""
    into, sources = tmp_path / "snapshots", import_folders(["mine:train"])
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: take_snapshot(into, sources=sources), range(4)))

    assert len({snapshot.digest for snapshot in taken}) == 1
    assert [path.name for path in into.iterdir()] == [taken[0].digest]


def test_an_editable_package_is_copied_with_its_repository(tmp_path):
    """A package in a src layout: its own and untracked files, a generated one that git ignores, but no environment."""
    project = tmp_path / "project"
    src = project / "src"
    write(src / "mypkg" / "__init__.py", "")
    write(
        src / "mypkg" / "training.py",
        "from pathlib import Path\nfrom mypkg import untracked, _version\n"
        "def train():\n"
        "    text = (Path(__file__).parents[2] / 'assets' / 'a.txt').read_text()\n"
        "    return f'{text} {untracked.X} {_version.V}'\n",
    )
    write(project / "assets" / "a.txt", "asset")
    write(project / ".gitignore", "_version.py\nenv/\n*.bin\n")
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "first")
    write(src / "mypkg" / "untracked.py", "X = 1\n")
    write(src / "mypkg" / "_version.py", "V = 2\n")
    write(src / "env" / "pyvenv.cfg", "")
    write(src / "env" / "lib.py", "")
    write(project / "ignored.bin", "")
    write(project / "mlflow.db", "")
    sys.path.insert(0, str(src))
    sources = import_folders(["mypkg.training:train"])
    snapshot = take_snapshot(tmp_path / "snapshots", sources=sources)
    for file in src.rglob("*.py"):
        file.unlink()
    write(src / "mypkg" / "__init__.py", "raise SystemExit('the edited package')")

    assert sources == (src,)
    # The original stands on the job's path as well, as a .pth file puts it there.
    assert job(snapshot, "mypkg.training:train", python_path=str(src)) == "asset 1 2"
    copied = {path.name for path in (snapshot.path / "own-code").rglob("*")}
    assert not copied & {"env", "lib.py", "ignored.bin", "mlflow.db", ".git"}


def test_what_the_code_imports_from_another_checkout_is_copied_too(beside, tmp_path):
    """A package in a checkout of its own is found through the modules that import it; installed ones are not."""
    library = tmp_path / "library"
    write(library / "shared" / "__init__.py", "ANSWER = 'shared'\n")
    write(beside / "other.py", "import numpy, torch, os, ablate.recipe\nfrom shared import ANSWER\n")
    sys.path.insert(0, str(library))

    assert set(import_folders(["mine:train"])) == {library, beside}


@pytest.mark.parametrize("own", [False, True])
def test_a_studys_own_parts_are_found_in_its_recipes(beside, own):
    """A part of the user's is code of the study's own; the catalogue's parts are the program's."""
    write(beside / "heads.py", "class Head:\n    def __init__(self, dim, classes):\n        pass\n")
    text = files("ablate.study").joinpath("starter.yaml").read_text(encoding="utf-8")
    assert "\n    head: linear\n" in text
    write(beside / "study.yaml", text.replace("head: linear\n", "head: heads:Head\n") if own else text)
    assert own_code(load_study(beside / "study.yaml")) == ((beside,) if own else ())


def test_a_studys_own_trainable_is_found(beside):
    """The Trainable that the study names, and whatever it imports."""
    write(beside / "study.yaml", "study: s\nquestion: q?\ntrainable: mine:train\nseeds: 1\n")
    write(beside / "study.yaml", "metric: {name: a, direction: maximize}\nbase: {x: 1}\n", append=True)
    write(beside / "study.yaml", "factors: {x: {reference: 1, levels: {2: {x: 2}}}}\n", append=True)
    assert own_code(load_study(beside / "study.yaml")) == (beside,)


def test_a_module_beside_the_study_shadows_no_other(beside, tmp_path):
    """Where the user's file has the name of one of Python's modules, Python's is imported, as it was at submission."""
    write(beside / "colorsys.py", "raise SystemExit('the wrong module')")
    write(beside / "mine.py", "import colorsys\ndef train():\n    return colorsys.rgb_to_hsv(0, 0, 0)\n")
    snapshot = take_snapshot(tmp_path / "snapshots", sources=import_folders(["mine:train"]))

    assert job(snapshot, "mine:train") == "(0.0, 0.0, 0)"


def test_a_folder_that_stood_first_stands_first_in_the_job(tmp_path, monkeypatch):
    """A user's own version of an installed package, put before it by PYTHONPATH, is the one that runs."""
    write(tmp_path / "fork" / "yaml" / "__init__.py", "def train():\n    return 'the fork'\n")
    sys.path.insert(0, str(tmp_path / "fork"))
    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    snapshot = take_snapshot(tmp_path / "snapshots", sources=import_folders(["yaml:train"]))
    write(tmp_path / "fork" / "yaml" / "__init__.py", "def train():\n    return 'the edited fork'\n")

    assert job(snapshot, "yaml:train", python_path=str(tmp_path / "fork")) == "the fork"


def test_links_that_lead_nowhere_are_passed_over_and_others_work(beside, tmp_path):
    """A broken link is no obstacle, a link to a module is its content, one to a folder of data stays a link."""
    data = tmp_path / "data"
    write(data / "x.txt", "far away")
    write(tmp_path / "elsewhere.py", "X = 'linked'\n")
    (beside / "broken.py").symlink_to(tmp_path / "gone.py")
    (beside / "loop").symlink_to(beside / "loop")
    (beside / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    (beside / "data").symlink_to(data)
    write(
        beside / "mine.py",
        "from pathlib import Path\nimport linked\n"
        "def train():\n    return linked.X, (Path(__file__).parent / 'data' / 'x.txt').read_text()\n",
    )
    snapshot = take_snapshot(tmp_path / "snapshots", sources=import_folders(["mine:train"]))
    write(tmp_path / "elsewhere.py", "X = 'edited'\n")

    assert job(snapshot, "mine:train") == "('linked', 'far away')"
    assert [("data" in note, "linked, not copied" in note) for note in snapshot.notes] == [(True, True)]


def test_large_files_are_linked_and_told(beside, tmp_path, monkeypatch):
    """A data file above the limit can be opened all the same; too many files are left out; both are told."""
    monkeypatch.setattr(copying, "LARGEST_COPY", 100)
    monkeypatch.setattr(copying, "MOST_DATA_FILES", 3)
    write(beside / "weights.bin", "x" * 101)
    write(beside / "long.py", "#" * 200)
    write(beside / "spare1.txt", "y" * 10)
    write(beside / "spare2.txt", "z" * 102)
    snapshot = take_snapshot(tmp_path / "snapshots", sources=import_folders(["mine:train"]))
    copy = snapshot.path / "own-code" / "0-studies"

    assert (copy / "weights.bin").readlink() == beside / "weights.bin"
    assert not (copy / "long.py").is_symlink()
    assert not (copy / "spare2.txt").exists()
    linked, lost = snapshot.notes
    assert "1 file of" in linked
    assert "weights.bin" in linked
    assert "spare2.txt" in lost


def test_the_spool_and_what_is_named_are_no_code(beside, tmp_path):
    """Neither the spool, nor snapshots beside the study, nor hidden folders are copied."""
    for name in (
        ".ablate/trials/a/journal",
        "spool/trials/b.py",
        "node_modules/c.py",
        "__pycache__/d.pyc",
        ".git2/e.py",
    ):
        write(beside / name, "1")
    _, files = source_files(beside, [beside / "spool"])

    assert list(map(str, files)) == ["classes.txt", "mine.py", "other.py"]


def test_a_folder_that_its_repository_ignores_counts_by_itself(tmp_path):
    """A study in an ignored folder is not lost because git does not know it."""
    git(tmp_path, "init")
    write(tmp_path / ".gitignore", "scratch/\n")
    write(tmp_path / "scratch" / "mine.py", "")
    write(tmp_path / "scratch" / "classes.txt", "")

    assert source_files(tmp_path / "scratch") == (tmp_path / "scratch", [Path("classes.txt"), Path("mine.py")])


def test_the_commit_in_the_job_is_that_of_submission(beside, tmp_path, monkeypatch):
    """Commit and dirty flag are those at submission, though the working folder has moved on."""
    git(beside, "init")
    git(beside, "add", ".")
    git(beside, "commit", "-m", "first")
    commit = git(beside, "rev-parse", "HEAD")
    monkeypatch.chdir(beside)
    before = environment()
    snapshot = take_snapshot(tmp_path / "snapshots", sources=import_folders(["mine:train"]))
    write(beside / "other.py", "ANSWER = 'new'\n")
    git(beside, "commit", "-am", "second")
    write(beside / "other.py", "ANSWER = 'newer'\n")
    code = "import json; from ablate.tracking.environment import environment as e; print(json.dumps(e()))"
    told = json.loads(job(snapshot, "", code=code, cwd=beside))

    assert (told["git_commit"], told["git_dirty"]) == (commit, "no")
    assert told == before
    assert take_snapshot(tmp_path / "snapshots", sources=import_folders(["mine:train"])).digest != snapshot.digest


def test_old_snapshots_go_unless_they_are_named(tmp_path):
    """Of week-old ones those that nobody names are deleted, read-only files and all; young ones and strangers stay."""
    into = tmp_path / "snapshots"
    taken = take_snapshot(into)
    old = time.time() - KEPT_S - 60
    for name in ("0" * 16, "1" * 16, ".under-way-x", "somebody's"):
        write(into / name / "deep" / "file", "")
        (into / name / "deep" / "file").chmod(0o444)
        os.utime(into / name, (old, old))
    forget_unused(into, {str(into / ("1" * 16))})
    assert {path.name for path in into.iterdir()} == {taken.digest, "1" * 16, "somebody's"}

    os.utime(taken.path, (old, old))
    take_snapshot(into)
    forget_unused(into, set())
    assert {path.name for path in into.iterdir()} == {taken.digest, "somebody's"}
