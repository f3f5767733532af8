"""Matplotlib's SVG inside a page."""

from __future__ import annotations

import re

from markupsafe import Markup


def inline_svg(svg: bytes, prefix: str) -> Markup:
    """Matplotlib's SVG for use inside HTML: without prologue, metadata and namespaces, its identifiers its own.

    Safe to mark as such: matplotlib escapes the texts that it is given, and draws them as outlines.
    """
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = text.replace('href="#', f'href="#{prefix}-').replace("url(#", f"url(#{prefix}-")
    size = re.search(r'<svg[^>]*?width="([\d.]+)pt"', text)
    assert size is not None
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 role="img" aria-hidden="true"', text, count=1)
    return Markup(text.strip())  # noqa: S704
