"""PVT against torch's own attention, a hand-computed reduction, and its published size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.models.pvt import PyramidVisionTransformer
from ablate.models.spatial_reduction_attention import SpatialReductionAttention

TINY: dict[str, Any] = {
    "dims": [8, 12],
    "depths": [2, 1],
    "heads": [2, 3],
    "ratios": [2.0, 3.0],
    "reductions": [2, 1],
    "patch_sizes": [2, 2],
}


def _scrambled(module: nn.Module) -> nn.Module:
    """In float64 and eval mode, every parameter drawn anew, of order 1."""
    generator = torch.Generator().manual_seed(3)
    module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def _torch_attention(attention: SpatialReductionAttention, tokens: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """torch's multi-head attention with these weights, from tokens over a source: the output, the weights."""
    dim = tokens.shape[-1]
    theirs = nn.MultiheadAttention(dim, attention.heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((attention.q.weight, attention.kv.weight)))
        theirs.in_proj_bias.copy_(torch.cat((attention.q.bias, attention.kv.bias)))
        theirs.out_proj.load_state_dict(attention.out.state_dict())
    return theirs(tokens, source, source, average_attn_weights=False)


@pytest.mark.parametrize("prefix_tokens", [0, 1])
def test_without_reduction_it_is_ordinary_attention(prefix_tokens: int) -> None:
    """A reduction of 1 gives the output and the weights of torch's MultiheadAttention, to 1e-12."""
    attention = _scrambled(SpatialReductionAttention(12, (2, 3), prefix_tokens, 0.0, heads=3, reduction=1))
    tokens = torch.randn(2, 6 + prefix_tokens, 12, dtype=torch.float64)
    output, weights = _torch_attention(attention, tokens, tokens)
    torch.testing.assert_close(attention(tokens), output, rtol=0, atol=1e-12)
    torch.testing.assert_close(attention.weights(tokens), weights, rtol=0, atol=1e-12)


def test_keys_and_values_come_from_the_reduced_grid() -> None:
    """With a reduction of 2, each key is a projected and normalised square of 2 x 2 tokens, to 1e-12."""
    attention = _scrambled(SpatialReductionAttention(8, (4, 6), 0, 0.0, heads=2, reduction=2))
    tokens = torch.randn(2, 24, 8, dtype=torch.float64)
    grid = tokens.reshape(2, 4, 6, 8)
    kernel, bias = attention.reduce.convolution.weight, attention.reduce.convolution.bias
    squares = [
        sum(grid[:, 2 * i + a, 2 * j + b] @ kernel[:, :, a, b].T for a in (0, 1) for b in (0, 1)) + bias
        for i in range(2)
        for j in range(3)
    ]
    source = torch.stack(squares, dim=1)
    norm = attention.reduce.norm
    source = (source - source.mean(-1, keepdim=True)) / (source.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    output, weights = _torch_attention(attention, tokens, source * norm.weight + norm.bias)
    torch.testing.assert_close(attention(tokens), output, rtol=0, atol=1e-12)
    torch.testing.assert_close(attention.weights(tokens), weights, rtol=0, atol=1e-12)
    received = attention.received(tokens)
    torch.testing.assert_close(received, (6 * weights.mean(2)).reshape(2, 2, 2, 3), rtol=0, atol=1e-12)


def test_the_whole_model_is_its_formula() -> None:
    """Patches, positions, blocks, and a class token in the last stage alone, written out: logits to 1e-10."""
    model = _scrambled(PyramidVisionTransformer((8, 8), 3, 5, **TINY))
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)

    def block(x: Tensor, layer: Any) -> Tensor:
        x = x + layer.attention(F.layer_norm(x, x.shape[-1:], layer.norm_1.weight, layer.norm_1.bias, 1e-6))
        entering = F.layer_norm(x, x.shape[-1:], layer.norm_2.weight, layer.norm_2.bias, 1e-6)
        up = F.gelu(F.linear(entering, layer.mlp.up.weight, layer.mlp.up.bias))
        return x + F.linear(up, layer.mlp.down.weight, layer.mlp.down.bias)

    def patches(maps: Tensor, layer: Any) -> Tensor:
        cut = F.unfold(maps, 2, stride=2).mT  # (B, N, C 2 2)
        x = F.linear(cut, layer.convolution.weight.flatten(1), layer.convolution.bias)
        return F.layer_norm(x, x.shape[-1:], layer.norm.weight, layer.norm.bias, 1e-5)

    first, second = model.stages
    x = patches(images, first.embedding) + first.position.patches
    for layer in first.blocks:
        x = block(x, layer)
    x = patches(x.mT.reshape(2, 8, 4, 4), second.embedding) + second.position.patches
    token = (model.readout.token + second.position.prefix).expand(2, 1, 12)
    x = block(torch.cat((token, x), dim=1), second.blocks[0])
    x = F.layer_norm(x[:, 0], (12,), model.norm.weight, model.norm.bias, 1e-6)
    expected = F.linear(x, model.head.weight, model.head.bias)
    torch.testing.assert_close(model(images), expected, rtol=1e-10, atol=1e-10)


