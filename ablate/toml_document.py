"""A TOML file as plain values, with the place in the file of every key.

`tomllib` reads the values and refuses what is not TOML; it remembers no places. They are found in a second reading of
the text, which only has to follow keys and brackets, since the text is known to be right.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ablate.study.document import Document, Path_
from ablate.study.errors import Problem, StudyError

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_TEXT = re.compile(r'''"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL)
_OTHER = re.compile(r"[^,\]}\n#]+")


def read_toml(path: Path) -> Document:
    """Read a TOML file. Raises `StudyError` where it is missing, unreadable or not TOML 1.0."""
    try:
        text = path.read_bytes().decode("utf-8")
        tree = tomllib.loads(text)
    except UnicodeDecodeError:
        raise StudyError(Problem("not text in UTF-8; save the file in that encoding", path)) from None
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line, column = (int(n) for n in (*re.findall(r"\d+", place), 0, 0)[:2])
        raise StudyError(Problem(f"not TOML: {message}", path, line, column)) from None
    except OSError as error:
        raise StudyError(Problem(f"cannot read the settings: {error.strerror}", path)) from None
    except RecursionError:
        raise StudyError(Problem("not TOML: nested too deeply", path)) from None
    return Document(path, tree, _Places(text).places, {})


class _Places:
    """Line and column of every key of a text that is TOML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.places: dict[Path_, tuple[int, int]] = {(): (1, 1)}
        self._lengths: dict[Path_, int] = {}
        table: Path_ = ()
        self._skip()
        while self._at < len(text):
            table = self._statement(table)
            self._skip()

    def _statement(self, table: Path_) -> Path_:
        """A header or a line ``key = value``; the table that holds for the next one."""
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        if self._text[start] != "[":
            self._entry(table)
            return table
        self._at += brackets
        path = self._inside(self._keys())
        self._at += brackets
        if brackets == 2:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = (*path, self._lengths[path] - 1)
        self._note(path, start)
        return path

    def _inside(self, keys: Path_) -> Path_:
        """The keys of a header with the index of each array of tables on the way to the last one."""
        path: Path_ = ()
        for key in keys[:-1]:
            path = (*path, key)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return (*path, *keys[-1:])

    def _entry(self, table: Path_) -> None:
        start = self._at
        path = (*table, *self._keys())
        self._note(path, start)
        self._at += 1  # "="
        self._skip()
        self._value(path)

    def _value(self, path: Path_) -> None:
        opening = self._text[self._at]
        text = _TEXT.match(self._text, self._at) if opening in "\"'" else None
        if text is not None:
            self._at = text.end()
        elif opening in "[{":
            self._items(path, "]" if opening == "[" else "}")
        else:
            other = _OTHER.match(self._text, self._at)
            self._at = other.end() if other else self._at + 1

    def _items(self, path: Path_, closing: str) -> None:
        self._at += 1
        index = 0
        self._skip()
        while self._text[self._at] != closing:
            if closing == "}":
                self._entry(path)
            else:
                self._note((*path, index), self._at)
                self._value((*path, index))
            index += 1
            self._skip()
            if self._text[self._at] == ",":
                self._at += 1
                self._skip()
        self._at += 1

    def _keys(self) -> Path_:
        """A key, dotted or not, from here on."""
        keys: list[str | int] = []
        while match := _KEY.match(self._text, self._at):
            keys.append(*tomllib.loads(f"{match[1]} = 0"))
            self._at = match.end()
            if self._text[self._at] != ".":
                break
            self._at += 1
        return tuple(keys)

    def _note(self, path: Path_, start: int) -> None:
        """Remember where a path stands, and where those above it were first named."""
        place = self._text.count("\n", 0, start) + 1, start - (self._text.rfind("\n", 0, start) + 1) + 1
        for length in range(1, len(path) + 1):
            self.places.setdefault(path[:length], place)

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
