"""The door to timm's models: building them, and looking inside."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.models.timm_door import attention_weights, build_timm, intermediate_features, window_attention_weights

VIT = {"patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
SWIN = {"patch_size": 1, "window_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2]}
PVT = {"depths": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 16], "num_heads": [1, 1, 2, 2]}
SMALL: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {
    "vit": ("vit_tiny_patch16_224", VIT, (8, 12)),
    "deit3": ("deit3_small_patch16_224", VIT, (8, 8)),
    "swin": ("swin_tiny_patch4_window7_224", SWIN, (8, 8)),
    "pvt_v2": ("pvt_v2_b0", PVT, (32, 32)),
    "resnet": ("resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}, (32, 32)),
    "regnet": ("regnetx_002", {}, (32, 32)),
}
every_family = pytest.mark.parametrize("family", SMALL)


def small(family: str, seed: int = 0) -> nn.Module:
    """A small model of the family for one channel and five classes."""
    name, options, size = SMALL[family]
    torch.manual_seed(seed)
    return build_timm(name, options, size, channels=1, classes=5)


def exact(family: str) -> nn.Module:
    """The same in eval mode and float64, its parameters away from where they start."""
    model = small(family).double().eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, dtype=torch.float64)
    return model


def images(family: str, count: int = 3) -> Tensor:
    """Images of the family's size, float64."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 1, *SMALL[family][2], generator=generator, dtype=torch.float64)


@every_family
def test_a_model_is_built_for_the_data_and_learns(family: str) -> None:
    """Logits have a column a class, and the loss gives every parameter a gradient."""
    model = small(family)
    logits = model(images(family).float())
    assert logits.shape == (3, 5)
    F.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@every_family
def test_a_state_goes_into_a_twin(family: str) -> None:
    """A model of another seed computes the same, bit for bit, after loading the first one's state."""
    first, second = small(family, seed=0).eval(), small(family, seed=1).eval()
    batch = images(family).float()
    assert not torch.equal(first(batch), second(batch))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(batch), second(batch))


@every_family
def test_weights_are_timms_own_draw_of_the_global_generator(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from timm itself after the same seed, even where timm drew numbers before it refused an image size."""
    name, options, size = SMALL[family]
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *given, **more: (torch.rand(1), create(*given, **more))[1])
    model = small(family, seed=3)
    sized = {"img_size": size} if family in ("vit", "deit3", "swin") else {}
    torch.manual_seed(3)
    reference = timm.create_model(name, num_classes=5, in_chans=1, **sized, **options)
    assert model.state_dict().keys() == reference.state_dict().keys()
    for ours, theirs in zip(model.state_dict().values(), reference.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("swin_tiny", {}, "timm has no model named 'swin_tiny'; did you mean 'swin"),
        ("resnet18.a1_in1k", {}, "a tag names pretrained weights, and training starts from scratch; did you mean"),
        ("pvt_v2_b0", {"embed_dim": 48}, "timm/pvt_v2_b0 has no option 'embed_dim'; allowed: .* 'embed_dims'?"),
        ("resnet18", {"pretrained": True}, "timm/resnet18: 'pretrained' is not for an option to decide"),
        ("regnetx_002", {"checkpoint_path": "w.pth"}, "'checkpoint_path' is not for an option to decide"),
        ("regnetx_002", {"widht": 3}, "timm/regnetx_002 cannot be built so: .*'widht'"),
        ("vit_tiny_patch16_224", VIT | {"num_heads": 3}, "cannot be built so: dim should be divisible by num_heads"),
        ("vit_tiny_patch16_224", VIT | {"global_pool": "best"}, "cannot be built so: Only avg, avgmax"),
        ("swin_tiny_patch4_window7_224", SWIN | {"num_heads": [2]}, "timm/swin_tiny_patch4_window7_224 cannot be"),
    ],
)
def test_what_does_not_fit_is_refused_with_timms_words(name: str, options: dict[str, Any], message: str) -> None:
    """Names, options and combinations that timm cannot build are a ValueError that says why."""
    with pytest.raises(ValueError, match=message):
        build_timm(name, options, (8, 8), channels=1, classes=5)


def test_a_model_that_does_not_classify_is_refused() -> None:
    """Some of timm's models give tokens to a language model, and drop the number of classes without a word."""
    with torch.device("meta"), pytest.raises(ValueError, match="qwen3_vit_88m_enc is an encoder without a classifier"):
        build_timm("qwen3_vit_88m_enc", {}, (64, 64), channels=3, classes=5)


def attention_by_hand(block: Any, tokens: Tensor, heads: int) -> Tensor:
    """Softmax(q k^T / sqrt(d)) from the rows of the qkv layer: q first, then k, head by head."""
    attention, normed = block.attn, block.norm1(tokens)
    q, k, _ = F.linear(normed, attention.qkv.weight, attention.qkv.bias).chunk(3, dim=-1)
    pairs = zip(q.chunk(heads, -1), k.chunk(heads, -1), strict=True)
    return torch.stack([(a @ b.mT / a.shape[-1] ** 0.5).softmax(-1) for a, b in pairs], dim=1)


@pytest.mark.parametrize("family", ["vit", "deit3"])
def test_attention_weights_are_the_formula_on_timms_weights(family: str) -> None:
    """Block after block, (B, A, N, N) as computed by hand, to 1e-12, though timm's attention is fused."""
    model, batch = exact(family), images(family)
    assert all(block.attn.fused_attn for block in model.blocks)
    given = attention_weights(model, batch)
    tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(batch))))
    for block, weights in zip(model.blocks, given, strict=True):
        torch.testing.assert_close(weights, attention_by_hand(block, tokens, heads=2), rtol=0, atol=1e-12)
        tokens = block(tokens)
    assert len(given) == 2


