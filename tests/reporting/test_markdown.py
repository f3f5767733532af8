"""Markdown as GitHub renders it: read back with a parser of its dialect."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ablate.reporting import markdown
from ablate.reporting.comparison import comparison
from ablate.reporting.escaping import one_line
from ablate.reporting.further_tables import further_tables
from ablate.reporting.report import Report
from ablate.reporting.tables import comparison_table

#: CommonMark with tables, strikethrough and the rest of what GitHub adds, and raw HTML let through so that it is seen.
PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def tokens_of(report: Report) -> list[Token]:
    return PARSER.parse(report.markdown.read_text(encoding="utf-8"))


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in token.children or []]


def rows_of(tokens: list[Token]) -> list[list[str]]:
    """The cells of the first table, as a reader sees them."""
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append("".join(child.content for child in token.children or []))
        elif token.type == "table_close":
            return rows
    raise AssertionError("no table")


@pytest.mark.parametrize("kind", ["written", "written_hostile"])
def test_no_raw_html_and_no_link_but_to_figures(kind: str, request: pytest.FixtureRequest) -> None:
    """Nothing of a study becomes an element; the only links are the images of the report's own folder."""
    report = request.getfixturevalue(kind)
    tokens = tokens_of(report)
    assert not [token.content for token in [*tokens, *inline(tokens)] if token.type.startswith("html_")]
    assert not [token for token in inline(tokens) if token.type == "link_open"]
    images = [str(token.attrs["src"]) for token in inline(tokens) if token.type == "image"]
    assert images == [f"figures/{name}.svg" for name in ("differences", "curves", "trials")]
    assert all((report.folder / image).is_file() for image in images)


@pytest.mark.parametrize("kind", ["realistic", "hostile"])
def test_the_table_reads_as_it_is(kind: str, fake: SimpleNamespace) -> None:
    """Every cell of the comparison comes back from the rendered page, whatever signs it has."""
    study, records = getattr(fake, kind)()
    compared = comparison(study, records)
    rows = rows_of(PARSER.parse(markdown.to_report(compared, records, ())))
    table = comparison_table(compared)
    assert rows[0] == [one_line(str(title)) for title in table.columns]
    assert rows[1:] == [[one_line(str(cell)) for cell in row] for row in table.itertuples(index=False, name=None)]


def test_headings_are_the_sections(written: Report) -> None:
    """In the order in which one reads them; further tables stand behind the figures."""
    tokens = tokens_of(written)
    titles = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    further = [table.title for table in further_tables(written.comparison)]
    assert titles == [
        "simplevit · digits", "Comparison", "Without a result", "Figures", *further, "What was done",
        "What each Variant changes", "Recipe of the baseline", "Provenance", "Cite the source",
    ]  # fmt: skip


def test_every_table_file_is_a_table_and_its_caption(written: Report) -> None:
    """`tables/*.md` can be put into a page as they are: one table, one paragraph."""
    files = [path for path in written.files if path.parent.name == "tables" and path.suffix == ".md"]
    assert len(files) >= 2
    for path in files:
        tokens = PARSER.parse(Path(path).read_text(encoding="utf-8"))
        assert [t.type for t in tokens if t.level == 0 and t.nesting == 1] == ["table_open", "paragraph_open"]


def test_mentions_and_references_notify_nobody(fake: SimpleNamespace) -> None:
    """GitHub turns `@name` and `#1` into links in issues, not in files; `@matched` in a name stays as it is."""
    study = fake.study(("baseline", "a@matched", "#1"))
    page = markdown.to_report(comparison(study, {}), {}, ())
    assert re.search(r"\| a@matched \|", page)
    assert rows_of(PARSER.parse(page))[2][0] == "a@matched"


def test_the_header_shows_its_code_as_code(fake: SimpleNamespace) -> None:
    """Question, source, expectation and notes keep paired backticks; provenance and tables show them as signs."""
    told = {name: f"the `{name}_1` images" for name in ("question", "source", "expected")}
    study = fake.study(("baseline", "`a`"), **told, header={"notes": "tuned on `val`"}, data_fingerprint="`d`")
    page = markdown.to_report(comparison(study, {}), {}, ())
    code = [token.content for token in inline(PARSER.parse(page)) if token.type == "code_inline"]
    assert code == ["question_1", "source_1", "expected_1", "val"]
