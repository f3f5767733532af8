"""Tables for a paper: narrow enough for its page, a short caption above and the notes below.

They leave out what a page has no room for (Changes, Time) and write the Verdict as a mark at its p value; the
report has the rest.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import pandas as pd

from ablate.reporting import captions, escaping
from ablate.reporting.comparison import Comparison
from ablate.reporting.statistics import UNSURE
from ablate.reporting.tables import TEXT_COLUMNS, comparison_table, failures_table

#: Characters of a line at \footnotesize in a page of one column (345 pt), about.
_PAGE = 86
_HEAD = "% needs \\usepackage{array,booktabs}; in a page of two columns, table* instead of table\n"


def comparison_tex(comparison: Comparison) -> str:
    """The comparison as a `table` environment, and a second one with the published numbers where there are any."""
    table = comparison_table(comparison)
    titles = [str(title) for title in table.columns]
    kept = ["Variant", "n", comparison.metric_title, "Difference", "p (Holm)", "Parameters"]
    # By place: a published column may be labelled like one of ours, which come first.
    main = table.iloc[:, [titles.index(title) for title in kept if title in titles]]
    marks = [verdict not in (UNSURE, "") for verdict in comparison.summary["verdict"]]
    text = to_latex(main, *captions.paper_caption(comparison), "tab:comparison", {"Variant": 0.21}, marks)
    columns = 2 * len(comparison.study.published)
    if columns:
        places = [0, titles.index(comparison.metric_title), *range(len(titles) - columns, len(titles))]
        words = captions.published_caption(comparison)
        text += "\n" + to_latex(table.iloc[:, places], *words, "tab:published", {"Variant": 0.21})
    return _HEAD + text


def failures_tex(comparison: Comparison) -> str:
    """The Trials without a result as a `table` environment."""
    words = captions.failures_caption(comparison)
    return _HEAD + to_latex(failures_table(comparison), words, "", "tab:failures", {"Variant": 0.24, "Why": 0.5})


def to_latex(
    table: pd.DataFrame,
    caption: str,
    notes: str,
    label: str,
    shares: dict[str, float],
    marks: Sequence[bool] = (),
) -> str:
    """A `table` environment in the style of booktabs, every text escaped.

    `label` is used as it is and must be plain letters, digits, `:` and `-`. `shares` are the titles of columns that
    may wrap and the part of the line that they then get; `marks` puts an asterisk at a row's `p (Holm)`.
    """
    titles = [str(title) for title in table.columns]
    # Only the first of a title: those that follow are published columns.
    share = [shares.get(title) if titles.index(title) == i else None for i, title in enumerate(titles)]
    left = [title in TEXT_COLUMNS and titles.index(title) == i for i, title in enumerate(titles)]
    longest = [table.iloc[:, i].str.len().max() for i in range(len(titles))]
    wraps = [part is not None and size > _PAGE * part for part, size in zip(share, longest, strict=True)]
    spec = "".join(
        f">{{\\raggedright\\arraybackslash\\hangindent=1em}}p{{{part}\\linewidth}}" if wrap else "l" if text else "r"
        for part, wrap, text in zip(share, wraps, left, strict=True)
    )
    rows = []
    for i, cells in enumerate(table.itertuples(index=False, name=None)):
        shown = [(_breakable if wrap else escaping.latex)(str(c)) for c, wrap in zip(cells, wraps, strict=True)]
        if marks and marks[i]:
            shown[titles.index("p (Holm)")] += r"\rlap{*}"
        rows.append(" & ".join(shown) + r" \\")
    lines = [
        "\\begin{table}",
        "\\centering",
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{2.5pt}",
        f"\\caption{{{escaping.latex(caption)}}}",
        f"\\label{{{label}}}",
        "\\smallskip",
        f"\\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
        "\\toprule",
        " & ".join(_title(title, text) for title, text in zip(titles, left, strict=True)) + r" \\",
        "\\midrule",
        *rows,
        "\\bottomrule",
        "\\end{tabular}",
        *([f"\\par\\medskip\n\\parbox{{\\linewidth}}{{\\scriptsize {escaping.latex(notes)}}}"] if notes else []),
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _title(title: str, left: bool) -> str:
    """A heading over as many short lines as its words need."""
    lines = textwrap.wrap(escaping.one_line(title), 12, break_long_words=False, break_on_hyphens=False)
    shown = r"\\".join(escaping.latex(line) for line in lines)
    return f"\\begin{{tabular}}[b]{{@{{}}{'l' if left else 'r'}@{{}}}}{shown}\\end{{tabular}}" if lines[1:] else shown


def _breakable(text: str) -> str:
    """`text` escaped, with leave to break the line after the signs that join the parts of a name."""
    parts = re.split(r"(?<=[-+=_/,])(?=\S)", escaping.one_line(text))
    return r"\allowbreak{}".join(map(escaping.latex, parts))
