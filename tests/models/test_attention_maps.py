"""What models attend to: the formulas by hand, and every kind of model asked through the one door."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ablate.models.attention_maps import NoAttentionError, attention, intermediate_layers
from ablate.models.attention_readings import last_attention, rollout
from ablate.models.build import build
from ablate.models.cswin import CSWinTransformer
from ablate.models.pvt import PyramidVisionTransformer
from ablate.models.timm_door import attention_weights, build_timm

CSWIN: dict[str, Any] = {
    "dim": 8,
    "depths": [2, 1],
    "split_sizes": [2, 4],
    "heads": [2, 4],
    "stem_kernel": 3,
    "stem_stride": 1,
}
PVT: dict[str, Any] = {
    "dims": [8, 12],
    "depths": [1, 2],
    "heads": [2, 3],
    "ratios": [2.0, 2.0],
    "reductions": [2, 1],
    "patch_sizes": [2, 2],
}
VIT: dict[str, Any] = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
SWIN: dict[str, Any] = {"patch_size": 1, "window_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2]}
PVT2: dict[str, Any] = {"depths": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 16], "num_heads": [1, 1, 2, 2]}


def stirred(model: nn.Module) -> nn.Module:
    """In float64 and eval mode, every parameter moved."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model.eval()


def timms(name: str, options: dict[str, Any], size: tuple[int, int] = (8, 8)) -> nn.Module:
    return stirred(build_timm(name, options, size, channels=1, classes=5))


def batch(*size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 1, *size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float64)


def test_rollout_of_three_tokens_by_hand() -> None:
    """Two heads and two blocks worked out on paper: 0.5 W + 0.5 I of the later times that of the earlier, exactly."""
    one_head = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    other_head = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    first = torch.tensor([[one_head, other_head]], dtype=torch.float64)
    second = torch.tensor([[[[0, 0, 1], [0, 1, 0], [0, 0, 1]]]], dtype=torch.float64)
    expected = [[0.625, 0.125, 0.25], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]
    assert rollout([first, second]).tolist() == [expected]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), blocks=st.integers(1, 4), heads=st.integers(1, 3), tokens=st.integers(1, 6))
def test_rows_of_a_rollout_sum_to_one(seed: int, blocks: int, heads: int, tokens: int) -> None:
    """For any weights that are shares, each token is made of all tokens' inputs in shares that sum to 1, to 1e-12."""
    logits = 3 * torch.randn(blocks, 2, heads, tokens, tokens, generator=torch.Generator().manual_seed(seed)).double()
    rolled = rollout(list(logits.softmax(-1)))
    close(rolled.sum(-1), ones(2, tokens))
    assert rolled.min() >= 0


def test_rollout_refuses_what_it_cannot_multiply() -> None:
    """Weights that are no shares, and blocks of different numbers of tokens."""
    with pytest.raises(ValueError, match="no shares"):
        rollout([torch.tensor([[[[2.0, -1.0], [0.5, 0.5]]]])])
    with pytest.raises(ValueError, match="number of tokens changes"):
        rollout([torch.full((1, 1, 4, 4), 0.25), torch.full((1, 1, 2, 2), 0.5)])


def test_last_attention_takes_the_queries_that_are_read() -> None:
    """Of 2 prefix tokens and a grid of 1 x 2: the first, both, or the mean of the patches; prefix columns go."""
    weights = torch.arange(16.0).view(1, 1, 4, 4)
    assert last_attention(weights, (1, 2), 2, 1).tolist() == [[[[[2, 3]]]]]
    assert last_attention(weights, (1, 2), 2, 2).tolist() == [[[[[2, 3]]], [[[6, 7]]]]]
    assert last_attention(weights, (1, 2), 2, 0).tolist() == [[[[[12, 13]]]]]
    with pytest.raises(ValueError, match="4 tokens are not 1 and a grid of 2 x 2"):
        last_attention(weights, (2, 2), 1, 1)


