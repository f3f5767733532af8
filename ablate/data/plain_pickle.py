"""Pickles of other people's data sets, of which only plain values and arrays of numbers are read."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

_ADMITTED = frozenset(
    {
        *((module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")),
        *(("numpy", name) for name in ("ndarray", "dtype")),
        ("_codecs", "encode"),  # how protocol 2 writes bytes
    }
)


def read_plain(path: Path) -> Any:
    """What a file holds, strings of Python 2 as bytes. It raises anything for one that is damaged or asks for more."""
    return _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()


class _Unpickler(pickle.Unpickler):
    """Makes arrays of numbers and what Python's literals make, and runs nothing else that a file may ask for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not read from a file")
        return super().find_class(module, name)
