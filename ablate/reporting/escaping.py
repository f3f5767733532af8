"""Text of other people (names, errors, units) made safe for where it will stand. HTML is Jinja's own affair."""

from __future__ import annotations

import re
import unicodedata

#: Only what Markdown would act on, so that the source stays readable: numbers and intervals pass untouched.
_MARKDOWN = re.compile(r"([\\`*_|~$]|<(?! )|&(?=[#\w])|\](?=[(\[])|:(?=\w+:))")
_BLOCK_START = re.compile(r"^(\d{1,9})?([#+\-=]+(?=\s|$)|>|(?<=\d)[.)](?=\s|$))")
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
    inline = _MARKDOWN.sub(r"\\\1", one_line(text))
    return _BLOCK_START.sub(r"\1\\\2", inline)


def latex(text: str) -> str:
    """`text` for LaTeX's text mode; letters beyond ASCII are left to the document's encoding (UTF-8)."""
    return _LATEX_PARTS.sub(_latex_part, one_line(text))


def _latex_part(part: re.Match[str]) -> str:
    text = part.group()
    if part["pair"]:
        return f"{text}{{}}"
    return f"{{{text}}}" if part["option"] else _LATEX.get(text, text)