def in_the_space(model_recipe, data_recipe, size: tuple[int, int], **changes: Any) -> Any:
    return stirred(build(model_recipe(**changes), data_recipe(), image_size=size))


def by_hand(model: Any, images: Tensor, index: int) -> Tensor:
    """softmax(q k^T / sqrt(E)) of a block, (B, A, N, N), head by head from the tokens that enter it."""
    _, seen = model.forward_intermediates(images)
    tokens = model.blocks[index].norm_1(seen.tokens[index - 1])
    mixer = model.blocks[index].mixer
    q, k, _ = (tokens @ mixer.qkv.weight.T + mixer.qkv.bias).chunk(3, dim=-1)
    heads = zip(q.chunk(mixer.heads, -1), k.chunk(mixer.heads, -1), strict=True)
    return torch.stack([(a @ b.mT / a.shape[-1] ** 0.5).softmax(-1) for a, b in heads], dim=1)


def test_the_class_tokens_attention_is_the_formula(model_recipe, data_recipe) -> None:
    """On a 4 x 6 grid, row 0 of softmax(q k^T / sqrt(E)) without its first column, to 1e-12; and its rollout."""
    model = in_the_space(model_recipe, data_recipe, (8, 12), readout="cls")
    images = batch(8, 12)
    found = attention(model, images)
    weights = by_hand(model, images, 1)
    (reading,) = found.readings
    assert (found.block, reading.query, found.no_rollout) == (2, "class token", "")
    close(reading.maps, weights[:, :, 0, 1:].reshape(2, 4, 4, 6))
    _, seen = model.forward_intermediates(images, attention_weights=True)
    close(reading.rollout, rollout(seen.attention)[:, 0, 1:].reshape(2, 4, 6))


def test_an_average_reads_what_all_tokens_read(model_recipe, data_recipe) -> None:
    """With GAP the maps are the mean over the queries, and maps and rollout sum to 1, to 1e-12."""
    model = in_the_space(model_recipe, data_recipe, (8, 12))
    (reading,) = attention(model, batch(8, 12)).readings
    assert reading.query == "mean over all queries"
    close(reading.maps, by_hand(model, batch(8, 12), 1).mean(2).reshape(2, 4, 4, 6))
    close(reading.rollout.sum((-2, -1)), ones(2))


def test_a_distilled_model_has_two_readings(model_recipe, data_recipe) -> None:
    """The class token's row comes first, then the distillation token's."""
    model = in_the_space(model_recipe, data_recipe, (8, 8), readout="cls_distilled")
    found = attention(model, batch(8, 8))
    weights = by_hand(model, batch(8, 8), 1)
    assert [reading.query for reading in found.readings] == ["class token", "distillation token"]
    for row, reading in enumerate(found.readings):
        close(reading.maps, weights[:, :, row, 2:].reshape(2, 4, 4, 4))


@pytest.mark.parametrize("final_norm", ["before_pooling", "after_pooling"])
def test_a_pooling_probe_reads_the_tokens_itself(model_recipe, data_recipe, final_norm: str) -> None:
    """MAP: the probe's softmax over the tokens that the readout is given, to 1e-12; its rollout sums to 1."""
    readout = {"name": "map", "heads": 4}
    model = in_the_space(model_recipe, data_recipe, (8, 8), readout=readout, final_norm=final_norm)
    images, pool = batch(8, 8), model.readout
    (reading,) = attention(model, images).readings
    _, seen = model.forward_intermediates(images)
    tokens = model.norm(seen.tokens[-1]) if final_norm == "before_pooling" else seen.tokens[-1]
    q, k = pool.q(pool.probe)[0], pool.k(tokens)
    heads = zip(q.chunk(4, -1), k.chunk(4, -1), strict=True)
    expected = torch.stack([(k_BNE @ q_1E[0] / 8**0.5).softmax(-1) for q_1E, k_BNE in heads], dim=1)
    assert reading.query == "pooling probe"
    close(reading.maps.flatten(2), expected)
    close(reading.rollout.sum((-2, -1)), ones(2))


