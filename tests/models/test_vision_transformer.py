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
    dropouts = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert {p for name, p in dropouts.items() if "attention" in name} == {0.0}
    assert {p for name, p in dropouts.items() if "attention" not in name} == {0.1}


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


PLACES = ["every_layer", "every_layer_shared"]


def _around_the_blocks(model, images):
    """The tokens that enter each block, and those that leave the block before it (none before the first)."""
    entering, leaving = [], [None]

    def record(_module, args, output):
        entering.append(args[0])
        leaving.append(output)

    for block in model.blocks:
        block.register_forward_hook(record)
    model(images)
    return entering, leaving


@pytest.mark.parametrize("covers", ["patches", "all"])
@pytest.mark.parametrize("place", PLACES)
def test_positions_at_every_layer_are_added_before_each_block(scrambled, images, place, covers) -> None:
    """Each block gets the tokens of the one before it plus its table, its own or the shared one, to 1e-12."""
    model = scrambled(depth=3, readout="cls", position="learned", position_at=place, position_covers=covers)
    entering, leaving = _around_the_blocks(model, images)
    leaving[0] = model.readout.prepend(model.stem(images))
    own = [model.position, *model.later_positions]
    assert len(own) == (3 if place == "every_layer" else 1)
    for index in range(3):
        position = own[min(index, len(own) - 1)]
        expected = leaving[index].clone()
        expected[:, 1:] += position.patches
        if covers == "all":
            expected[:, :1] += position.prefix
        torch.testing.assert_close(entering[index], expected, rtol=0, atol=1e-12)


def test_blocks_have_positions_of_their_own_or_one_for_all(built) -> None:
    """Own ones are drawn each for itself, and the first and the shared one like that at the stem."""
    at = {place: built(depth=3, position="learned", position_at=place) for place in ("stem", *PLACES)}
    tables = [p.patches for p in (at["every_layer"].position, *at["every_layer"].later_positions)]
    assert not torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[1], tables[2])
    assert torch.equal(tables[0], at["stem"].position.patches)
    assert torch.equal(tables[0], at["every_layer_shared"].position.patches)


@pytest.mark.parametrize("mixer", ["self_attention", "re_attention"])
@pytest.mark.parametrize("place", PLACES)
def test_a_relative_position_is_a_bias_of_every_blocks_attention(scrambled, images, place, mixer) -> None:
    """The weights are the softmax of (q . k + q . r) / sqrt(E) with r of the block, none for the class token."""
    model = scrambled(
        readout="cls",
        position="relative",
        position_at=place,
        mixer={"name": mixer, "heads": 4} | ({"last_blocks": 0} if mixer == "re_attention" else {}),
    )
    logits, seen = model.forward_intermediates(images, attention_weights=True)
    torch.testing.assert_close(logits, model(images), rtol=0, atol=1e-12)
    before = [model.readout.prepend(model.stem(images)), seen.tokens[0]]
    for index, block in enumerate(model.blocks):
        q, k, _ = block.mixer.qkv(block.norm_1(before[index])).reshape(3, 17, 3, 4, 8).permute(2, 0, 3, 1, 4)
        vectors = (model.position if not index or place != "every_layer" else model.later_positions[0]).patches
        r = torch.zeros(17, 17, 8, dtype=torch.float64)
        for query in range(16):
            for key in range(16):
                r[1 + query, 1 + key] = vectors[key - query + 15]
        expected = ((q @ k.mT + torch.einsum("banr,nmr->banm", q, r)) / 8**0.5).softmax(-1)
        torch.testing.assert_close(seen.attention[index], expected, rtol=0, atol=1e-12)


def test_two_heads_read_two_tokens_and_their_mean_counts(scrambled, images) -> None:
    """DeiT's two representations have a head each; the logits are the mean of both."""
    model = scrambled(readout="cls_distilled")
    of_class, of_teacher = model.forward_heads(images)
    mean, seen = model.forward_intermediates(images)
    assert seen.representation.shape == (3, 2, 32)
    assert [tokens.shape for tokens in seen.tokens] == [(3, 18, 32)] * 2
    normed = model.norm(seen.tokens[-1])
    torch.testing.assert_close(of_class, model.head(normed[:, 0]), rtol=0, atol=1e-12)
    torch.testing.assert_close(of_teacher, model.distilled_head(normed[:, 1]), rtol=0, atol=1e-12)
    torch.testing.assert_close(mean, (of_class + of_teacher) / 2, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(images), mean, rtol=0, atol=1e-12)
    assert (of_class - of_teacher).abs().max() > 1e-3
    assert scrambled().distilled_head is None
    assert len(scrambled().forward_heads(images)) == 1


@pytest.mark.parametrize("place", ["before_pooling", "after_pooling"])
def test_a_readout_of_all_blocks_gets_the_tokens_after_each(scrambled, images, place) -> None:
    """Layer-wise class tokens are those after every block; a norm before the readout normalises the last alone."""
    model = scrambled(depth=3, readout={"name": "layer_wise_cls", "heads": 2}, final_norm=place)
    logits, seen = model.forward_intermediates(images)
    last, *before = reversed(seen.tokens)
    last = model.norm(last) if place == "before_pooling" else last
    read = model.readout(last, (*reversed(before), last))
    read = read if place == "before_pooling" else model.norm(read)
    torch.testing.assert_close(seen.representation, read, rtol=0, atol=1e-12)
    torch.testing.assert_close(logits, model(images), rtol=0, atol=1e-12)
    earlier = tuple(torch.zeros_like(tokens) for tokens in seen.tokens[:-1])
    assert (model.readout(last, (*earlier, last)) - model.readout(last, (*reversed(before), last))).abs().max() > 1e-3


def test_a_batch_norm_at_the_end_reads_pooled_and_unpooled_tokens(scrambled, images) -> None:
    """In training, two representations an image are normalised over images and representations."""
    model = scrambled(norm="batch_norm", readout="cls_distilled", final_norm="after_pooling").train()
    assert model(images).isfinite().all()
