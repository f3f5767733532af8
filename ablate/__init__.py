"""ablate: which parts of a vision model or its recipe matter, by how much, and how sure are we.

In Python, `ablate.load_results("simplevit")` gives a study's results as DataFrames.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Results", "__version__", "load_results"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for, and by its name: the command line starts without pandas, and the layers of the
    # package do not hang on its top.
    if name in ("Results", "load_results"):
        return getattr(import_module("ablate.results"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