def test_an_earlier_block_is_rolled_out_up_to_itself(model_recipe, data_recipe) -> None:
    """Block 1 of 2 shows its own weights, and the rollout of that block alone."""
    model = in_the_space(model_recipe, data_recipe, (8, 8), readout="cls")
    images = batch(8, 8)
    _, seen = model.forward_intermediates(images, attention_weights=True)
    (reading,) = attention(model, images, 1).readings
    close(reading.maps, seen.attention[0][:, :, 0, 1:].reshape(2, 4, 4, 4))
    close(reading.rollout, 0.5 * seen.attention[0].mean(1)[:, 0, 1:].reshape(2, 4, 4))
    for block in (0, 3):
        with pytest.raises(ValueError, match=f"no block {block}: this model's are 1 to 2"):
            attention(model, images, block)


def test_re_attention_has_maps_and_no_rollout(model_recipe, data_recipe) -> None:
    """Its weights may be negative: they are shown, and the rollout is left out with the reason."""
    model = in_the_space(model_recipe, data_recipe, (8, 8), mixer={"name": "re_attention", "heads": 4})
    found = attention(model, batch(8, 8))
    assert found.readings[0].maps.min() < 0
    assert found.readings[0].rollout is None
    assert "no shares" in found.no_rollout


@pytest.mark.parametrize("mixer", [{"name": "token_mlp", "hidden": 8}, {"name": "cross_patch_linear"}])
def test_a_mixer_without_attention_still_has_features(model_recipe, data_recipe, mixer: dict[str, Any]) -> None:
    """The error names what mixes the tokens; the features of each block are there."""
    model = in_the_space(model_recipe, data_recipe, (8, 12), mixer=mixer)
    with pytest.raises(NoAttentionError, match=r"mixed by (TokenMLP|CrossPatchLinear), which has no attention"):
        attention(model, batch(8, 12))
    assert [tuple(map_.shape) for map_ in intermediate_layers(model, batch(8, 12))] == [(2, 32, 4, 6)] * 2


def test_features_lie_where_their_patches_do(model_recipe, data_recipe) -> None:
    """Row by row on the grid, the class token left out; equal to the tokens after each block."""
    model = in_the_space(model_recipe, data_recipe, (8, 12), readout="cls")
    _, seen = model.forward_intermediates(batch(8, 12))
    for found, tokens in zip(intermediate_layers(model, batch(8, 12)), seen.tokens, strict=True):
        close(found[:, :, 1, 2], tokens[:, 1 + 1 * 6 + 2])


def test_pvt_shows_its_class_token_and_what_reduced_grids_receive() -> None:
    """The last stage attends over all tokens; an earlier block's map is its mean over queries and sums to 1."""
    model, images = stirred(PyramidVisionTransformer((8, 8), 1, 5, **PVT)), batch(8, 8)
    (last,) = attention(model, images).readings
    assert last.query == "class token"
    close(last.maps, model.last_self_attention(images)[:, :, 0, 1:].reshape(2, 3, 2, 2))
    (first,) = attention(model, images, 1).readings
    assert first.query.startswith("attention received")
    close(first.maps.sum((-2, -1)), ones(2, 2))
    # In the last stage the class token receives some as well.
    (second,) = attention(model, images, 2).readings
    assert (second.maps.sum((-2, -1)) < 1).all()
    assert "grid" in attention(model, images).no_rollout
    assert [tuple(map_.shape[1:]) for map_ in intermediate_layers(model, images)] == [(8, 4, 4), *[(12, 2, 2)] * 2]


