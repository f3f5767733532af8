"""LeFF against grids computed by hand, its equations, and the symmetry of a convolution."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from ablate.models.feed_forwards.leff import LeFF
from ablate.models.init import initialise


def leff(grid: tuple[int, int] = (2, 3), prefix: int = 1, **options: Any) -> LeFF:
    """Width 4 in float64 and evaluation, with the statistics of its norms moved off zero and one."""
    torch.manual_seed(0)
    made = LeFF(4, grid, prefix, 0.0, ratio=2.0, **options).double().eval()
    with torch.no_grad():
        for values in itertools.chain(made.parameters(), made.buffers()):
            if values.is_floating_point():
                values += torch.rand_like(values)
    return made


@pytest.mark.parametrize("prefix", [0, 1])
def test_a_grid_by_hand(prefix: int) -> None:
    """On 2 x 3, a convolution that adds the upper and left neighbour gives what pencil and paper give.

    The patches are 10 to 60, and GELU leaves numbers from 10 as they are, to 1e-12. Up is 2x + 1, so 21, 41,
    61 over 81, 101, 121; the convolution makes 21, 62, 102 over 102, 223, 283 of them; down is 3x - 1.
    """
    made = LeFF(1, (2, 3), prefix, 0.0, ratio=1.0, batch_norm=False).double()
    values = {
        "up.weight": [[[[2.0]]]],
        "up.bias": [1.0],
        "depthwise.weight": [[[[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]],
        "depthwise.bias": [0.0],
        "down.weight": [[[[3.0]]]],
        "down.bias": [-1.0],
    }
    made.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    patches = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0, 60.0], dtype=torch.float64)
    tokens = torch.cat((torch.full((prefix,), 7.0, dtype=torch.float64), patches))[None, :, None]
    expected = torch.tensor([0.0] * prefix + [62.0, 185.0, 305.0, 305.0, 668.0, 848.0], dtype=torch.float64)
    torch.testing.assert_close(made(tokens)[0, :, 0], expected, rtol=0, atol=1e-10)


def by_equations(made: LeFF, patches_BND: Tensor, kernel: int, batch_norm: bool, final: bool) -> Tensor:
    """Eqs. 5 to 9 with sums over indices: rows and columns padded by hand, norms by their running statistics."""

    def normed(x_BCHW: Tensor, norm: nn.Module) -> Tensor:
        if not batch_norm:
            return x_BCHW
        mean, variance, gain, shift = (
            v[:, None, None] for v in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        return (x_BCHW - mean) / (variance + 1e-5).sqrt() * gain + shift

    def gelu(x: Tensor) -> Tensor:
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    rows, columns = made.grid
    x = patches_BND.reshape(-1, rows, columns, 4)
    x = torch.einsum("oc,byxc->boyx", made.up.weight[:, :, 0, 0], x) + made.up.bias[:, None, None]
    x = gelu(normed(x, made.norm_up))
    margin = kernel // 2
    padded = torch.zeros(x.shape[0], x.shape[1], rows + 2 * margin, columns + 2 * margin, dtype=x.dtype)
    padded[:, :, margin : margin + rows, margin : margin + columns] = x
    x = made.depthwise.bias[:, None, None] + sum(
        made.depthwise.weight[:, 0, i, j, None, None] * padded[:, :, i : i + rows, j : j + columns]
        for i in range(kernel)
        for j in range(kernel)
    )
    x = gelu(normed(x, made.norm_depthwise))
    x = torch.einsum("oc,bcyx->boyx", made.down.weight[:, :, 0, 0], x) + made.down.bias[:, None, None]
    x = normed(x, made.norm_down)
    return (gelu(x) if final else x).flatten(2).mT


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("final", [True, False])
def test_leff_is_its_equations(kernel: int, batch_norm: bool, final: bool) -> None:
    """On a grid of 2 x 3, for each kernel, with and without norms and the last GELU, to 1e-10."""
    made = leff(kernel=kernel, batch_norm=batch_norm, final_activation=final)
    tokens = torch.randn(2, 7, 4, dtype=torch.float64)
    expected = by_equations(made, tokens[:, 1:], kernel, batch_norm, final)
    torch.testing.assert_close(made(tokens)[:, 1:], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_the_two_paths_of_the_class_token(prefix: int) -> None:
    """Beside the residual connection it stays as it is, or adds its normalised self; the patches are the same."""
    identity, norm = leff(prefix=prefix), leff(prefix=prefix, cls_path="norm")
    tokens = torch.randn(2, prefix + 6, 4, dtype=torch.float64)
    assert not identity(tokens)[:, :prefix].any()
    assert torch.equal(norm(tokens)[:, :prefix], tokens[:, :prefix])
    assert torch.equal(norm(tokens)[:, prefix:], identity(tokens)[:, prefix:])


@given(st.integers(-3, 3), st.integers(-3, 3))
@settings(max_examples=15, deadline=None)
def test_a_shifted_image_gives_a_shifted_branch(down: int, right: int) -> None:
    """Away from the edge, and from where the shifted image wraps around, the branch moves with the grid, to 1e-12."""
    rows, columns = 6, 7
    made = leff((rows, columns))
    grid = torch.randn(1, rows, columns, 4, dtype=torch.float64)
    class_token = torch.randn(1, 1, 4, dtype=torch.float64)

    def branch(grid: Tensor) -> Tensor:
        return made(torch.cat((class_token, grid.flatten(1, 2)), dim=1))[0, 1:].unflatten(0, (rows, columns))

    before, after = branch(grid), branch(grid.roll((down, right), (1, 2)))
    places = [
        (y, x)
        for y, x in itertools.product(range(1, rows - 1), range(1, columns - 1))
        if 1 <= y - down < rows - 1 and 1 <= x - right < columns - 1
    ]
    assert places
    for y, x in places:
        torch.testing.assert_close(after[y, x], before[y - down, x - right], rtol=0, atol=1e-12)


def test_parameters_of_ceit_t() -> None:
    """At width 192 the official module has 307,008 parameters with norms and 303,552 without; GELU adds none."""
    for options, count in [({}, 307_008), ({"batch_norm": False}, 303_552), ({"final_activation": True}, 307_008)]:
        assert sum(p.numel() for p in LeFF(192, (14, 14), 1, 0.0, **options).parameters()) == count


def test_dropout_stands_at_the_end() -> None:
    """In training at .5 about half of the patches' branch is zero."""
    branch = LeFF(4, (4, 4), 0, 0.5).train()(torch.randn(20, 16, 4))
    assert 0.4 < (branch == 0).double().mean() < 0.6


