"""Tables for a paper: narrow enough for its page, a short caption above and the notes below.

They leave out what a page has no room for (Changes, Time) and write the Verdict as a mark at its p value; the
report has the rest. `table*` is `table` on a page of one column, so that one file serves both; for the same reason
a table that is too long for a page is several of them, and no `longtable`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from ablate.reporting import captions, escaping
from ablate.reporting.captions import BOTH, IMAGES
from ablate.reporting.comparison import Comparison
from ablate.reporting.named_table import NamedTable
from ablate.reporting.statistics import HELPS, HURTS, SAME
from ablate.reporting.tables import comparison_table, left_columns
from ablate.reporting.tex_columns import (
    COLUMN,
    GAP,
    PAGE,
    UNBROKEN,
    TexColumn,
    natural_widths,
    pieces,
    tex_columns,
    title_lines,
)
from ablate.reporting.tex_parts import MOST_WAITING, parts_of

#: Behind the p value of a Variant with a verdict.
MARKS = {HELPS: "*", HURTS: "*", SAME: "$^{=}$"}
#: The last letter that LaTeX knows by itself, and what stands for one that it does not know.
_LATIN, _UNKNOWN = 0x17F, "{\\fboxsep1pt\\fbox{?}}"
_HEAD = "% needs \\usepackage{array,booktabs}\n"


def comparison_tex(comparison: Comparison) -> str:
    """The comparison at the width of a page, and a second table with the published numbers where there are any."""
    table = _of_interest(comparison, ("Variant", "n", comparison.metric_title, "Difference", BOTH, IMAGES, "p (Holm)"))
    words = captions.paper_caption(comparison)
    of = comparison.study.slug
    text = to_latex(_with_costs(comparison, table), *words, _label(of, "comparison"), _marks(comparison))
    if columns := 2 * len(comparison.study.published):
        whole = comparison_table(comparison)
        titles = [str(title) for title in whole.columns]
        places = [0, titles.index(comparison.metric_title), *range(len(titles) - columns, len(titles))]
        words = captions.published_caption(comparison)
        text += "\n" + to_latex(whole.iloc[:, places], *words, _label(of, "published"))
    return _with_head(text)


def column_tex(comparison: Comparison) -> str:
    """The comparison for one column of a page of two: Variant, metric, and difference with the mark of its verdict."""
    table = _of_interest(comparison, ("Variant", comparison.metric_title, "Difference"))
    caption, notes = captions.paper_caption(comparison, narrow=True)
    label = _label(comparison.study.slug, "comparison-column")
    return _with_head(to_latex(table, caption, notes, label, _marks(comparison), narrow=True))


def named_tex(table: NamedTable, of: str) -> str:
    """Any other table; `of` says of what it is: `simplevit/digits`."""
    caption = f"{table.title}: {of}." if of else f"{table.title}."
    return _with_head(to_latex(table.text, caption, table.caption, _label(of, table.name)))


def to_latex(
    table: pd.DataFrame, caption: str, notes: str, label: str, marks: Sequence[str] = (), *, narrow: bool = False
) -> str:
    """A floating table in the style of booktabs, every text escaped; several with one number if a page is too short.

    `label` is used as it is and must be plain letters, digits, `:` and `-`. `marks` are put behind the rows'
    `p (Holm)`, or behind the last column. `narrow` is for one column of a page of two.
    """
    titles = [str(title) for title in table.columns]
    width = COLUMN if narrow else PAGE
    columns = tex_columns(table, left_columns(table), width)
    rows = _rows(table, columns, marks)
    head = " & ".join(_title(title, column) for title, column in zip(titles, columns, strict=True)) + r" \\"
    spec = f"@{{}}{''.join(column.spec for column in columns)}@{{}}"
    below = f"\\parbox{{\\linewidth}}{{\\scriptsize {_words(notes)}\\par}}" if notes else ""
    settings = _settings("".join([caption, head, *rows, below]))
    parts = parts_of(table, columns, width, caption, notes)
    lines = []
    for number, part in enumerate(parts, 1):
        body = ["\\toprule", head, "\\midrule", *rows[part], "\\bottomrule"]
        words = [*settings, *_words_above(caption, label, number, len(parts))]
        lines += _float("table" if narrow else "table*", words, spec, body, below if number == len(parts) else "")
        if number % MOST_WAITING == 0 and number < len(parts):
            lines.append("\\clearpage")
    return "\n".join(lines) + "\n"


def _float(environment: str, words: Sequence[str], spec: str, body: Sequence[str], below: str) -> list[str]:
    return [
        f"\\begin{{{environment}}}",
        "\\centering",
        *words,
        "\\smallskip",
        f"\\begin{{tabular}}{{{spec}}}",
        *body,
        "\\end{tabular}",
        *(["\\par\\medskip", below] if below else []),
        f"\\end{{{environment}}}",
    ]


def _words_above(caption: str, label: str, number: int, parts: int) -> list[str]:
    """The caption of a part. Those after the first have the first one's number, and no entry in the list of tables."""
    if parts > 1:
        caption = f"{caption} ({'Part' if caption.endswith('.') else 'part'} {number} of {parts}.)"
    words = f"\\caption{{{escaping.latex(caption)}}}"
    if number == 1:
        return [f"{words}\\label{{{label}}}"]
    # \theHtable is what hyperref calls the place: two of one name would be a warning.
    return [
        "\\addtocounter{table}{-1}",
        f"\\def\\theHtable{{\\thetable.{number}}}\\def\\addcontentsline#1#2#3{{}}",
        words,
    ]


