"""T2T-ViT's tokens-to-token."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from ablate.models.stems.token_transformer import TokenTransformer
from ablate.models.stems.tokens_to_token import TokensToToken

DIGITS = {"kernels": [3, 3, 3], "strides": [1, 2, 1], "paddings": [1, 1, 1], "token_dim": 8}


def scrambled(module: torch.nn.Module) -> torch.nn.Module:
    """Float64, eval mode, every parameter random."""
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module


def layer_norm(x: torch.Tensor, layer: torch.nn.LayerNorm) -> torch.Tensor:
    """(x - mean) / sqrt(variance + 1e-5), scaled and shifted."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


@pytest.mark.parametrize("kind", ["performer", "transformer"])
def test_a_token_transformer_is_its_formula(kind: str) -> None:
    """v + out(attention(q, k) v), then + MLP(LN): weights exp(q k / sqrt(width before)), or by features; to 1e-10."""
    layer = scrambled(TokenTransformer(10, 4, kind=kind, dropout=0.5, stream=0))
    tokens = torch.randn(2, 7, 10, dtype=torch.float64)
    q, k, v = F.linear(layer_norm(tokens, layer.norm_1), layer.qkv.weight, layer.qkv.bias).split(4, dim=-1)
    if kind == "transformer":
        weights = torch.exp(q @ k.mT / math.sqrt(10))
        assert layer.qkv.bias is None
    else:
        w = layer.performer.table
        phi_q, phi_k = (torch.exp(x @ w.T - (x * x).sum(-1, keepdim=True) / 2) / math.sqrt(2) for x in (q, k))
        weights = phi_q @ phi_k.mT
    y = v + layer.out(weights @ v / (weights.sum(-1, keepdim=True) + (1e-8 if kind == "performer" else 0)))
    hidden = layer.up(layer_norm(y, layer.norm_2))
    gelu = hidden / 2 * (1 + torch.erf(hidden / math.sqrt(2)))
    torch.testing.assert_close(layer(tokens), y + layer.down(gelu), rtol=0, atol=1e-10)


@pytest.mark.parametrize("layer", ["performer", "transformer"])
def test_splits_overlap_and_are_laid_out_as_maps_again(layer: str) -> None:
    """Split, layer, split, layer, split, project, each window cut out by hand, on 16 x 32 pixels; to 1e-10."""
    stem = scrambled(TokensToToken((16, 32), 3, 5, token_dim=4, layer=layer))
    images = torch.randn(2, 3, 16, 32, dtype=torch.float64)

    def windows(x: torch.Tensor, kernel: int, stride: int, padding: int) -> torch.Tensor:
        padded = F.pad(x, (padding,) * 4)
        rows, columns = x.shape[2] // stride, x.shape[3] // stride
        cut = [
            padded[:, :, stride * row : stride * row + kernel, stride * column : stride * column + kernel].flatten(1)
            for row in range(rows)
            for column in range(columns)
        ]
        return torch.stack(cut, dim=1)

    x = stem.transformers[0](windows(images, 7, 4, 2)).mT.reshape(2, 4, 4, 8)
    x = stem.transformers[1](windows(x, 3, 2, 1)).mT.reshape(2, 4, 2, 4)
    torch.testing.assert_close(stem(images), stem.projection(windows(x, 3, 2, 1)), rtol=0, atol=1e-10)
    assert stem.grid == (1, 2)


@pytest.mark.parametrize(
    ("dim", "layer", "parameters"),
    [
        (256, "performer", 313_574),
        (384, "performer", 387_430),
        (448, "performer", 424_358),
        (384, "transformer", 387_046),
    ],
)
def test_it_has_the_parameters_of_the_official_code(dim: int, layer: str, parameters: int) -> None:
    """The trained ones of `T2T_module` in T2T-ViT-7, -14, -19 and T2T-ViT_t-14 at 224 pixels, 14 x 14 tokens."""
    stem = TokensToToken((224, 224), 3, dim, layer=layer)
    assert sum(parameter.numel() for parameter in stem.parameters()) == parameters
    assert stem.grid == (14, 14)


def test_small_images_need_smaller_strides() -> None:
    """Strides of 1, 2, 1 make 16 tokens of an 8 x 8 digit."""
    stem = TokensToToken((8, 8), 1, 12, **DIGITS)
    assert stem.grid == (4, 4)
    assert stem(torch.randn(3, 1, 8, 8)).shape == (3, 16, 12)


def test_dropout_is_the_layers_own() -> None:
    """In training tokens vary with the dropout of .1 that the official Performer has, and without it they do not."""
    images = torch.randn(2, 1, 8, 8)
    stem = TokensToToken((8, 8), 1, 12, **DIGITS).train()
    assert {module.p for module in stem.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}
    assert not torch.equal(stem(images), stem(images))
    still = TokensToToken((8, 8), 1, 12, token_dropout=0.0, **DIGITS).train()
    assert torch.equal(still(images), still(images))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"strides": [4, 2]}, "there are 3, 2 and 3"),
        ({"kernels": [], "strides": [], "paddings": []}, "there are 0, 0 and 0"),
        ({"kernels": [3, 3, 3]}, "split 1, of kernel 3, stride 4 and padding 2, leaves out pixels"),
        ({"paddings": [2, 3, 1]}, "split 2, of kernel 3, stride 2 and padding 3, leaves out pixels or has"),
        (
            {"paddings": [2, 0, 1]},
            "split 2, of kernel 3, stride 2 and padding 0, does not give a token for every 2 x 2",
        ),
        ({"strides": [4, 2, 3]}, "split 3, .* does not give a token for every 3 x 3 of 4 x 4 places"),
        ({"layer": "linformer"}, "'performer' or 'transformer', not 'linformer'"),
        ({"token_dim": 1}, "token_dim of at least 2"),
    ],
)
def test_impossible_options_are_refused(options: dict, reason: str) -> None:
    """Every split has to cover its map, with one token for each square of its stride."""
    with pytest.raises(ValueError, match=reason):
        TokensToToken((32, 32), 3, 8, **options)


def test_an_image_that_the_strides_do_not_divide_is_refused() -> None:
    """24 x 32 pixels are not tiled by 16, although the last window would fit."""
    with pytest.raises(ValueError, match=r"split 3, .* for every 2 x 2 of 3 x 4 places"):
        TokensToToken((24, 32), 3, 8)
