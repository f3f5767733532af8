"""The assembled model: order of its parts, dropout, intermediates, gradients, state."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

EVERY = [
    {"readout": readout, "position": position, "position_covers": covers, "final_norm": norm, "head": head}
    for readout in ("gap", "cls")
    for position in ("none", "learned", "sincos2d")
    for covers in ("patches", "all")
    for norm in ("before_pooling", "after_pooling")
    for head in ("linear", "mlp")
]


def _entering_the_blocks(model, images):
    seen = []
    handle = model.blocks[0].register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    model(images)
    handle.remove()
    return seen[0]


def test_positions_of_patches_leave_the_class_token_alone(scrambled, images) -> None:
    """With `patches`, the class token enters the blocks as it is, and each patch with its position."""
    model = scrambled(readout="cls", position="learned")
    tokens = _entering_the_blocks(model, images)
    assert torch.equal(tokens[:, :1], model.readout.token.expand(3, 1, 32))
    assert torch.equal(tokens[:, 1:], model.stem(images) + model.position.patches)
    assert model.position.prefix is None


def test_positions_of_all_include_the_class_token(scrambled, images) -> None:
    """With `all`, the class token has a learned position of its own, and the patches keep theirs."""
    model = scrambled(readout="cls", position="learned", position_covers="all")
    tokens = _entering_the_blocks(model, images)
    expected = (model.readout.token + model.position.prefix).expand(3, 1, 32)
    assert torch.equal(tokens[:, :1], expected)
    assert torch.equal(tokens[:, 1:], model.stem(images) + model.position.patches)


def test_the_final_norm_stands_where_the_recipe_says(scrambled, images) -> None:
    """`before_pooling` averages normalised tokens, `after_pooling` normalises the average; they differ."""
    before, after = (scrambled(final_norm=f"{where}_pooling") for where in ("before", "after"))
    _, seen = before.forward_intermediates(images)
    torch.testing.assert_close(seen.representation, before.norm(seen.tokens[-1]).mean(1), rtol=0, atol=1e-12)
    _, seen_after = after.forward_intermediates(images)
    expected = after.norm(seen_after.tokens[-1].mean(1))
    torch.testing.assert_close(seen_after.representation, expected, rtol=0, atol=1e-12)
    assert (seen.representation - seen_after.representation).abs().max() > 1e-2


def test_the_class_token_is_the_same_on_either_side_of_the_norm(scrambled, images) -> None:
    """For the class token the place of the final norm changes nothing."""
    logits = [scrambled(readout="cls", final_norm=f"{w}_pooling")(images) for w in ("before", "after")]
    torch.testing.assert_close(*logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("changes", EVERY, ids=lambda c: "-".join(c.values()))
def test_every_combination_has_a_gradient_everywhere(changes, scrambled, images) -> None:
    """In every combination of parts, every parameter reaches the loss."""
    model = scrambled(**changes)
    logits = model(images)
    assert logits.shape == (3, 10)
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-8, name


def test_a_fresh_model_predicts_all_classes_alike(built, images) -> None:
    """With the head at zero (`jax`), the first logits are exactly zero."""
    assert not built(head="mlp")(images.float()).any()


def test_without_positions_the_order_of_patches_does_not_matter(scrambled, images) -> None:
    """Average pooling without positions sees a set of patches; with positions it does not."""
    rows = images.reshape(3, 1, 4, 2, 8)[:, :, [2, 0, 3, 1]].reshape(3, 1, 8, 8)
    without, with_positions = scrambled(position="none"), scrambled(position="sincos2d")
    torch.testing.assert_close(without(rows), without(images), rtol=0, atol=1e-11)
    assert (with_positions(rows) - with_positions(images)).abs().max() > 1e-3


def test_intermediates_agree_with_forward(scrambled, images) -> None:
    """The logits are those of `forward`, and each stage follows from the one before it."""
    model = scrambled(readout="cls", head="mlp")
    logits, seen = model.forward_intermediates(images, attention_weights=True)
    torch.testing.assert_close(logits, model(images), rtol=0, atol=1e-12)
    torch.testing.assert_close(seen.tokens[1], model.blocks[1](seen.tokens[0]), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.head(seen.representation), logits, rtol=0, atol=1e-12)
    assert [tokens.shape for tokens in seen.tokens] == [(3, 17, 32)] * 2
    assert [weights.shape for weights in seen.attention] == [(3, 4, 17, 17)] * 2
    for weights in seen.attention:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0, atol=1e-12)
    assert model.forward_intermediates(images)[1].attention is None


def test_dropout_stands_where_vit_puts_it(built, images) -> None:
    """Dropout follows the embedding (prefix included) and every dense layer but q, k, v and the head's."""
    model = built(dropout=0.1, readout="cls", head="mlp", depth=1)
    events, shapes = [], {}

    def record(name):
        def hook(_module, args, _output):
            events.append(name)
            shapes[name] = tuple(args[0].shape)

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Dropout | nn.GELU):
            module.register_forward_hook(record(name))
    model(images.float())
    assert events == [
        "stem.projection",
        "dropout",
        "blocks.0.mixer.qkv",
        "blocks.0.mixer.out",
        "blocks.0.mixer.dropout",
        "blocks.0.feed_forward.up",
        "blocks.0.feed_forward.activation",
        "blocks.0.feed_forward.dropout_up",
        "blocks.0.feed_forward.down",
        "blocks.0.feed_forward.dropout_down",
        "head.representation",
        "head.classifier",
    ]
    assert shapes["dropout"] == (3, 17, 32)
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.1}


def test_dropout_acts_in_training_alone(scrambled, images) -> None:
    """Dropout makes training passes differ; evaluation passes are equal, and equal to a model without it."""
    model, without = scrambled(dropout=0.1), scrambled(dropout=0.0)
    assert torch.equal(model(images), model(images))
    assert torch.equal(model(images), without(images))
    model.train()
    without.train()
    torch.manual_seed(0)
    assert not torch.equal(model(images), model(images))
    assert torch.equal(without(images), without.eval()(images))


def test_state_survives_a_round_trip(scrambled, built, images) -> None:
    """A state dict, saved and loaded safely into a fresh model, gives the same logits to the last bit."""
    changes = {"readout": "cls", "position": "learned", "position_covers": "all", "head": "mlp"}
    model, fresh = scrambled(**changes), built(**changes).double().eval()
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(fresh(images), model(images))


def test_state_holds_parameters_alone(built) -> None:
    """What the Recipe determines, such as the sincos2d table, is not in the state."""
    model = built()
    assert model.state_dict().keys() == dict(model.named_parameters()).keys()


@pytest.mark.parametrize("position", ["none", "sincos2d"])
def test_half_precision_is_confined_to_the_layers(scrambled, images, position) -> None:
    """Under bfloat16 autocast the residual stream and the logits stay in float32, near the full result."""
    model = scrambled(position=position).float()
    with torch.autocast("cpu", torch.bfloat16):
        logits, seen = model.forward_intermediates(images.float())
        direct = model(images.float())
    assert logits.dtype == direct.dtype == torch.float32
    assert all(tokens.dtype == torch.float32 for tokens in seen.tokens)
    full = model(images.float())
    assert (direct - full).norm() / full.norm() < 0.03
