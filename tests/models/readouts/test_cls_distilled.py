"""The class token and the distillation token."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from ablate.models.init import initialise
from ablate.models.readouts.cls import ClassToken
from ablate.models.readouts.cls_distilled import DistilledClassToken


def test_both_tokens_stand_in_front_and_are_read_in_that_order() -> None:
    """Class token, distillation token, patches; the first two come back as two representations."""
    readout = DistilledClassToken(4)
    nn.init.constant_(readout.token, 1.0)
    nn.init.constant_(readout.distillation, 2.0)
    tokens = readout.prepend(torch.zeros(3, 5, 4))
    assert tokens[:, :, 0].tolist() == [[1, 2, 0, 0, 0, 0, 0]] * 3
    assert readout(tokens)[:, :, 0].tolist() == [[1, 2]] * 3
    assert tokens.shape[1] - 5 == readout.prefix_tokens
    assert readout(tokens).shape[1] == readout.representations


def test_tokens_and_heads_are_those_of_timms_distilled_deit() -> None:
    """Behind the same blocks, the heads' logits of both tokens equal timm's, in their order, to 1e-12."""
    reference = timm.create_model(
        "deit_tiny_distilled_patch16_224", img_size=32, embed_dim=24, depth=1, num_classes=5
    ).double()
    for parameter in reference.parameters():
        nn.init.normal_(parameter, std=0.1)
    readout = DistilledClassToken(24).double()
    readout.load_state_dict({"token": reference.cls_token, "distillation": reference.dist_token})
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    tokens = readout.prepend(reference.patch_embed(images)) + reference.pos_embed
    first, second = readout(reference.norm(reference.blocks(tokens))).unbind(1)

    reference.set_distilled_training(True)
    logits, distilled_logits = reference.train()(images)
    torch.testing.assert_close(reference.head(first), logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(reference.head_dist(second), distilled_logits, rtol=0, atol=1e-12)
    mean = (reference.head(first) + reference.head_dist(second)) / 2
    torch.testing.assert_close(reference.eval()(images), mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scheme", ["jax", "truncated_normal"])
def test_the_class_token_starts_as_it_does_without_distillation(scheme: str) -> None:
    """A Variant with the second token shares the first values of the class token with one without it."""
    tokens = []
    for readout in (ClassToken(8), DistilledClassToken(8)):
        initialise(nn.ModuleDict({"readout": readout}), scheme, seed=3)
        tokens.append(readout.token)
    assert torch.equal(*tokens)
    if scheme == "truncated_normal":
        assert not torch.equal(readout.token, readout.distillation)
