"""CSWin Transformer against a slow reading of its formulas, and against its published size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ablate.models.cross_shaped_attention import CrossShapedAttention
from ablate.models.cswin import CSWinTransformer
from ablate.models.pyramid import PyramidBlock

TINY: dict[str, Any] = {
    "dim": 8,
    "depths": [2, 1],
    "split_sizes": [2, 4],
    "heads": [2, 4],
    "ratio": 2.0,
    "stem_kernel": 3,
    "stem_stride": 1,
}


def _scrambled(module: torch.nn.Module) -> torch.nn.Module:
    """In float64 and eval mode, every parameter drawn anew, of order 1."""
    generator = torch.Generator().manual_seed(3)
    module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def _naive_window(q: Tensor, k: Tensor, v: Tensor, weight: Tensor, bias: Tensor, heads: int) -> Tensor:
    """Attention and LePE in one window, (h, w, D) each, place by place and channel by channel."""
    h, w, dim = q.shape
    size = dim // heads
    mixed = torch.zeros_like(v)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(h):
            for j in range(w):
                scores = torch.stack([q[i, j, part] @ k[r, c, part] for r in range(h) for c in range(w)])
                share = torch.softmax(scores / math.sqrt(size), dim=0)
                mixed[i, j, part] = (share[:, None] * v[..., part].reshape(h * w, size)).sum(0)
    for i in range(h):
        for j in range(w):
            mixed[i, j] += bias
            for a in (-1, 0, 1):
                for b in (-1, 0, 1):
                    if 0 <= i + a < h and 0 <= j + b < w:
                        mixed[i, j] += weight[:, 0, a + 1, b + 1] * v[i + a, j + b]
    return mixed


def _naive_attention(attention: CrossShapedAttention, tokens_ND: Tensor, split: int, heads: int) -> Tensor:
    """One image's residual branch, window by window."""
    rows, columns = attention.grid
    q, k, v = (x.reshape(rows, columns, -1) for x in attention.qkv(tokens_ND).chunk(3, dim=-1))
    full = split == max(rows, columns)
    windows = [(rows, columns)] if full else [(rows, split), (split, columns)]
    width = q.shape[-1] // len(windows)
    mixed = torch.zeros_like(v)
    for number, (h, w) in enumerate(windows):
        part = slice(number * width, (number + 1) * width)
        lepe = attention.branches[number].lepe
        for top in range(0, rows, h):
            for left in range(0, columns, w):
                area = (slice(top, top + h), slice(left, left + w), part)
                mixed[area] = _naive_window(q[area], k[area], v[area], lepe.weight, lepe.bias, heads // len(windows))
    return attention.out(mixed.reshape(rows * columns, -1))


@pytest.mark.parametrize(
    ("grid", "split", "heads"), [((4, 6), 2, 4), ((4, 4), 1, 2), ((2, 4), 2, 4), ((3, 3), 3, 3), ((2, 4), 4, 2)]
)
def test_cross_shaped_attention_is_its_formula(grid, split, heads) -> None:
    """Half the heads in vertical, half in horizontal stripes, or all in one window, plus LePE, to 1e-12."""
    attention = _scrambled(CrossShapedAttention(12, grid, 0.0, heads=heads, split_size=split))
    tokens = torch.randn(2, grid[0] * grid[1], 12, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([_naive_attention(attention, image, split, heads) for image in tokens])
        torch.testing.assert_close(attention(tokens), expected, rtol=0, atol=1e-12)


def test_a_place_is_reached_by_the_cross_around_it() -> None:
    """With stripes of 2, a place sees the two rows and the two columns that its stripes cover, and no other place."""
    attention = _scrambled(CrossShapedAttention(8, (6, 8), 0.0, heads=2, split_size=2))
    tokens = torch.randn(1, 48, 8, dtype=torch.float64, requires_grad=True)
    attention(tokens).unflatten(1, (6, 8))[0, 3, 5].sum().backward()
    seen = tokens.grad.abs().sum(-1).reshape(6, 8) > 0
    cross = torch.zeros(6, 8, dtype=torch.bool)
    cross[2:4] = cross[:, 4:6] = True
    assert torch.equal(seen, cross)


def test_the_whole_model_is_its_formula() -> None:
    """Stem, pre-norm blocks, a convolution between stages, norm, mean and head, written out: logits to 1e-10."""
    model = _scrambled(CSWinTransformer((8, 8), 3, 5, **TINY))
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)

    def norm(x: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias

    def block(x: Tensor, layer: PyramidBlock, split: int, heads: int) -> Tensor:
        entering = norm(x, layer.norm_1)
        x = x + torch.stack([_naive_attention(layer.attention, image, split, heads) for image in entering])
        up = F.linear(norm(x, layer.norm_2), layer.mlp.up.weight, layer.mlp.up.bias)
        return x + F.linear(up * 0.5 * (1 + torch.erf(up / math.sqrt(2))), layer.mlp.down.weight, layer.mlp.down.bias)

    with torch.no_grad():
        first, second = model.stages
        stem, merge = first.embedding, second.embedding
        x = F.conv2d(images, stem.convolution.weight, stem.convolution.bias, padding=1)
        x = norm(x.flatten(2).mT, stem.norm)
        for layer in first.blocks:
            x = block(x, layer, 2, 2)
        x = x.mT.reshape(2, 8, 8, 8)
        x = F.conv2d(x, merge.convolution.weight, merge.convolution.bias, stride=2, padding=1)
        x = block(norm(x.flatten(2).mT, merge.norm), second.blocks[0], 4, 4)
        expected = F.linear(norm(x, model.norm).mean(1), model.head.weight, model.head.bias)
        assert second.embedding.grid == (4, 4)
        torch.testing.assert_close(model(images), expected, rtol=1e-10, atol=1e-10)


def _published_parameters(dim: int, depths: list[int], channels: int, classes: int) -> int:
    """By hand: stem, blocks, the convolutions between stages, final norm and head."""
    count = (49 * channels + 1) * dim + 2 * dim
    for stage, depth in enumerate(depths):
        if stage:
            count += 9 * dim * 2 * dim + 2 * dim + 2 * 2 * dim
            dim *= 2
        # qkv and output 4 D^2 + 4 D, two norms 4 D, LePE 9 D + D, MLP 8 D^2 + 5 D.
        count += depth * (12 * dim**2 + 23 * dim)
    return count + 2 * dim + (dim + 1) * classes


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("CSWin-T", {}, 22_320_552),
        ("CSWin-S", {"depths": [2, 4, 32, 2]}, 34_643_304),
        ("CSWin-B", {"dim": 96, "depths": [2, 4, 32, 2], "heads": [4, 8, 16, 32]}, 77_382_184),
        ("CSWin-L", {"dim": 144, "depths": [2, 4, 32, 2], "heads": [6, 12, 24, 24]}, 173_262_664),
    ],
)
def test_the_published_models_have_their_published_size(name, options, parameters) -> None:
    """CSWin-T, S, B and L have 23, 35, 78 and 173 M parameters in the paper; these are the exact numbers."""
    with torch.device("meta"):
        model = CSWinTransformer((224, 224), 3, 1000, **options)
    by_hand = _published_parameters(options.get("dim", 64), options.get("depths", [1, 2, 21, 1]), 3, 1000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters == by_hand
    assert [stage.embedding.grid[0] for stage in model.stages] == [56, 28, 14, 7]
    assert [stage.blocks[0].attention.full for stage in model.stages] == [False, False, False, True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"split_sizes": [3, 4]}, "stage 1: stripes of split size 3 do not tile a grid of 8 x 8"),
        ({"split_sizes": [0, 4]}, "split_sizes must be above zero"),
        ({"split_sizes": [2, 8]}, "stage 2: stripes of split size 8 do not tile a grid of 4 x 4"),
        ({"heads": [1, 4]}, "stage 1: 1 heads cannot be halved"),
        ({"heads": [2, 3]}, "stage 2: 3 attention heads do not divide the width, dim 16"),
        ({"depths": [2]}, "one value a stage"),
        ({"depths": [], "heads": [], "split_sizes": []}, "one value a stage"),
        ({"depths": [2, 0]}, "at least one block"),
        ({"stem_stride": 3, "stem_kernel": 3}, "a stem of stride 3 does not divide an image of 8 x 8 px"),
        ({"stem_kernel": 2}, "a stem of kernel 2 at stride 1"),
        ({"stem_kernel": 3, "stem_stride": 4}, "a stem of kernel 3 at stride 4"),
        ({"stochastic_depth": 1.5}, "stochastic depth"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(changes, reason) -> None:
    """A model that cannot be built says why."""
    with pytest.raises(ValueError, match=reason):
        CSWinTransformer((8, 8), 1, 10, **(TINY | changes))


@pytest.mark.parametrize(("kernel", "stride"), [(7, 4), (3, 1), (2, 2), (3, 2), (4, 4), (4, 2), (5, 1)])
def test_the_stem_makes_one_token_of_each_square_of_its_stride(kernel, stride) -> None:
    """Whatever the kernel, the grid is the image's size over the stride, also where height and width differ."""
    options = {"depths": [1], "split_sizes": [1], "heads": [2], "stem_kernel": kernel, "stem_stride": stride}
    model = CSWinTransformer((8, 16), 1, 3, dim=4, **options)
    assert model.stages[0].embedding.grid == (8 // stride, 16 // stride)


def test_attention_in_stripes_has_no_weights_over_all_tokens() -> None:
    """The last block's weights are refused, with the reason, where its heads see only stripes."""
    model = CSWinTransformer((8, 8), 1, 10, **(TINY | {"split_sizes": [2, 2]}))
    with pytest.raises(ValueError, match="attention in stripes has no weights over all tokens"):
        model.last_self_attention(torch.randn(1, 1, 8, 8))


def test_attention_received_is_the_sum_over_the_queries_of_the_stripe() -> None:
    """In the first block, the attention that one place receives is that of its column and of its row, to 1e-12."""
    attention = _scrambled(CrossShapedAttention(4, (2, 3), 0.0, heads=2, split_size=1))
    tokens = torch.randn(1, 6, 4, dtype=torch.float64)
    with torch.no_grad():
        q, k, _ = (x.reshape(2, 3, 4) for x in attention.qkv(tokens[0]).chunk(3, dim=-1))
        column = torch.softmax(q[:, 2, :2] @ k[:, 2, :2].T / math.sqrt(2), dim=-1)[:, 1].sum()
        row = torch.softmax(q[1, :, 2:] @ k[1, :, 2:].T / math.sqrt(2), dim=-1)[:, 2].sum()
        received = attention.received(tokens)
    assert received.shape == (1, 2, 2, 3)
    torch.testing.assert_close(received[0, :, 1, 2], torch.stack((column, row)), rtol=0, atol=1e-12)
