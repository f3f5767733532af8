"""The forms in which a report can be written."""

from __future__ import annotations

HTML, MARKDOWN, TEX, CSV = "html", "md", "tex", "csv"
#: All of them, in the order in which they are told to people.
IN_ORDER = (HTML, MARKDOWN, TEX, CSV)
FORMATS = frozenset(IN_ORDER)
