"""Places of keys in TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ablate.study.errors import StudyError
from ablate.toml_document import read_toml

TEXT = '''# a comment with [brackets] and = signs
top = "a # no comment ] }"
[executors.slurm]   # behind a header
partition = 'p'
setup = [ # a list
  "module load x, y",   # with ] a comment
  """several
lines = "with quotes" """,
]
sbatch = { mail-type = "END", "nice" = 3, deep = { x = [1, { y = 2 }] } }
dotted.key . here = 1979-05-27 07:32:00

[[executors.slurm.shapes]]
variants = "a=*"
gpus = 2
[[executors.slurm.shapes]]
variants = ["b", "c"]
[executors.slurm.shapes.sbatch]
nice = 1
[executors."local"]
slots = 1_000
'''


def read(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def paths_in(tree: object, at: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    items: list[tuple[str | int, object]] = []
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    return {at}.union(*(paths_in(value, (*at, key)) for key, value in items))


def test_every_key_has_the_line_it_stands_in(tmp_path: Path) -> None:
    """The second reading finds every path that tomllib's tree has, and each at its own text."""
    document = read_toml(read(tmp_path, TEXT))
    assert document.tree == tomllib.loads(TEXT)
    assert set(document.places) == paths_in(document.tree)
    lines = TEXT.splitlines()
    for path, (line, column) in document.places.items():
        if path and isinstance(path[-1], str):
            rest = lines[line - 1][column - 1 :]
            named = rest.startswith(("[", '"')) or rest.split(".")[0].strip() in path
            assert named or path[-1] in rest.partition("=")[0], (path, rest)
    slurm = ("executors", "slurm")
    assert document.places[(*slurm, "partition")] == (4, 1)
    assert document.places[(*slurm, "setup", 1)] == (7, 3)
    assert document.places[(*slurm, "sbatch", "nice")] == (10, 31)
    assert document.places[(*slurm, "shapes", 0, "gpus")] == (15, 1)
    assert document.places[(*slurm, "shapes", 1, "variants")] == (17, 1)
    assert document.places[(*slurm, "shapes", 1, "sbatch", "nice")] == (19, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = \n", "config.toml:1:5: not TOML"),
        ("[x]\na = 1\na = 2\n", "config.toml:3:6: not TOML"),
        ("[x\n", "config.toml:1:3: not TOML"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    """A syntax error points at line and column."""
    with pytest.raises(StudyError) as error:
        read_toml(read(tmp_path, text))
    assert told in str(error.value)


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are a mistake, not a crash."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(StudyError, match="UTF-8"):
        read_toml(path)
