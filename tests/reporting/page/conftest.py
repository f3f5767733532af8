"""A browser, and pages to open in it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablate.reporting.comparison import Comparison, comparison
from ablate.reporting.examples import Examples
from ablate.reporting.html import to_html
from ablate.reporting.kept import Kept

Open = Callable[..., Any]


def with_examples(compared: Comparison) -> Comparison:
    """The same with made-up outcomes by image: 20 images, of which `position=none` gets the first 9 wrong."""
    names = [variant.name for variant in compared.study.variants]
    right = np.ones((3, 20), dtype=bool)
    correct = {name: right.copy() for name in names}
    correct["position=none"][:, :9] = False
    label = np.arange(20) % 10
    prediction = {name: np.where(own, label, 9 - label) for name, own in correct.items()}
    examples = Examples(np.arange(100, 120), label, correct, prediction, dict.fromkeys(names, (0, 1, 2)))
    return replace(compared, examples=examples)


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), 200).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def address(fake: SimpleNamespace, tmp_path: Path) -> str:
    """The page of the realistic study with outcomes by image, and no static figure."""
    study, records = fake.realistic()
    compared = with_examples(comparison(study, records))
    path = tmp_path / "report.html"
    kept = Kept(pictures=lambda _, places: [picture()] * len(places))
    path.write_text(to_html(compared, records, {}, kept), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Opens an address; at the end nothing may have been said on the console, or been asked for."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def opened(address: str, **options: Any) -> Any:
        size = {"width": 1280, "height": 900}
        contexts.append(chromium.new_context(viewport=size, reduced_motion="reduce", **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
