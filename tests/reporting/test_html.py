from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.reporting.comparison import comparison
from ablate.reporting.html import to_html
from ablate.reporting.named_table import NamedTable
from ablate.reporting.report import Report
from ablate.study.study import Study
from ablate.tracking.record import Record


class Page(HTMLParser):
    """Tags, attributes that could load something, identifiers, the data for the script, and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[str] = []
        self.data: dict[str, str] = {}
        self.text = ""
        self._inside = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag == "script":
            self.scripts.append(found.get("type") or "script")
            self._inside = found.get("id") or "script"
        elif tag == "style":
            self._inside = "style"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data[self._inside] = self.data.get(self._inside, "") + data
        else:
            self.text += data


def page_of(study: Study, records: Mapping[str, Record]) -> str:
    """The page without figures."""
    return to_html(comparison(study, records), records, {})


@pytest.mark.parametrize("kind", ["written", "written_hostile"])
def test_the_page_asks_for_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    """No link leaves the page, no style loads anything, the one script is ours, and no handler slips in."""
    source = request.getfixturevalue(kind).html.read_text(encoding="utf-8")
    page = Page(source)
    assert [link for link in page.links if not link.startswith("#") and link != "data:,"] == []
    assert set(page.tags) & {"img", "iframe", "object", "embed", "base"} == set()
    assert page.handlers == []
    assert page.scripts.count("script") == 1
    assert set(page.scripts) == {"script", "application/json"}
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", source.split("</script>", 1)[1]))
    assert "@import" not in source
    assert "default-src 'none'" in source


def test_every_figure_is_inside_and_identifiers_are_unique(written: Report) -> None:
    """The static figures are all on the page, no identifier meets another's, and every reference finds its target."""
    page = Page(written.html.read_text(encoding="utf-8"))
    assert {"figure-differences", "figure-curves", "figure-trials"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_hostile_text_is_shown_as_text(fake: SimpleNamespace) -> None:
    """Names, question, log, header and citation appear as written, templates in them are not run."""
    study, records = fake.hostile()
    page = Page(page_of(study, records))
    for name in [v.name for v in study.variants]:
        assert name in page.text
    assert page.text.count(study.question) >= 6
    assert "{{ 7 * 7 }}" in page.text
    assert json.loads(page.data["data"])["variants"][1][0] == study.variants[1].name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("<>&\"'/{}%=a -!\u2028\\", min_size=1, max_size=25))
def test_any_name_is_shown_as_text(fake: SimpleNamespace, name: str) -> None:
    """Whatever a Variant is called, it adds no element to the page, and its data is read back as it was."""
    plain = Page(page_of(fake.study(("baseline", "plain")), {}))
    odd = Page(page_of(fake.study(("baseline", f"x{name}")), {}))
    assert odd.tags == plain.tags
    assert f"x{name}" in odd.text
    assert json.loads(odd.data["data"])["variants"][1][0] == f"x{name}"


def test_the_page_says_everything(fake: SimpleNamespace) -> None:
    """Header, verdicts, failures with their log, whole Recipe, changes, provenance, method and citation."""
    study, records = fake.realistic()
    text = Page(page_of(study, records)).text
    for words in (
        study.question, study.source, study.expected, "ablate run studies/simplevit.yaml", "not enough evidence",
        "diverged: loss is nan at step 7", "Traceback (most recent call last)", "schedule.batch_size",
        "model.dropout", "0123abc", "2.14.1", "d1g175", "42 Trials in all", "41 finished, 1 failed", "@article",
        "How to read this", "Learning curves", "position",
    ):  # fmt: skip
        assert words in text


def test_equal_inputs_give_equal_pages(fake: SimpleNamespace) -> None:
    """Nothing of the moment is in the page."""
    study, records = fake.realistic()
    assert page_of(study, records) == page_of(study, dict(reversed(records.items())))


def test_a_comparison_without_records_has_a_page(fake: SimpleNamespace) -> None:
    """Made from tables alone it has its comparison, and no curves."""
    study, records = fake.realistic()
    page = Page(to_html(comparison(study, records), {}, {}))
    assert "curves-data" not in page.data
    assert "hurts" in page.text


def test_further_tables_are_shown_with_their_figures(fake: SimpleNamespace) -> None:
    """A table has its title, its cells sorted by the numbers behind them, its caption and the figure that it names."""
    study, records = fake.realistic()
    text = pd.DataFrame({"Variant": ["a<b", "c"], "Gain": ["+1.0 [0, 2]", "—"]})
    numbers = pd.DataFrame({"Variant": ["a<b", "c"], "Gain": [1.0, float("nan")]})
    table = NamedTable("rungs", "Rungs & gains", text, numbers, "What a rung gains.", ("waterfall",))
    svg = b'<?xml version="1.0"?><svg width="10pt" height="5pt" viewBox="0 0 10 5"><g id="a"/></svg>'
    source = to_html(comparison(study, records), records, {"waterfall.svg": svg}, tables=[table])
    page = Page(source)
    assert {"table-rungs", "figure-waterfall", "waterfall-a"} <= set(page.ids)
    assert all(words in page.text for words in ("Rungs & gains", "a<b", "What a rung gains."))
    assert '<td data-key="1">+1.0 [0, 2]</td>' in source
    assert '<td data-key="">—</td>' in source


def test_merged_names_are_on_the_page(fake: SimpleNamespace) -> None:
    """A Variant that the study asked for under a second name says so."""
    study = fake.study(("baseline", "a"))
    study = replace(study, variants=(study.variants[0], replace(study.variants[1], also=("b", "c"))))
    assert "also b, c" in Page(page_of(study, {})).text


def test_the_header_shows_its_code_as_code(fake: SimpleNamespace) -> None:
    """What stands between backticks in question, source, expectation and notes is a `code` element, and still text."""
    told = {name: f"the `{name}<b>` images" for name in ("question", "source", "expected")}
    study = fake.study(**told, header={"notes": "tuned on `val`"})
    source = page_of(study, {})
    for name in told:
        assert f"the <code>{name}&lt;b&gt;</code> images" in source
    assert "tuned on <code>val</code>" in source
