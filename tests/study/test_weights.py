"""Weights of a teacher in a file: what is in it counts, where it lies does not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ablate.study.fingerprint import ABSENT
from ablate.study.weights import weights_digest

LEVEL = """\
  taught:
    reference: off
    levels:
      file:
        distillation:
          teacher: {checkpoint: 'file:PATH', model: ViT-Ti/16}
"""


@pytest.fixture
def ids(load: Any, example: str) -> Any:
    """Loads the example with a Level that learns from a file; its study and the id of its first Trial."""

    def of(path: str, **options: Any) -> tuple[Any, str]:
        study = load(example.replace("design: one", f"{LEVEL.replace('PATH', path)}\ndesign: one"), **options)
        return study, next((t.id for t in study.trials if t.variant == "taught=file"), "")

    return of


def test_the_content_counts_and_not_the_place(ids: Any, tmp_path: Path) -> None:
    """The same file elsewhere gives the same Trial, another content another one."""
    for name, content in (("one.pt", b"weights"), ("two.pt", b"weights"), ("other.pt", b"others")):
        (tmp_path / name).write_bytes(content)
    one, two, other = (ids(str(tmp_path / name))[1] for name in ("one.pt", "two.pt", "other.pt"))
    assert one == two != other


def test_a_relative_path_starts_where_data_do(ids: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At `$ABLATE_DATA`, or at the working folder."""
    (tmp_path / "teacher.pt").write_bytes(b"weights")
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))
    study, there = ids("teacher.pt")
    assert study.absent == ()
    assert there == ids(str(tmp_path / "teacher.pt"))[1]


def test_a_missing_file_can_be_planned(ids: Any) -> None:
    """It is named as absent, for the run to refuse; a selection that does without it has nothing absent."""
    study, _ = ids("/nowhere/teacher.pt")
    assert study.absent == ("file:/nowhere/teacher.pt",)
    assert study.borrowed == ()
    assert ids("/nowhere/teacher.pt", only=["posemb*"])[0].absent == ()


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    """SHA-256, as `sha256sum` says it; nothing for a checkpoint that is no file."""
    (tmp_path / "t.pt").write_bytes(b"weights")
    assert weights_digest(f"file:{tmp_path / 't.pt'}") == hashlib.sha256(b"weights").hexdigest()
    assert weights_digest(f"file:{tmp_path / 'gone.pt'}") == ABSENT
    assert weights_digest("timm") == weights_digest("trial:0123456789abcdef") == ""


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    """The cache goes by size and modification time: a change that keeps both is not noticed, any other is."""
    file, cache = tmp_path / "t.pt", tmp_path / "fingerprints.json"
    file.write_bytes(b"weights")
    first = weights_digest(f"file:{file}", cache)
    before = file.stat()
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights_digest(f"file:{file}", cache) == first
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert weights_digest(f"file:{file}", cache) == hashlib.sha256(b"WEIGHTS").hexdigest()
