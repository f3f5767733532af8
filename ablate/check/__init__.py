"""Proof that every Level changes what it says and nothing else, for `ablate check`.

Each Variant is built beside the baseline and makes two updates (`ablate.training.probe`); `comparison` holds what
differs against what the changed fields may touch, which is written down in `reach`. A Variant of several Levels is
held beside the one nearest to it, too (`bench`), so that they do not hide each other. This package imports torch only
where something is not known from an earlier check.
"""

from ablate.check.comparison import compare
from ablate.check.finding import Difference, Finding
from ablate.check.rendering import as_json, render_check, render_errors
from ablate.check.study import Check, check_study

__all__ = ["Check", "Difference", "Finding", "as_json", "check_study", "compare", "render_check", "render_errors"]
