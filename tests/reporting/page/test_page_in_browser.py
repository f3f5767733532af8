"""What a reader can do with the rest of the page, in headless Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.reporting.report import Report

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def test_curves_show_the_chosen_measurement(address: str, open_page: Open) -> None:
    """A Factor's chart and the one of two Variants follow the choice, and say their numbers by pointer and key."""
    page = open_page(address)
    page.locator("#factor-0").scroll_into_view_if_needed()
    chart = page.locator("#factor-0 figure svg[role=slider]")
    chart.wait_for()
    before = chart.inner_html()
    page.locator("#factors select.measurement").select_option("train/loss")
    assert page.locator("#factor-0 figure svg[role=slider]").inner_html() != before
    one = page.locator("#curve-chart svg[role=slider]")
    page.locator("#curve-variant").select_option("position=none")
    one.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert one.get_attribute("aria-valuenow") == "2"
    assert "position=none" in (one.get_attribute("aria-valuetext") or "")
    one.hover()
    assert "position=none" in page.get_by_role("tooltip").inner_text()


def test_images_of_a_disagreement_are_shown(address: str, open_page: Open) -> None:
    """The images that one Variant gets right and the other does not, with what each says; swapped there are none."""
    page = open_page(address)
    page.locator("#image-second").select_option("position=none")
    cards = page.locator("#image-list li")
    assert cards.count() == 9
    assert "of 20 held-out images" in page.locator("#image-count").inner_text().lower()
    assert cards.first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    text = cards.first.inner_text()
    assert "baseline: 3/3" in text
    assert "position=none: 0/3" in text
    page.locator("#image-swap").click()
    assert cards.count() == 0


def test_differences_by_class_are_shaded(address: str, open_page: Open) -> None:
    """A cell's words say what it is, and the worst has the strongest shade."""
    page = open_page(address)
    cell = page.locator("#classes tr", has_text="position=none").locator("td").first
    cell.focus()
    text = page.get_by_role("tooltip").inner_text()
    assert text.startswith("position=none, class 0")
    assert cell.evaluate("cell => getComputedStyle(cell).backgroundColor") != "rgba(0, 0, 0, 0)"


def test_two_recipes_stand_side_by_side(address: str, open_page: Open) -> None:
    """Fields in which two Variants differ, and on request all of them."""
    page = open_page(address)
    page.locator("#recipe-second").select_option("dropout=0.1")
    rows = page.locator("#recipe-table tbody tr")
    few = rows.count()
    assert "dropout=0.1" in page.locator("#recipe-table thead").inner_text()
    page.locator("#recipe-all").check()
    assert rows.count() > few
    assert "schedule.batch_size" in page.locator("#recipe-table").inner_text()


def test_dark_and_light(address: str, open_page: Open) -> None:
    """The page follows the machine, and the button turns it round."""
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = open_page(address, color_scheme="light"), open_page(address, color_scheme="dark")
    bright, dim = light.evaluate(paper), dark.evaluate(paper)
    assert bright != dim
    light.locator("#theme").click()
    dark.locator("#theme").click()
    assert (light.evaluate(paper), dark.evaluate(paper)) == (dim, bright)


def test_text_is_dark_enough(address: str, open_page: Open) -> None:
    """Faint text, verdicts and links have a contrast of 4.5 to 1 at least in both schemes (WCAG 2.1, 1.4.3)."""
    for scheme in ("light", "dark"):
        page = open_page(address, color_scheme=scheme)
        colours = page.evaluate(
            """() => ["--paper", "--band", "--ink", "--faint", "--good", "--bad"].map(name => {
              const probe = document.body.appendChild(document.createElement("i"));
              probe.style.color = `var(${name})`;
              return getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number);
            })"""
        )
        paper, band, *inks = (luminance(colour) for colour in colours)
        for ground in (paper, band):
            assert min((max(i, ground) + 0.05) / (min(i, ground) + 0.05) for i in inks) >= 4.5


def luminance(colour: list[int]) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_nothing_runs_out_of_a_phone(address: str, open_page: Open) -> None:
    """At 390 pixels only the tables scroll sideways."""
    page = open_page(address)
    page.set_viewport_size({"width": 390, "height": 800})
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_paper_has_everything(address: str, open_page: Open, tmp_path: Path) -> None:
    """Printed, no tool is there, the Recipe is open, every Factor's curves are drawn, and tables are not cut."""
    page = open_page(address)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator(".tools").first.is_visible()
    assert page.locator("details.printed:not([open])").count() == 0
    assert page.locator("figure[data-factor]:not(:has(svg))").count() == 0
    assert page.locator("#comparison .scroll").evaluate("box => getComputedStyle(box).overflowX") == "visible"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_without_a_script_tables_and_figures_are_there(written: Report, open_page: Open) -> None:
    """No control that would do nothing, every row, the drawn differences, and the static figures."""
    page = open_page(written.html.as_uri(), java_script_enabled=False)
    assert page.locator("#comparison-table tbody tr:visible").count() == 14
    assert page.locator("#comparison-table td.drawn svg").first.is_visible()
    assert not page.locator("#find").is_visible()
    for figure in ("differences", "curves", "trials"):
        assert page.locator(f"#figure-{figure} svg").is_visible()


def test_the_paragraphs_are_copied(address: str, open_page: Open) -> None:
    """The button puts the words on the clipboard, or marks them where the browser keeps it to itself."""
    page = open_page(address)
    page.locator("button[data-copy=done]").click()
    page.get_by_role("button", name="Copied").or_(page.get_by_role("button", name="Marked")).wait_for()


def test_landmarks_and_names_are_there(address: str, open_page: Open) -> None:
    """A skip link, a main part, named sections, captions of tables and a name for every control."""
    page = open_page(address)
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("navigation", name="Sections").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("thead th:not([scope])").count() == 0
    unnamed = "[...document.querySelectorAll('select, input')].filter(each => !each.closest('label')).length"
    assert page.evaluate(unnamed) == 0
