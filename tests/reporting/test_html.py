from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.reporting.comparison import comparison
from ablate.reporting.html import inline_svg, to_html
from ablate.reporting.report import Report
from ablate.study.study import Study
from ablate.tracking.record import Record

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes that could load something, identifiers, and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
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
    assert (page.tags.count("script"), page.handlers) == (1, [])
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", source))
    assert "@import" not in source
    assert "default-src 'none'" in source


def test_every_figure_is_inside_and_identifiers_are_unique(written: Report) -> None:
    """Three SVGs, none of whose identifiers meets another's, and every reference finds its target."""
    page = Page(written.html.read_text(encoding="utf-8"))
    assert page.tags.count("svg") == 3
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_hostile_text_is_shown_as_text(fake: SimpleNamespace) -> None:
    """Names, question, log, header and citation appear as written, templates in them are not run."""
    study, records = fake.hostile()
    text = Page(page_of(study, records)).text
    for name in [v.name for v in study.variants]:
        assert name in text
    assert text.count(study.question) >= 6
    assert "{{ 7 * 7 }}" in text


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("<>&\"'/{}%=a ", min_size=1, max_size=25))
def test_any_name_is_shown_as_text(fake: SimpleNamespace, name: str) -> None:
    """Whatever a Variant is called, it adds no element to the page."""
    plain = Page(page_of(fake.study(("baseline", "plain")), {}))
    odd = Page(page_of(fake.study(("baseline", f"x{name}")), {}))
    assert odd.tags == plain.tags
    assert f"x{name}" in odd.text


def test_the_page_says_everything(fake: SimpleNamespace) -> None:
    """Header, verdicts, failures with their log, whole Recipe, changes, provenance, method and citation."""
    study, records = fake.realistic()
    text = Page(page_of(study, records)).text
    for words in (
        study.question, study.source, study.expected, "ablate run studies/simplevit.yaml", "not enough evidence",
        "diverged: loss is nan at step 7", "Traceback (most recent call last)", "schedule.batch_size",
        "model.dropout", "0123abc", "2.14.1", "d1g175", "42 Trials in all", "41 finished, 1 failed", "@article",
    ):  # fmt: skip
        assert words in text


def test_an_svg_without_a_size_is_refused() -> None:
    """Inlining expects matplotlib's own output."""
    with pytest.raises(AssertionError):
        inline_svg(b"<svg></svg>", "x")


@pytest.mark.browser
def test_the_page_works_in_a_browser(written: Report) -> None:
    """In Chromium: no request, nothing on the console, sorting there and back, and no sideways scroll on a phone."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(written.html.as_uri())

        def column() -> list[str]:
            return page.locator("table.sortable tbody tr td:nth-child(1)").all_inner_texts()

        written = column()
        button = page.get_by_role("button", name="Difference")
        button.click()
        assert column()[0] == "position=none"
        assert column()[-1] == "baseline"
        button.click()
        assert (column()[0], column()[-1]) == ("randaugment=5", "baseline")
        button.click()
        assert column() == written
        page.get_by_role("button", name="Variant").click()
        assert column()[0] == "baseline"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
