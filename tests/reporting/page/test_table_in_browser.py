"""What a reader can do with the comparison's table, in headless Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ablate.reporting.comparison import comparison
from ablate.reporting.html import to_html

pytestmark = pytest.mark.browser
Open = Callable[..., Any]


def names(page: Any) -> list[str]:
    """First cells of the rows of the comparison that are shown."""
    return page.locator("#comparison-table tbody tr:visible th").all_inner_texts()


def test_rows_are_sorted_there_and_back(address: str, open_page: Open) -> None:
    """Pressing a title sorts up, down and back; what has no number stays at the end; the title says how it is."""
    page = open_page(address)
    written = names(page)
    button = page.locator("#comparison-table").get_by_role("button", name="Difference", exact=True)
    button.click()
    assert (names(page)[0], names(page)[-1]) == ("position=none", "baseline")
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Difference")
    button.click()
    assert (names(page)[0], names(page)[-1]) == ("randaugment=5", "baseline")
    button.click()
    assert names(page) == written
    page.locator("#comparison-table").get_by_role("button", name="Variant", exact=True).press("Enter")
    assert names(page)[0] == "baseline"


def test_rows_are_found_by_text_verdict_and_factor(address: str, open_page: Open) -> None:
    """Each filter leaves the rows that fit it, and the page says how many there are."""
    page = open_page(address)
    page.get_by_label("Find").fill("randaug")
    assert all("randaugment" in name for name in names(page))
    assert page.locator("#found").inner_text() == "4 of 14 rows"
    page.get_by_label("Find").fill("")
    page.locator("button[data-verdict=hurts]").click()
    verdicts = page.locator("#comparison-table tbody tr:visible td.verdict").all_inner_texts()
    assert set(verdicts) == {"hurts"}
    page.locator("button[data-verdict=hurts]").click()
    page.locator("#factor").select_option("pooling")
    assert names(page) == ["pooling=cls", "position=learned+pooling=cls+dropout=0.1"]


def test_the_address_leads_back_to_what_was_seen(address: str, open_page: Open) -> None:
    """Filter, order, columns and dark stand in the address."""
    page = open_page(address)
    page.get_by_label("Find").fill("mixup")
    page.get_by_role("button", name="Difference", exact=True).click()
    page.locator("#theme").click()
    again = open_page(page.url)
    assert names(again) == names(page)
    assert again.get_by_label("Find").input_value() == "mixup"
    assert again.evaluate("document.documentElement.dataset.theme") == "dark"


def test_columns_are_chosen(address: str, open_page: Open) -> None:
    """A column that is off comes with its box, and one that is there goes."""
    page = open_page(address)
    head = page.locator("#comparison-table thead")
    assert not head.get_by_text("Deviation").is_visible()
    page.get_by_text("Columns", exact=True).click()
    page.locator(".menu label", has_text="Standard deviation over").click()
    assert head.get_by_text("Deviation").is_visible()
    page.locator(".menu label", has_text="Trainable ones").click()
    assert not head.get_by_text("Parameters").is_visible()


def test_a_drawn_row_answers_to_the_pointer(address: str, open_page: Open) -> None:
    """Over a row's drawing stand its interval, its verdict and every seed, the failed one, too."""
    page = open_page(address)
    page.locator("#comparison-table tr", has_text="dropout=0.1").first.locator("td.drawn").hover()
    tip = page.get_by_role("tooltip")
    text = tip.inner_text()
    assert text.startswith("dropout=0.1")
    assert all(words in text for words in ("Difference: ", "seed 0: 9", "seed 1: diverged", "Verdict: "))
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_a_drawn_row_answers_to_the_keyboard(address: str, open_page: Open) -> None:
    """One stop of the tab key leads to the drawings, arrows from row to row, and the same words are spoken."""
    page = open_page(address)
    assert page.locator("#comparison-table td[tabindex='0']").count() == 1
    page.locator("#comparison-table td[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    text = page.get_by_role("tooltip").inner_text()
    assert text.startswith("position=learned")
    assert "seed 2" in page.locator("#said").inner_text()


def test_many_variants_come_a_hundred_at_a_time(fake: SimpleNamespace, tmp_path: Path, open_page: Open) -> None:
    """Of 400 rows the first 100 are there, a button brings the others, and sorting goes over all of them."""
    variants = ["baseline", *(f"rate={i}" for i in range(399))]
    study = fake.study(variants, (0, 1))
    draws = np.random.default_rng(0).normal(90, 1, (400, 2))
    records = fake.records(study, {name: list(row) for name, row in zip(variants, draws, strict=True)})
    path = tmp_path / "report.html"
    path.write_text(to_html(comparison(study, records), records, {}), encoding="utf-8")
    page = open_page(path.as_uri())
    assert len(names(page)) == 100
    page.get_by_role("button", name="Difference", exact=True).click()
    worst = variants[1:][int(np.argmin((draws[1:] - draws[0]).mean(axis=1)))]
    assert (names(page)[0], len(names(page))) == (worst, 100)
    page.get_by_role("button", name="Show all 400 rows").click()
    assert len(names(page)) == 400