def test_it_starts_as_torchs_convolutions_do_under_deits_scheme() -> None:
    """The depthwise weights and biases lie within 1 / 3 and fill that range, as the official code leaves them."""
    made = LeFF(64, (4, 4), 1, 0.0)
    initialise(made, "truncated_normal", 0)
    for values in (made.depthwise.weight, made.depthwise.bias):
        assert 0.32 < values.abs().max() <= 1 / 3
    assert 0.124 < made.up.weight.abs().max() <= 1 / 8


@pytest.mark.parametrize(
    ("grid", "options", "reason"),
    [(None, {}, "needs a grid"), ((2, 2), {"kernel": 2}, "odd kernel.*got 2"), ((2, 2), {"ratio": 0.01}, "no hidden")],
)
def test_nonsense_is_refused(grid: tuple[int, int] | None, options: dict[str, Any], reason: str) -> None:
    """Tokens on no grid, an even kernel and no hidden unit are errors that say so."""
    with pytest.raises(ValueError, match=reason):
        LeFF(4, grid, 1, 0.0, **options)


def test_every_parameter_gets_a_gradient() -> None:
    """No gradient is absent, and in evaluation, where no norm takes a bias away again, none is all zeros."""
    made = leff()
    made(torch.randn(2, 7, 4, dtype=torch.float64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


def test_images_do_not_see_one_another_in_evaluation() -> None:
    """The branch of an image alone is the one it has in a batch, to 1e-12."""
    made, tokens = leff(), torch.randn(3, 7, 4, dtype=torch.float64)
    torch.testing.assert_close(made(tokens[1:2]), made(tokens)[1:2], rtol=0, atol=1e-12)


def test_it_can_be_stacked_and_exported() -> None:
    """As one of two batched modules and as an exported program it gives the same numbers, to 1e-10."""
    pair, tokens = [leff(), leff(kernel=3)], torch.randn(2, 7, 4, dtype=torch.float64)
    with torch.no_grad():
        pair[1].up.weight += 1
    expected = torch.stack([made(tokens) for made in pair])
    parameters, buffers = stack_module_state(pair)
    batched = vmap(lambda p, b: functional_call(pair[0], (p, b), (tokens,)))(parameters, buffers)
    torch.testing.assert_close(batched, expected, rtol=1e-10, atol=1e-10)
    exported = torch.export.export(pair[0], (tokens,)).module()
    torch.testing.assert_close(exported(tokens), expected[0], rtol=1e-10, atol=1e-10)


def test_half_precision_stays_close() -> None:
    """Under bfloat16 autocast, in training, the branch is within 5 percent of that in float32."""
    made, tokens = leff().float().train(), torch.randn(8, 7, 4)
    full = made(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        half = made(tokens)
    assert (half.float() - full).norm() / full.norm() < 0.05