def test_cswin_shows_its_last_stage_and_what_stripes_receive() -> None:
    """One window of everything gives the mean over queries; stripes give what is received. Both sum to 1."""
    model, images = stirred(CSWinTransformer((8, 8), 1, 5, **CSWIN)), batch(8, 8)
    (last,) = attention(model, images).readings
    close(last.maps, model.last_self_attention(images).mean(2).reshape(2, 4, 4, 4))
    striped = stirred(CSWinTransformer((8, 8), 1, 5, **CSWIN | {"split_sizes": [2, 2]}))
    for block in (1, None):
        (reading,) = attention(striped, images, block).readings
        assert reading.rollout is None
        assert reading.query.startswith("attention received")
        close(reading.maps.sum((-2, -1)), ones(*reading.maps.shape[:2]))


@pytest.mark.parametrize(
    ("name", "options", "prefix", "queries"),
    [
        ("vit_tiny_patch16_224", VIT, 1, ["class token"]),
        ("vit_tiny_patch16_224", VIT | {"reg_tokens": 3}, 4, ["class token"]),
        ("vit_tiny_patch16_224", VIT | {"global_pool": "avg"}, 1, ["mean over all queries"]),
        ("deit_tiny_distilled_patch16_224", VIT, 2, ["class token", "distillation token"]),
    ],
)
def test_timms_vits_are_read_as_their_heads_read_them(
    name: str, options: dict[str, Any], prefix: int, queries: list[str]
) -> None:
    """Registers are no queries, an averaging model has no class query, and a distilled one has two; on a 2 x 3 grid."""
    model, images = timms(name, options, (8, 12)), batch(8, 12)
    found = attention(model, images)
    weights = attention_weights(model, images)[-1]
    assert [reading.query for reading in found.readings] == queries
    averaged = queries[0].startswith("mean")
    for row, reading in enumerate(found.readings):
        expected = weights[:, :, prefix:].mean(2) if averaged else weights[:, :, row]
        close(reading.maps, expected[..., prefix:].reshape(2, 2, 2, 3))
        assert reading.rollout is not None


def test_timms_swin_shows_its_last_stage_and_its_windows() -> None:
    """A last window of everything gives global attention; in an earlier block what each place receives sums to 1."""
    model, images = timms("swin_tiny_patch4_window7_224", SWIN), batch(8, 8)
    (last,) = attention(model, images).readings
    assert last.query == "mean over all queries"
    assert last.maps.shape == (2, 2, 4, 4)
    (first,) = attention(model, images, 1).readings
    assert first.query.startswith("attention received")
    assert first.maps.shape == (2, 2, 8, 8)
    for reading in (last, first):
        close(reading.maps.sum((-2, -1)), ones(2, 2))
    # A window holds a quarter of the queries, and what they give stays in it.
    close(first.maps[..., :4, :4].sum((-2, -1)), ones(2, 2) / 4)


def test_timms_pvt_shows_its_last_stage_alone() -> None:
    """Its last stage is global; earlier blocks attend to other keys than their queries, and say so."""
    model, images = timms("pvt_v2_b0", PVT2, (64, 64)), batch(64, 64)
    found = attention(model, images)
    assert found.readings[0].maps.shape == (2, 2, 2, 2)
    close(found.readings[0].maps.sum((-2, -1)), ones(2, 2))
    assert found.readings[0].rollout is None
    with pytest.raises(NoAttentionError, match="keys"):
        attention(model, images, 1)


def test_what_has_no_attention_says_so() -> None:
    """A convolutional network of timm, and a class of which nothing is known."""
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
    model = timms("resnet18", options, (32, 32))
    with pytest.raises(NoAttentionError, match="timm's ResNet has no attention"):
        attention(model, batch(32, 32))
    assert len(intermediate_layers(model, batch(32, 32))) == 5
    with pytest.raises(NoAttentionError, match="Linear attends is not known"):
        attention(nn.Linear(1, 1), batch(8, 8))
    with pytest.raises(ValueError, match="Linear computes its features is not known"):
        intermediate_layers(nn.Linear(1, 1), batch(8, 8))
