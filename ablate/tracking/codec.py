"""A Record as JSON text, and back: the form of `result.json` in the spool and in the Store.

JSON has no NaN and no infinity, and a browser refuses a file that holds them, so metrics write them as the
strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which `float` reads back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from ablate.tracking.record import Record, Row

FORMAT = 1


class RecordError(ValueError):
    """A text that is not a Record of this program, or one of a newer format."""


def pack_metrics(metrics: Mapping[str, Any]) -> dict[str, float | str]:
    """Metrics with every number as a float, and the non-finite ones as strings. NumPy and torch scalars are fine."""
    packed: dict[str, float | str] = {}
    for name, value in metrics.items():
        number = float(value)
        if math.isnan(number):
            packed[str(name)] = "NaN"
        elif math.isinf(number):
            packed[str(name)] = "Infinity" if number > 0 else "-Infinity"
        else:
            packed[str(name)] = number
    return packed


def unpack_metrics(packed: Mapping[str, float | str]) -> dict[str, float]:
    """The inverse of `pack_metrics`."""
    return {name: float(value) for name, value in packed.items()}


def encode(record: Record) -> str:
    """The Record as JSON, readable and in a stable order."""
    content = {field.name: getattr(record, field.name) for field in fields(record)}
    content["metrics"] = pack_metrics(record.metrics)
    content["history"] = [{**asdict(row), "metrics": pack_metrics(row.metrics)} for row in record.history]
    return json.dumps({"format": FORMAT, **content}, ensure_ascii=False)


def decode(text: str) -> Record:
    """The Record that `encode` wrote; lists where it had tuples become tuples again.

    Raises `RecordError`, and nothing else.
    """
    try:
        content = json.loads(text)
        if content.pop("format") != FORMAT:
            raise RecordError("a result written by another version of ablate")
        content["metrics"] = unpack_metrics(content["metrics"])
        content["history"] = tuple(
            Row(int(row["step"]), unpack_metrics(row["metrics"]), float(row["time"])) for row in content["history"]
        )
        content["artifacts"] = tuple(content["artifacts"])
        return Record(**content)
    except RecordError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(f"not a result of ablate: {error}") from error