def test_looking_leaves_the_model_as_it_was() -> None:
    """Afterwards attention is fused again and no hook is left, even where the forward pass failed."""
    model = exact("vit")
    before = model(images("vit"))
    attention_weights(model, images("vit"))
    with pytest.raises(AssertionError, match="Input height"):
        attention_weights(model, torch.zeros(1, 1, 9, 9, dtype=torch.float64))
    assert all(block.attn.fused_attn for block in model.blocks)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(images("vit")), before)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("swin", "SwinTransformer attends within windows at .*; window_attention_weights gives them"),
        ("pvt_v2", r"attends from 64 queries to 1 keys at stages\.0"),
        ("resnet", "ResNet has no attention"),
    ],
)
def test_models_without_global_attention_say_so(family: str, message: str) -> None:
    """A TypeError names the model, the place and the reason."""
    with pytest.raises(TypeError, match=message):
        attention_weights(exact(family), images(family))
    if family != "swin":
        with pytest.raises(TypeError, match="is no Swin Transformer of timm"):
            window_attention_weights(exact(family), images(family))


def swin_by_hand(block: Any, tokens_BHWC: Tensor, side: int) -> Tensor:
    """Dense attention in which each token sees those of its shifted window and of its side of the border."""
    window, shift = block.window_size[0], block.shift_size[0]
    places = [(row, column) for row in range(side) for column in range(side)]
    moved = [((row - shift) % side, (column - shift) % side) for row, column in places]

    def region(place: tuple[int, int]) -> tuple[int, int]:
        # Rolling brings the far border beside the near one; the two must not see each other.
        return tuple(0 if not shift or at < side - window else 1 if at < side - shift else 2 for at in place)

    attention, normed = block.attn, block.norm1(tokens_BHWC).flatten(1, 2)
    q, k, _ = F.linear(normed, attention.qkv.weight, attention.qkv.bias).chunk(3, dim=-1)
    heads = []
    for head, (a, b) in enumerate(zip(q.chunk(2, -1), k.chunk(2, -1), strict=True)):
        logits = a @ b.mT / a.shape[-1] ** 0.5
        bias = torch.full((side**2, side**2), -torch.inf, dtype=torch.float64)
        for i, (row, column) in enumerate(moved):
            for j, (other_row, other_column) in enumerate(moved):
                if (row // window, column // window) == (other_row // window, other_column // window):
                    offset = (row - other_row + window - 1) * (2 * window - 1) + column - other_column + window - 1
                    masked = region(moved[i]) != region(moved[j])
                    bias[i, j] = attention.relative_position_bias_table[offset, head].item() - 100 * masked
        heads.append((logits + bias).softmax(-1))
    return torch.stack(heads, dim=1)


def test_window_weights_laid_out_on_the_grid_are_the_formula() -> None:
    """With and without shift, `dense` equals attention computed between all tokens by hand, to 1e-12."""
    model, batch = exact("swin"), images("swin", count=2)
    given = window_attention_weights(model, batch)
    assert [found.grid for found in given] == [(8, 8), (8, 8), (4, 4), (4, 4)]
    tokens = model.patch_embed(batch)
    blocks, shifts = iter(given), []
    for layer in model.layers:
        tokens = layer.downsample(tokens)
        for block in layer.blocks:
            expected = swin_by_hand(block, tokens, tokens.shape[1])
            torch.testing.assert_close(next(blocks).dense(), expected, rtol=0, atol=1e-12)
            tokens = block(tokens)
            shifts.append(block.shift_size)
    assert shifts == [(0, 0), (1, 1)] * 2


def test_windows_over_the_border_hold_padding() -> None:
    """On a 6 x 10 grid, windows of 4 pad to 8 x 12: each token is in one window, and padding counts as -1."""
    torch.manual_seed(0)
    options = SWIN | {"window_size": 4, "depths": [2], "num_heads": [2]}
    model = build_timm("swin_tiny_patch4_window7_224", options, (6, 10), channels=1, classes=5).eval()
    first, shifted = window_attention_weights(model, torch.randn(2, 1, 6, 10))
    for found in (first, shifted):
        assert (found.grid, found.weights.shape) == ((6, 10), (2, 6, 2, 16, 16))
        assert sorted(found.places.flatten().tolist()) == [-1] * 36 + list(range(60))
        torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 6, 2, 16), rtol=0, atol=1e-5)
    shares = first.dense().sum(-1).view(2, 2, 6, 10)
    # Windows that reach over the border give padding a share, which `dense` leaves out; inner ones do not.
    torch.testing.assert_close(shares[:, :, :4, :8], torch.ones(2, 2, 4, 8), rtol=0, atol=1e-5)
    assert max(shares[:, :, 4:].max(), shares[:, :, :, 8:].max()) < 0.9
    assert first.places[0].tolist() == [row * 10 + column for row in range(4) for column in range(4)]
    assert shifted.places[0].tolist() == [row * 10 + column for row in range(2, 6) for column in range(2, 6)]


