from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ablate.reporting.escaping import latex, markdown, one_line, prose_html, prose_markdown

nasty = st.text(st.sampled_from("\\`*_{}[]()<>#+-.!|~$&:@^=\"'/%? a1é尺\n\t"), max_size=30) | st.text(max_size=30)
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def texts(tokens: list[Token]) -> str:
    """The text that a reader sees, and a mark for everything that is not text."""
    plain = {"text", "text_special", "softbreak"}
    return "".join(token.content if token.type in plain else f"<{token.type}>" for token in tokens)


@given(nasty)
@example("a\\|b")
@example("![x](y)")
@example("&lt;")
@example("http://x_y_z")
def test_a_markdown_cell_reads_as_written(text: str) -> None:
    """Parsed as a GitHub table, a cell holds exactly the text, no markup, and the row keeps its cells."""
    tokens = PARSER.parse(f"| h | i |\n|---|---|\n| {markdown(text)} | end |\n")
    cells = [texts(t.children or []) for t in tokens if t.type == "inline"]
    assert cells == ["h", "i", one_line(text), "end"]


@given(nasty)
@example("1. x")
@example("[1]:1")
@example("- x")
@example("#")
@example("---")
def test_a_markdown_paragraph_reads_as_written(text: str) -> None:
    """A question that starts like a list or a heading is still a paragraph."""
    tokens = PARSER.parse(markdown(text))
    assert [t.type for t in tokens if t.nesting == 1] == (["paragraph_open"] if one_line(text) else [])
    assert "".join(texts(t.children or []) for t in tokens if t.type == "inline") == one_line(text)


class Seen(HTMLParser):
    """What a browser shows: text and code in turn, as (is code, text)."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.parts: list[tuple[bool, str]] = []
        self.tags: list[str] = []
        self.inside = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        self.parts.append((self.inside, data))


def joined(parts: list[tuple[bool, str]]) -> str:
    """Text and code as one would have written them."""
    return "".join(f"`{text}`" if is_code else text for is_code, text in parts)


prose = st.lists(st.sampled_from(["`", "``", "`a b`", "`<b>`", "`x\\\\`", "|", "- ", "&lt;", "$", "*", " ", "a"])).map(
    "".join
)


@given(prose | nasty)
@example("`- x` is no list")
@example("$`x`$")
@example("[a `b`](c)")
def test_prose_keeps_its_code_and_nothing_else(text: str) -> None:
    """In Markdown and in HTML its words come back as written, with code between backticks and no other markup."""
    tokens = PARSER.parse(prose_markdown(text))
    assert [t.type for t in tokens if t.nesting == 1] == (["paragraph_open"] if one_line(text) else [])
    shown = [child for token in tokens for child in token.children or []]
    assert {token.type for token in shown} <= {"text", "text_special", "code_inline"}
    in_markdown = [(token.type == "code_inline", token.content) for token in shown]
    assert joined(in_markdown) == one_line(text)
    page = Seen(str(prose_html(one_line(text))))
    assert set(page.tags) <= {"code"}
    assert joined(page.parts) == one_line(text)
    assert [part for part in page.parts if part[0]] == [part for part in in_markdown if part[0]]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("on the `val` images, not `<test>`", ["val", "<test>"]),
        ("a lone ` is a sign", []),
        ("``two`` and ` blanks `", []),
        ("`a``b` `c", []),
    ],
)
def test_only_paired_backticks_are_code(text: str, code: list[str]) -> None:
    """Single ones that enclose a word; all others are shown."""
    assert [part for is_code, part in Seen(str(prose_html(text))).parts if is_code] == code


MACROS = {
    r"\textbackslash{}": "\\", r"\textasciicircum{}": "^", r"\textasciitilde{}": "~", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", r"\char34{}": '"', "$-$": "−", r"$\pm$": "±",
    r"$\times$": "×", r"$\rightarrow$": "→", r"$\Delta$": "Δ", r"\textemdash{}": "—",
    r"$\approx$": "≈",
}  # fmt: skip
TOKEN = re.compile(
    "|".join(map(re.escape, MACROS)) + r"|\\[{}$&%#_]|[-'`]\{\}|^\{[\[*]\}|[-'](?![-'])|[^\\{}$&%#_^~<>|\"\-`']"
)


@given(nasty)
@example("a−b ± c × d → e Δ — f ≈")
def test_latex_reads_as_written(text: str) -> None:
    """Every token is a harmless character or one of the known escapes, and together they spell the text."""
    written, spelt, at = latex(text), "", 0
    while at < len(written):
        token = TOKEN.match(written, at)
        assert token is not None, f"unescaped at {written[at:]!r}"
        found = token.group()
        spelt += MACROS.get(found, found.strip("{}") or found[-1] if found[0] != "\\" else found[-1])
        at = token.end()
    assert spelt == one_line(text)


@given(st.text())
@example("0\r\x1b\x850")
def test_one_line_is_one_line_of_printable_text(text: str) -> None:
    """No line break or control character survives, for whatever a name contains."""
    assert len(one_line(text).splitlines()) <= 1
    assert one_line(one_line(text)) == one_line(text)
