"""The digest of a source: that of its code, whichever Python reads it."""

from __future__ import annotations

import ast

import pytest

from ablate.study.source import source_digest

SOURCE = r'''"""A module's docstring."""

import math


class Net:
    """A class's."""

    def forward(self, x, *, rate: float = 0.5, **more):
        """A method's."""
        text = f"{x!r:>{more['width']}} and {rate:.2f}"  # a comment
        return [text, "\u00e9\U0001f600", b"\x00", 1, 1.0, True, None, ..., 2j]


async def train(recipe, seed, report, folder):
    match recipe:
        case {"kind": "a", **rest} if rest:
            value = math.inf
        case _:
            value = lambda y: (y, *rest)
    async with folder as path:
        return {"score": value, **recipe}
'''


def _of(source: str) -> str:
    return source_digest(ast.parse(source))


def test_the_digest_of_a_source_is_fixed() -> None:
    """A golden value, which Python 3.11, 3.12 and 3.13 gave alike: ids of stored Trials rest on it."""
    assert _of(SOURCE) == "1604f57f300da12c"


def test_comments_layout_and_docstrings_do_not_count() -> None:
    """What is said about the code may change without training anew."""
    changed = (
        SOURCE.replace('"""A method\'s."""', "# none").replace("# a comment", "").replace("import math", "import math;")
    )
    changed = changed.replace("A module's docstring", "Another").replace('    """A class\'s."""\n', "")
    assert changed != SOURCE
    assert _of(changed) == _of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.5", "0.25"),
        ("1, 1.0", "1, 1"),
        ("True", "1"),
        ("None", "'None'"),
        (".2f", ".3f"),
        ("!r", "!s"),
        ("is", "in"),
    ],
)
def test_code_counts(old: str, new: str) -> None:
    """Values, their types, and what is made of them."""
    source = SOURCE + "same = train is None\n"
    assert _of(source.replace(old, new)) != _of(source)
