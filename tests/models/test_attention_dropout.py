"""Dropout of attention weights: where it acts, where it does not, and who refuses it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers import Attention
from torch import Tensor, nn

from ablate.models.build import build
from ablate.models.mixers.re_attention import ReAttention
from ablate.models.mixers.self_attention import SelfAttention
from ablate.models.vision_transformer import VisionTransformer

TOKENS = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(1))


def drawn(mixer: nn.Module) -> Any:
    """With weights that make attention far from uniform, in training."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return mixer.train()


def kept(shape: tuple[int, ...], probability: float, seed: int) -> Tensor:
    """The factors of a dropout mask as torch draws it from this seed."""
    torch.manual_seed(seed)
    return F.dropout(torch.ones(shape), probability)


def test_written_out_it_is_timms_to_the_mask() -> None:
    """From one seed, weights and branch are those of timm's attention with attn_drop, to 1e-6 of the largest."""
    ours = drawn(SelfAttention(8, 0.0, 0.4, heads=2))
    theirs = Attention(8, num_heads=2, qkv_bias=True, attn_drop=0.4).train()
    theirs.fused_attn = False
    theirs.load_state_dict({k.replace("out.", "proj."): v for k, v in ours.state_dict().items()})
    torch.manual_seed(5)
    branch, weights = ours.forward_with_weights(TOKENS)
    torch.manual_seed(5)
    expected = theirs(TOKENS)
    torch.testing.assert_close(branch, expected, rtol=0, atol=1e-6 * expected.abs().max().item())
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 2, 6))


def test_fused_and_written_out_have_one_distribution() -> None:
    """Means over 4,000 draws agree with the undropped branch, and deviations with one another, to five errors."""
    mixer = drawn(SelfAttention(8, 0.0, 0.4, heads=2))
    tokens = TOKENS[:1].expand(4000, -1, -1)
    torch.manual_seed(0)
    fused, written = mixer(tokens), mixer.forward_with_weights(tokens)[0]
    whole = mixer.eval()(TOKENS[:1])
    for branch in (fused, written):
        error = branch.std(0) / 4000**0.5
        assert ((branch.mean(0) - whole[0]).abs() < 5 * error + 1e-4).all()
    # The relative error of a standard deviation of n draws is about sqrt((kurtosis - 1) / 4n): .03 is generous.
    torch.testing.assert_close(fused.std(0), written.std(0), rtol=0.15, atol=0)


def test_half_precision_on_a_cpu_drops_too() -> None:
    """The path that is written out for bfloat16 has the mask of its seed, within rounding (5 percent)."""
    mixer = drawn(SelfAttention(8, 0.0, 0.4, heads=2))
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter *= 0.3
    q, k, v = mixer._project(TOKENS)
    weights = (q @ k.mT / 2).softmax(-1) * kept((4, 2, 6, 6), 0.4, 7)
    expected = mixer.out((weights @ v).transpose(1, 2).flatten(2))
    torch.manual_seed(7)
    half = mixer.bfloat16()(TOKENS.bfloat16()).float()
    assert (half - expected).norm() / expected.norm() < 0.05


def test_re_attention_drops_before_theta() -> None:
    """Norm(Theta^T dropout(softmax(q k^T / 2))) v with the mask of the seed, as the official code has it, to 1e-5."""
    mixer = drawn(ReAttention(8, 1, 0, 0.0, 0.4, heads=2, norm="none"))
    q, k, v = mixer._project(TOKENS)
    dropped = (q @ k.mT / 2).softmax(-1) * kept((4, 2, 6, 6), 0.4, 7)
    maps = torch.einsum("ha,baqk->bhqk", mixer.theta.weight[:, :, 0, 0], dropped) + mixer.theta.bias[:, None, None]
    expected = mixer.out((maps @ v).transpose(1, 2).flatten(2))
    torch.manual_seed(7)
    given = mixer(TOKENS)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_blocks_before_re_attention_drop_too() -> None:
    """A plain block of re_attention draws in training, and not in evaluation."""
    mixer = drawn(ReAttention(8, 2, 0, 0.0, 0.4, heads=2, last_blocks=1))
    assert mixer.theta is None
    assert not torch.equal(mixer(TOKENS), mixer(TOKENS))
    mixer.eval()
    assert torch.equal(mixer(TOKENS), mixer(TOKENS))


@pytest.mark.parametrize("mixer", ["self_attention", "re_attention"])
def test_the_models_field_reaches_every_block(mixer: str, model_recipe: Any, data_recipe: Any) -> None:
    """Each block's mixer has the probability; without the field, none, and the model draws nothing."""
    changes = {"mixer": {"name": mixer, "heads": 4}}
    model = build(model_recipe(attention_dropout=0.25, **changes), data_recipe())
    assert isinstance(model, VisionTransformer)
    assert [block.mixer.attention_dropout.p for block in model.blocks] == [0.25, 0.25]
    plain = build(model_recipe(**changes), data_recipe()).train()
    before = torch.get_rng_state()
    plain(torch.randn(2, 1, 8, 8, generator=torch.Generator()))
    assert torch.equal(before, torch.get_rng_state())


def test_at_zero_the_fused_kernel_is_called_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weight is dropped in training at probability 0, nor in evaluation at any other."""
    probabilities = []
    fused = F.scaled_dot_product_attention

    def noted(*arguments: Any, **named: Any) -> Tensor:
        probabilities.append(named["dropout_p"])
        return fused(*arguments, **named)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    SelfAttention(8, 0.5, heads=2).train()(TOKENS)
    SelfAttention(8, 0.5, 0.3, heads=2).eval()(TOKENS)
    SelfAttention(8, 0.5, 0.3, heads=2).train()(TOKENS)
    assert probabilities == [0.0, 0.0, 0.3]


OWN = """
    from torch import nn

    class Deaf(nn.Module):
        def __init__(self, dim):
            super().__init__()

        def forward(self, tokens):
            return tokens

    class Own(Deaf):
        def __init__(self, dim, *, attention_dropout: float = 0.5):
            super().__init__(dim)

    class Hears(Deaf):
        def __init__(self, attention_dropout):
            super().__init__(4)
            self.heard = attention_dropout
"""


@pytest.fixture
def mixers_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `mixers_of_mine` on the path."""
    (tmp_path / "mixers_of_mine.py").write_text(textwrap.dedent(OWN), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    "mixer",
    ["none", {"name": "token_mlp", "hidden": 4}, "cross_patch_linear", "mixers_of_mine:Deaf", "mixers_of_mine:Own"],
)
@pytest.mark.usefixtures("mixers_of_mine")
def test_a_mixer_without_attention_weights_refuses_it(mixer: Any, model_recipe: Any, data_recipe: Any) -> None:
    """So does one whose option of that name is its own; at 0 each is built."""
    with pytest.raises(ValueError, match=r"attention_dropout needs a mixer that takes it, and mixer '.*' has no"):
        build(model_recipe(mixer=mixer, attention_dropout=0.1), data_recipe())
    build(model_recipe(mixer=mixer), data_recipe())


@pytest.mark.usefixtures("mixers_of_mine")
def test_a_mixer_of_the_users_own_may_ask_for_it(model_recipe: Any, data_recipe: Any) -> None:
    """By the name of a positional parameter, as for all of the context."""
    model = build(model_recipe(mixer="mixers_of_mine:Hears", attention_dropout=0.1), data_recipe())
    assert isinstance(model, VisionTransformer)
    assert [block.mixer.heard for block in model.blocks] == [0.1, 0.1]
