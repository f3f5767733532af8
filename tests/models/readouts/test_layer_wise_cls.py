"""CeiT's attention over the class tokens of all blocks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ablate.models.readouts.layer_wise_cls import LayerWiseClassToken


def scrambled(dim: int = 12, depth: int = 4, **options) -> LayerWiseClassToken:
    """A readout in float64 with no parameter at zero or one."""
    readout = LayerWiseClassToken(dim, depth, 0.0, **({"heads": 3} | options)).double()
    generator = torch.Generator().manual_seed(5)
    for parameter in readout.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return readout


def after_blocks(dim: int = 12, depth: int = 4, seed: int = 0) -> tuple[Tensor, ...]:
    """The tokens after each block: two images, the class token and five patches."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, 6, dim, generator=generator, dtype=torch.float64) for _ in range(depth))


@pytest.mark.parametrize("layer_embedding", [True, False])
def test_lca_is_its_formula(layer_embedding: bool) -> None:
    """Image by image and head by head, the weighted sum and both residuals as in the docstring, to 1e-12."""
    readout, blocks = scrambled(layer_embedding=layer_embedding), after_blocks()
    given = readout(blocks[-1], blocks)
    for image in range(2):
        x = torch.stack([block[image, 0] for block in blocks])
        if layer_embedding:
            x = x + readout.layers
        normed = F.layer_norm(x, (12,), readout.norm_1.weight, readout.norm_1.bias, 1e-6)
        q, k, v = readout.q(normed[3]), readout.k(normed), readout.v(normed)
        mixed = []
        for start in (0, 4, 8):
            own = slice(start, start + 4)
            logits = [sum(q[own] * k[layer, own]) / math.sqrt(4) for layer in range(4)]
            shares = [logit.exp() / sum(other.exp() for other in logits) for logit in logits]
            mixed.append(sum(share * v[layer, own] for layer, share in enumerate(shares)))
        y = x[3] + readout.out(torch.cat(mixed))
        normed_y = F.layer_norm(y, (12,), readout.norm_2.weight, readout.norm_2.bias, 1e-6)
        expected = y + readout.down(F.gelu(readout.up(normed_y)))
        torch.testing.assert_close(given[image], expected, rtol=0, atol=1e-12)


def test_its_attention_is_torchs_with_copied_weights() -> None:
    """With the feed-forward silenced, what is added to the last token is nn.MultiheadAttention's, to 1e-12."""
    readout, blocks = scrambled(), after_blocks()
    nn.init.zeros_(readout.down.weight)
    nn.init.zeros_(readout.down.bias)
    reference = nn.MultiheadAttention(12, 3, batch_first=True).double()
    reference.load_state_dict(
        {
            "in_proj_weight": torch.cat([layer.weight for layer in (readout.q, readout.k, readout.v)]),
            "in_proj_bias": torch.cat([layer.bias for layer in (readout.q, readout.k, readout.v)]),
            "out_proj.weight": readout.out.weight,
            "out_proj.bias": readout.out.bias,
        }
    )
    x = torch.stack([block[:, 0] for block in blocks], dim=1) + readout.layers
    normed = readout.norm_1(x)
    added = reference(normed[:, -1:], normed, normed)[0][:, 0]
    torch.testing.assert_close(readout(blocks[-1], blocks) - x[:, -1], added, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dim", "heads", "official"), [(192, 3, 444_864), (384, 6, 1_774_464), (768, 12, 7_087_872)])
def test_parameters_are_those_of_the_official_code(dim: int, heads: int, official: int) -> None:
    """CeiT's own module at depth 12, plus its layer embedding and the class token, in T, S and B."""
    with torch.device("meta"):
        readout = LayerWiseClassToken(dim, 12, 0.0, heads=heads)
    assert sum(p.numel() for p in readout.parameters()) == official + 12 * dim + dim


def test_the_rest_of_ceit_makes_up_the_published_totals() -> None:
    """With image-to-tokens, 12 LeFF blocks, positions, norm and head, T, S and B have 6.357, 24.205, 94.405 M."""
    for dim, published in ((192, 6.357), (384, 24.205), (768, 94.405)):
        image_to_tokens = 7 * 7 * 3 * 64 + 2 * 64 + (4 * 4 * 64 * dim + dim)
        attention = 4 * dim * dim + 4 * dim
        leff = (dim * 4 * dim + 4 * dim) + (9 * 4 * dim + 4 * dim) + (4 * dim * dim + dim) + 2 * (4 + 4 + 1) * dim
        block = attention + leff + 2 * 2 * dim
        rest = image_to_tokens + 12 * block + 197 * dim + 2 * dim + 1000 * dim + 1000
        with torch.device("meta"):
            readout = LayerWiseClassToken(dim, 12, 0.0, heads=dim // 64)
        total = rest + sum(p.numel() for p in readout.parameters())
        assert round(total / 1e6, 3) == published


def test_only_class_tokens_count() -> None:
    """Whatever the patches hold, the representation is the same, bit for bit."""
    readout, blocks = scrambled(), after_blocks()
    others = tuple(torch.cat((block[:, :1], 9 + 0 * block[:, 1:]), dim=1) for block in blocks)
    assert torch.equal(readout(blocks[-1], blocks), readout(others[-1], others))


@given(order=st.permutations(range(3)))
@settings(max_examples=6, deadline=None)
def test_without_layer_embedding_the_order_of_earlier_blocks_does_not_matter(order: list[int]) -> None:
    """Attention is a weighted sum over a set, so exchanging the keys changes nothing, to 1e-12."""
    readout, blocks = scrambled(layer_embedding=False), after_blocks()
    exchanged = (*(blocks[i] for i in order), blocks[3])
    torch.testing.assert_close(readout(blocks[3], blocks), readout(blocks[3], exchanged), rtol=0, atol=1e-12)


def test_the_layer_embedding_tells_the_blocks_apart() -> None:
    """With it, the order of the earlier blocks does matter."""
    readout, blocks = scrambled(), after_blocks()
    exchanged = (blocks[1], blocks[0], *blocks[2:])
    assert (readout(blocks[3], blocks) - readout(blocks[3], exchanged)).abs().max() > 1e-3


def test_a_final_norm_before_pooling_reaches_the_last_token() -> None:
    """The last class token is taken from the tokens handed over, not from the last block's."""
    readout, blocks = scrambled(), after_blocks()
    given = readout(2 * blocks[-1], blocks)
    torch.testing.assert_close(given, readout(2 * blocks[-1], (*blocks[:-1], 2 * blocks[-1])), rtol=0, atol=0)
    assert not torch.allclose(given, readout(blocks[-1], blocks))


def test_one_block_is_attention_to_itself() -> None:
    """At depth 1 the only weight is one: y = x + out(v(norm(x)))."""
    readout = scrambled(depth=1)
    nn.init.zeros_(readout.down.weight)
    nn.init.zeros_(readout.down.bias)
    (block,) = after_blocks(depth=1)
    x = block[:, 0] + readout.layers[0]
    expected = x + readout.out(readout.v(readout.norm_1(x)))
    torch.testing.assert_close(readout(block, (block,)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, "5 attention heads do not divide"),
        ({"heads": 0}, "0 attention heads"),
        ({"ratio": 0.0}, "hidden"),
    ],
)
def test_senseless_options_are_refused(options: dict, message: str) -> None:
    """Heads must divide the width, and a hidden unit must be left."""
    with pytest.raises(ValueError, match=message):
        LayerWiseClassToken(12, 4, 0.0, **({"heads": 3} | options))
