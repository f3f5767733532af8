"""Residual branches left out at random, and the rule for their rates."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers.drop import calculate_drop_path_rates

from ablate.models.stochastic_depth import StochasticDepth, linear_rates


def test_whole_images_are_dropped_and_the_others_scaled() -> None:
    """At .75 each image's branch is zero or four times itself, about a quarter of 2,000 the latter, mean preserved."""
    torch.manual_seed(0)
    branch = torch.randn(2000, 3, 2)
    dropped = StochasticDepth(0.75).train()(branch)
    kept = dropped.flatten(1).any(1)
    assert torch.equal(dropped[kept], 4 * branch[kept])
    assert not dropped[~kept].any()
    # Three standard errors of a proportion of .25 in 2,000.
    assert abs(kept.double().mean() - 0.25) < 3 * (0.25 * 0.75 / 2000) ** 0.5


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_it_is_the_identity_in_evaluation_and_at_rate_zero(rate: float, training: bool) -> None:
    """The branch comes back itself, and no random number is drawn."""
    branch, state = torch.randn(4, 3, 2), torch.get_rng_state()
    assert StochasticDepth(rate).train(training)(branch) is branch
    assert torch.equal(torch.get_rng_state(), state)


def test_it_follows_torchs_generator() -> None:
    """The same seed drops the same images, whatever the branch; another seed drops others."""
    depth, drawn = StochasticDepth(0.5).train(), []
    for seed, branch in ((0, torch.ones(64, 3, 2)), (0, torch.full((64, 5, 4), 2.0)), (1, torch.ones(64, 3, 2))):
        torch.manual_seed(seed)
        drawn.append(depth(branch)[:, 0, 0] > 0)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_leaves_nothing_is_refused(rate: float) -> None:
    """Rates below 0, and 1, at which nothing would be left to scale, are errors."""
    with pytest.raises(ValueError, match=f"below 1, got {rate}"):
        StochasticDepth(rate)


@given(st.floats(0, 0.9), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_the_linear_rule_is_timms(maximum: float, depth: int) -> None:
    """The rates are timm's and so DeiT's, to float32's rounding: 0 first, the maximum last, 0 for one block."""
    rates = linear_rates(maximum, depth)
    assert rates == pytest.approx(calculate_drop_path_rates(maximum, depth), abs=1e-6)
    assert rates[0] == 0
    assert depth == 1 or rates[-1] == maximum


def test_the_linear_rule_by_hand() -> None:
    """Five blocks up to .2 have 0, .05, .1, .15 and .2."""
    assert linear_rates(0.2, 5) == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
