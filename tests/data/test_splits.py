from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.data.splits import CARVES, random, stratified

labellings = st.lists(st.integers(0, 5), max_size=200).map(lambda x: np.array(x, dtype=np.int64))


@given(labels=labellings, fraction=st.floats(0.0, 0.99), seed=st.integers(0, 2**40))
def test_each_class_gives_its_share(labels, fraction, seed):
    """Of a class of n images, n times the fraction are held out, rounded to whole images."""
    held_out = stratified(labels, np.arange(len(labels)), fraction, seed, "test split")
    for label in np.unique(labels):
        of_class = labels == label
        assert held_out[of_class].sum() == np.floor(of_class.sum() * fraction + 0.5)


@given(labels=labellings, fraction=st.floats(0.0, 0.99), seed=st.integers(0, 2**40))
def test_all_images_together_give_their_share(labels, fraction, seed):
    """Carved at random, n images give n times the fraction, and which of them does not depend on their labels."""
    indices = np.arange(len(labels))
    held_out = random(labels, indices, fraction, seed, "test split")
    assert held_out.sum() == np.floor(len(labels) * fraction + 0.5)
    assert np.array_equal(held_out, random(labels[::-1].copy(), indices, fraction, seed, "test split"))


@pytest.mark.parametrize("carve", CARVES.values())
@given(labels=labellings, fraction=st.floats(0.0, 0.99))
def test_the_same_question_gives_the_same_answer(carve, labels, fraction):
    """A split is a function of its arguments."""
    ask = (labels, np.arange(len(labels)), fraction, 7, "val split")
    assert np.array_equal(carve(*ask), carve(*ask))


@pytest.mark.parametrize("carve", CARVES.values())
@given(labels=labellings, fractions=st.tuples(st.floats(0.0, 0.99), st.floats(0.0, 0.99)))
def test_larger_fractions_hold_out_more_of_the_same(carve, labels, fractions):
    """Images held out at a fraction stay held out at a larger one."""
    indices = np.arange(len(labels))
    fewer, more = (carve(labels, indices, f, 0, "test split") for f in sorted(fractions))
    assert not (fewer & ~more).any()


@pytest.mark.parametrize("carve", CARVES.values())
def test_seed_and_purpose_change_the_choice(carve):
    """Another seed or purpose holds out other images."""
    labels = np.repeat(np.arange(4), 50)
    indices = np.arange(200)
    first = carve(labels, indices, 0.5, 0, "test split")
    assert not np.array_equal(first, carve(labels, indices, 0.5, 1, "test split"))
    assert not np.array_equal(first, carve(labels, indices, 0.5, 0, "val split"))