def _published_parameters(depths: list[int]) -> int:
    """By hand: embeddings, positions, blocks, class token, final norm and head, at 224 px and 1,000 classes."""
    count, channels = 0, 3
    stages = zip([64, 128, 320, 512], depths, [8, 8, 4, 4], [8, 4, 2, 1], [4, 2, 2, 2], [56, 28, 14, 7], strict=True)
    for dim, depth, ratio, reduction, patch, side in stages:
        count += channels * patch**2 * dim + 3 * dim + side**2 * dim
        # q, k, v and output; two norms; the MLP; the convolution and norm of a reduction.
        block = 4 * dim**2 + 4 * dim + 4 * dim + 2 * ratio * dim**2 + ratio * dim + dim
        if reduction > 1:
            block += reduction**2 * dim**2 + 3 * dim
        count += depth * block
        channels = dim
    return count + 512 + 512 + 2 * 512 + 513 * 1000


@pytest.mark.parametrize(
    ("name", "depths", "parameters"),
    [
        ("PVT-Tiny", [2, 2, 2, 2], 13_229_288),
        ("PVT-Small", [3, 4, 6, 3], 24_485_864),
        ("PVT-Medium", [3, 4, 18, 3], 44_208_104),
        ("PVT-Large", [3, 8, 27, 3], 61_369_320),
    ],
)
def test_the_published_models_have_their_published_size(name, depths, parameters) -> None:
    """PVT-Tiny, Small, Medium and Large have 13.2, 24.5, 44.2 and 61.4 M in the paper; these are the exact numbers."""
    with torch.device("meta"):
        model = PyramidVisionTransformer((224, 224), 3, 1000, depths=depths)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters == _published_parameters(depths)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"patch_sizes": [3, 2]}, "stage 1: patches of 3 do not tile a map of 8 x 8"),
        ({"patch_sizes": [2, 3]}, "stage 2: patches of 3 do not tile a map of 4 x 4"),
        ({"reductions": [3, 1]}, "stage 1: a reduction of 3 does not divide a grid of 4 x 4"),
        ({"reductions": [2, 2]}, "stage 2: a reduction of 2 has no place for a class token"),
        ({"heads": [3, 3]}, "stage 1: 3 attention heads do not divide the width, dim 8"),
        ({"ratios": [2.0]}, "one value a stage"),
        ({"depths": [0, 1]}, "at least one block"),
        ({"stochastic_depth": -0.1}, "stochastic depth"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(changes, reason) -> None:
    """A model that cannot be built says why."""
    with pytest.raises(ValueError, match=reason):
        PyramidVisionTransformer((8, 8), 1, 10, **(TINY | changes))


def test_positions_of_every_stage_can_be_resampled() -> None:
    """Each stage's positions fit another image size, non-square too, and at their own size are unchanged."""
    small = _scrambled(PyramidVisionTransformer((8, 8), 1, 10, **TINY))
    large = _scrambled(PyramidVisionTransformer((8, 16), 1, 10, **TINY))
    for old, new in zip(small.stages, large.stages, strict=True):
        old_grid = old.embedding.grid
        patches = old.position.patches.detach()
        assert new.position.resampled("patches", patches, old_grid).shape == new.position.patches.shape
        assert torch.equal(old.position.resampled("patches", patches, old_grid), patches)
    prefix = small.stages[1].position.prefix.detach()
    assert torch.equal(large.stages[1].position.resampled("prefix", prefix, (2, 2)), prefix)


def test_the_class_token_of_the_last_stage_attends_too() -> None:
    """The last block's weights have a row and a column for the class token before the grid's four."""
    model = _scrambled(PyramidVisionTransformer((8, 8), 1, 10, **TINY))
    weights = model.last_self_attention(torch.randn(3, 1, 8, 8, dtype=torch.float64))
    assert weights.shape == (3, 3, 5, 5)
    received = model.attention_maps(torch.randn(3, 1, 8, 8, dtype=torch.float64))
    assert [tuple(each.shape) for each in received] == [(3, 2, 2, 2), (3, 2, 2, 2), (3, 3, 2, 2)]
