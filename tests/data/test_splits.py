from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ablate.data.splits import stratified

labellings = st.lists(st.integers(0, 5), max_size=200).map(lambda x: np.array(x, dtype=np.int64))


@given(labels=labellings, fraction=st.floats(0.0, 0.99), seed=st.integers(0, 2**40))
def test_each_class_gives_its_share(labels, fraction, seed):
    """Of a class of n images, n times the fraction are held out, rounded to whole images."""
    held_out = stratified(labels, np.arange(len(labels)), fraction, seed, "test split")
    for label in np.unique(labels):
        of_class = labels == label
        assert held_out[of_class].sum() == np.floor(of_class.sum() * fraction + 0.5)


@given(labels=labellings, fraction=st.floats(0.0, 0.99))
def test_the_same_question_gives_the_same_answer(labels, fraction):
    """A split is a function of its arguments."""
    ask = (labels, np.arange(len(labels)), fraction, 7, "val split")
    assert np.array_equal(stratified(*ask), stratified(*ask))


@given(labels=labellings, fractions=st.tuples(st.floats(0.0, 0.99), st.floats(0.0, 0.99)))
def test_larger_fractions_hold_out_more_of_the_same(labels, fractions):
    """Images held out at a fraction stay held out at a larger one."""
    indices = np.arange(len(labels))
    fewer, more = (stratified(labels, indices, f, 0, "test split") for f in sorted(fractions))
    assert not (fewer & ~more).any()


def test_seed_and_purpose_change_the_choice():
    """Another seed or purpose holds out other images."""
    labels = np.repeat(np.arange(4), 50)
    indices = np.arange(200)
    first = stratified(labels, indices, 0.5, 0, "test split")
    assert not np.array_equal(first, stratified(labels, indices, 0.5, 1, "test split"))
    assert not np.array_equal(first, stratified(labels, indices, 0.5, 0, "val split"))