@pytest.mark.parametrize(
    ("family", "shapes"),
    [
        ("vit", [(16, 2, 3)] * 2),
        ("swin", [(8, 8, 8), (16, 4, 4)]),
        ("pvt_v2", [(8, 8, 8), (8, 4, 4), (16, 2, 2), (16, 1, 1)]),
        ("resnet", [(64, 16, 16), (8, 8, 8), (8, 4, 4), (16, 2, 2), (16, 1, 1)]),
    ],
)
def test_intermediate_features_are_maps(family: str, shapes: list[tuple[int, int, int]]) -> None:
    """Channels, rows and columns after each block or stage, for each image."""
    maps = intermediate_features(exact(family), images(family))
    assert [tuple(found.shape) for found in maps] == [(3, *shape) for shape in shapes]


def test_a_vits_maps_are_its_patch_tokens() -> None:
    """Row by row on the grid, without the class token, equal to what the blocks give, bit for bit."""
    model, batch = exact("vit"), images("vit")
    tokens = model._pos_embed(model.patch_embed(batch))
    for block, found in zip(model.blocks, intermediate_features(model, batch), strict=True):
        tokens = block(tokens)
        assert torch.equal(found.flatten(2).mT, tokens[:, 1:])


def test_a_model_without_intermediate_features_says_so() -> None:
    """A TypeError names it."""
    with pytest.raises(TypeError, match="Linear does not expose its intermediate features"):
        intermediate_features(nn.Linear(2, 2), torch.zeros(1, 2))
