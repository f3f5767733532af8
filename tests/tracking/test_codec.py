from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.tracking.codec import RecordError, decode, encode, pack_metrics
from ablate.tracking.record import Record, Row

names = st.text(min_size=1, max_size=8)
metrics = st.dictionaries(names, st.floats(), max_size=4)
rows = st.builds(Row, st.integers(0, 10**9), metrics, st.floats(0, 2e9))
records = st.builds(
    Record,
    trial_id=names,
    seed=st.integers(),
    trainable=names,
    recipe=st.dictionaries(names, st.one_of(st.none(), st.booleans(), st.integers(), names), max_size=4),
    status=st.sampled_from(["finished", "failed"]),
    started=st.floats(0, 2e9),
    ended=st.none() | st.floats(0, 2e9),
    metrics=metrics,
    history=st.lists(rows, max_size=4).map(tuple),
    cause=st.sampled_from([None, "diverged", "error", "lost"]),
    error=st.text(max_size=20),
    artifacts=st.lists(names, max_size=3).map(tuple),
)


@given(records)
def test_a_record_survives_the_way_through_json(record: Record):
    """Encoding and decoding give the Record back, NaN and infinities included (repr compares NaN as equal)."""
    assert repr(decode(encode(record))) == repr(record)


@given(records)
def test_the_text_is_json_that_a_browser_reads(record: Record):
    """No bare NaN or Infinity stands in the text."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads(encode(record), parse_constant=refuse)


def test_numpy_scalars_are_numbers():
    """What a Trainable measured with NumPy is stored as plain floats."""
    assert pack_metrics({"a": np.float32(0.5), "b": np.int64(3)}) == {"a": 0.5, "b": 3.0}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "metrics": {}}', "null"])
def test_other_texts_are_refused(text: str):
    """What is not a Record is refused with an error of its own, not read halfway."""
    with pytest.raises(RecordError):
        decode(text)
