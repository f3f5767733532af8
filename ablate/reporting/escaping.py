"""Text of other people (names, errors, units) made safe for where it will stand.

HTML is Jinja's own affair, but for prose: what a study's header says may have `code` between backticks.
"""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

#: Only what Markdown would act on, so that the source stays readable: numbers and intervals pass untouched.
_MARKDOWN = re.compile(r"([\\`*_|~$]|<(?! )|&(?=[#\w])|\](?=[(\[:])|:(?=\w+:))")
_BLOCK_START = re.compile(r"^(\d{1,9})?([#+\-=]+(?=\s|$)|>|(?<=\d)[.)](?=\s|$))")
#: Between two single backticks, with no blank inside next to either: code, as Markdown and who writes by its habits
#: mean it. Other backticks are signs like others.
_CODE = re.compile(r"(?<!`)`(?!`)(?!\s)([^`]+)(?<!\s)`(?!`)")
#: Runs that TeX would draw as one sign, what a row's `\\\\` would take for its options, or any one character.
_LATEX_PARTS = re.compile(r"(?P<pair>[-'](?=[-'])|`)|(?P<option>^[\[*])|.")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "→": r"$\rightarrow$",
    "Δ": r"$\Delta$",
    "—": r"\textemdash{}",
}


def one_line(text: str) -> str:
    """`text` on one line: white space collapsed, control characters and lone surrogates dropped."""
    # White space first becomes blanks, since most of it is control characters, and runs of them end up as one.
    printable = "".join(c for c in re.sub(r"\s", " ", text) if unicodedata.category(c) not in ("Cc", "Cs"))
    return " ".join(printable.split())


def markdown(text: str) -> str:
    """`text` for a cell or a sentence of GitHub Markdown, where it reads as written."""
    return _inline(one_line(text), True)


def _inline(line: str, first: bool) -> str:
    """A piece of one line, escaped; the ``first`` may not begin a list or a heading either."""
    inline = _MARKDOWN.sub(r"\\\1", line)
    return _BLOCK_START.sub(r"\1\\\2", inline) if first else inline


def prose_markdown(text: str) -> str:
    """`markdown(text)`, but what stands between paired backticks is code; as a paragraph or a list's item, no cell."""
    parts = _CODE.split(one_line(text))
    # At odd places code, in which Markdown acts on nothing. Blanks around it are no ends of a line: they stay.
    return "".join(f"`{part}`" if place % 2 else _inline(part, not place) for place, part in enumerate(parts))


def prose_html(text: str) -> Markup:
    """`text` escaped for HTML, in which only what stands between paired backticks has become a `code` element."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def latex(text: str) -> str:
    """`text` for LaTeX's text mode; letters beyond ASCII are left to the document's encoding (UTF-8)."""
    return _LATEX_PARTS.sub(_latex_part, one_line(text))


def _latex_part(part: re.Match[str]) -> str:
    text = part.group()
    if part["pair"]:
        return f"{text}{{}}"
    return f"{{{text}}}" if part["option"] else _LATEX.get(text, text)