def _rows(table: pd.DataFrame, columns: Sequence[TexColumn], marks: Sequence[str]) -> list[str]:
    titles, rows = [str(title) for title in table.columns], []
    marked = titles.index("p (Holm)") if "p (Holm)" in titles else -1
    for i, cells in enumerate(table.itertuples(index=False, name=None)):
        shown = [
            (_breakable if column.share else escaping.latex)(str(cell))
            for cell, column in zip(cells, columns, strict=True)
        ]
        if marks and marks[i]:
            shown[marked] += f"\\rlap{{{marks[i]}}}"
        rows.append(" & ".join(shown) + r" \\")
    return rows


def _of_interest(comparison: Comparison, wanted: Sequence[str]) -> pd.DataFrame:
    """Columns of the comparison. By place: a published column may be labelled like one of ours, which come first."""
    table = comparison_table(comparison)
    titles = [str(title) for title in table.columns]
    return table.iloc[:, [titles.index(title) for title in wanted if title in titles]]


def _with_costs(comparison: Comparison, table: pd.DataFrame) -> pd.DataFrame:
    """With parameters and FLOPs, as far as there is room beside a Variant's name of a fifth of the line."""
    for title in ("Parameters", "FLOPs"):
        wider = pd.concat([table, _of_interest(comparison, [title])], axis=1)
        numbers = natural_widths(wider)[1:]
        if sum(numbers) + GAP * len(numbers) <= 0.8 * PAGE:
            table = wider
    return table


def _marks(comparison: Comparison) -> list[str]:
    return [MARKS.get(str(verdict), "") for verdict in comparison.summary["verdict"]]


def _label(of: str, name: str) -> str:
    return "tab:" + re.sub(r"[^A-Za-z0-9]+", "-", f"{of}-{name}").strip("-")


def _title(title: str, column: TexColumn) -> str:
    lines = [escaping.latex(line) for line in title_lines(title)]
    if len(lines) == 1:
        return lines[0]
    joined = r"\\".join(lines)
    return f"\\begin{{tabular}}[b]{{@{{}}{'l' if column.left else 'r'}@{{}}}}{joined}\\end{{tabular}}"


def _breakable(text: str) -> str:
    """`text` escaped, with leave to break the line after the signs that join the parts of a name, and in long parts."""
    return r"\allowbreak{}".join(map(escaping.latex, pieces(text)))


def _words(text: str) -> str:
    """A paragraph, in which only what is too long for a word may break."""
    words = escaping.one_line(text).split(" ")
    return " ".join(_breakable(word) if len(word) > 2 * UNBROKEN else escaping.latex(word) for word in words)


def _with_head(text: str) -> str:
    """With what the file needs: packages, and a sign for each letter that pdfTeX may have no font for."""
    return _HEAD + "".join(map(_stand_in, sorted({c for c in text if ord(c) > _LATIN}))) + text


def _stand_in(character: str) -> str:
    """What pdfTeX draws for a character that nothing else has defined; XeTeX and LuaTeX look into their fonts."""
    return f"\\expandafter\\providecommand\\csname u8:\\detokenize{{{character}}}\\endcsname{{{_UNKNOWN}}}\n"


def _settings(text: str) -> list[str]:
    """Of a table, local to it. Old encodings lack some Latin letters, such as Ð, for which LaTeX would stop."""
    lines = ["\\footnotesize", f"\\setlength{{\\tabcolsep}}{{{GAP / 2:g}pt}}"]
    odd = any(0x7F < ord(character) <= _LATIN for character in text)
    return lines + [f"\\def\\TextSymbolUnavailable#1{{{_UNKNOWN}}}"] * odd
