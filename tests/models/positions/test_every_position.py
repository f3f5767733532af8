"""What every position keeps to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from ablate.models.init import initialise
from ablate.models.positions.learned import LearnedPosition
from ablate.models.positions.learned2d import LearnedPosition2d
from ablate.models.positions.none import NoPosition
from ablate.models.positions.relative import RelativePosition
from ablate.models.positions.sincos1d import SinCos1d
from ablate.models.positions.sincos2d import SinCos2d

#: Each of width 8 on a grid of 2 x 3 behind one prefix token; a relative one on two heads of 4.
POSITIONS: dict[str, Callable[[], nn.Module]] = {
    "none": NoPosition,
    "learned": lambda: LearnedPosition(8, (2, 3), 1),
    "learned2d": lambda: LearnedPosition2d(8, (2, 3), 1),
    "sincos1d": lambda: SinCos1d(8, (2, 3), 1),
    "sincos2d": lambda: SinCos2d(8, (2, 3), 1),
    "relative, 1d": lambda: RelativePosition(8, (2, 3), 2),
    "relative, 2d": lambda: RelativePosition(8, (2, 3), 2, offsets="2d"),
}
TRAINED = [name for name in POSITIONS if name.startswith(("learned", "relative"))]


def drawn(name: str, seed: int = 0) -> nn.Module:
    """The position with first values drawn, float64."""
    position = POSITIONS[name]()
    initialise(position, "jax", seed)
    return position.double()


def inputs(position: nn.Module) -> torch.Tensor:
    """Tokens, (2, 7, 8), or queries of two heads, (2, 2, 7, 4)."""
    heads = getattr(position, "acts_on", "tokens") == "attention"
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*((2, 2, 7, 4) if heads else (2, 7, 8)), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", POSITIONS)
def test_it_takes_a_grid_that_is_not_square(name: str) -> None:
    """Seven tokens stay seven, or give 7 x 7 logits; the input is not written to."""
    position = drawn(name)
    given = inputs(position)
    before = given.clone()
    assert position(given).shape == ((2, 2, 7, 7) if given.dim() == 4 else (2, 7, 8))
    assert torch.equal(given, before)


@pytest.mark.parametrize("name", TRAINED)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    """Each vector counts in the outcome."""
    position = drawn(name)
    given = inputs(position)
    outcome = position(given)
    (outcome * torch.randn_like(outcome)).sum().backward()
    for parameter_name, parameter in position.named_parameters():
        assert (parameter.grad.abs().sum(-1) > 0).all(), parameter_name


@pytest.mark.parametrize("name", TRAINED)
def test_stacked_positions_give_what_each_gives(name: str) -> None:
    """vmap over the stacked parameters of two agrees with one after the other, to 1e-12."""
    positions = [drawn(name, seed) for seed in (0, 1)]
    given = inputs(positions[0])
    parameters, buffers = stack_module_state(positions)
    call = torch.vmap(lambda p, b: functional_call(positions[0], (p, b), (given,)))
    expected = torch.stack([position(given) for position in positions])
    torch.testing.assert_close(call(parameters, buffers), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", POSITIONS)
def test_it_can_be_exported_for_any_batch(name: str) -> None:
    """An exported position gives the same for a batch of another size, to 1e-12."""
    position = drawn(name)
    given = inputs(position)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(position, (given,), dynamic_shapes=({0: batch},)).module()
    more = torch.cat((given, given[:1]))
    torch.testing.assert_close(exported(more), position(more), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TRAINED)
def test_resampled_values_fit_its_parameters(name: str) -> None:
    """From a grid of 4 x 5, every parameter gets values of its own shape."""
    position = drawn(name)
    older = type(position)(8, (4, 5), 1) if name.startswith("learned") else None
    older = older or RelativePosition(8, (4, 5), 2, offsets=name[-2:])
    for parameter_name, values in older.named_parameters():
        fitting = position.resampled(parameter_name, values.detach(), (4, 5))
        assert fitting.shape == position.get_parameter(parameter_name).shape
