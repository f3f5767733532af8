"""What holds for every readout: one image does not see another, and torch's transforms apply."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from ablate.models.readouts.cls import ClassToken
from ablate.models.readouts.cls_distilled import DistilledClassToken
from ablate.models.readouts.gap import GlobalAveragePool
from ablate.models.readouts.layer_wise_cls import LayerWiseClassToken
from ablate.models.readouts.map import AttentionPool

DEPTH = 3
READOUTS = {
    "gap": GlobalAveragePool,
    "cls": lambda: ClassToken(8),
    "cls_distilled": lambda: DistilledClassToken(8),
    "layer_wise_cls": lambda: LayerWiseClassToken(8, DEPTH, 0.1, heads=2, ratio=2.0),
    "map": lambda: AttentionPool(8, heads=2, ratio=2.0),
}
every_readout = pytest.mark.parametrize("name", READOUTS)


class Trunk(nn.Module):
    """The readout behind blocks that mix the tokens, as a model would call it."""

    def __init__(self, readout: nn.Module) -> None:
        super().__init__()
        self.readout = readout

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The representation, or both."""
        if self.readout.prefix_tokens:
            tokens_BND = self.readout.prepend(tokens_BND)
        blocks = []
        for _ in range(DEPTH):
            tokens_BND = tokens_BND + torch.sin(tokens_BND.mean(dim=1, keepdim=True) + tokens_BND)
            blocks.append(tokens_BND)
        if getattr(self.readout, "reads_blocks", False):
            return self.readout(tokens_BND, tuple(blocks))
        return self.readout(tokens_BND)


@pytest.fixture
def trunk() -> Callable[[str], Trunk]:
    """A readout by its name, in eval mode and float64, its parameters away from zero."""

    def make(name: str) -> Trunk:
        model = Trunk(READOUTS[name]()).double().eval()
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, dtype=torch.float64)
        return model

    return make


@pytest.fixture
def tokens() -> Tensor:
    """Three images of four patches."""
    return torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@every_readout
def test_an_image_is_read_by_itself(trunk, tokens: Tensor, name: str) -> None:
    """A batch gives what its images give one by one, to 1e-12."""
    model = trunk(name)
    singly = torch.cat([model(image) for image in tokens.split(1)])
    torch.testing.assert_close(model(tokens), singly, rtol=0, atol=1e-12)


@every_readout
def test_every_parameter_gets_a_gradient(trunk, tokens: Tensor, name: str) -> None:
    """A loss on what is read reaches each parameter; the key's bias alone is lost in the softmax."""
    model = trunk(name)
    model(tokens.requires_grad_()).square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12]
    assert silent == [n for n, _ in model.named_parameters() if n == "readout.k.bias"]
    assert all(p.grad is not None for p in model.parameters())


@every_readout
def test_stacked_models_are_mapped_over(trunk, tokens: Tensor, name: str) -> None:
    """vmap over the stacked parameters of two models gives what the two give, to 1e-12."""
    models = [trunk(name), trunk(name)]
    expected = torch.stack([model(tokens) for model in models])
    if not list(models[0].parameters()):
        assert torch.equal(*expected)
        return
    parameters, _ = stack_module_state(models)
    mapped = vmap(lambda own: functional_call(models[0], own, (tokens,)))(parameters)
    torch.testing.assert_close(mapped, expected, rtol=0, atol=1e-12)


@every_readout
def test_it_can_be_exported(trunk, tokens: Tensor, name: str) -> None:
    """The graph that torch.export records computes the same, to 1e-12."""
    model = trunk(name)
    exported = torch.export.export(model, (tokens,)).module()
    torch.testing.assert_close(exported(tokens), model(tokens), rtol=0, atol=1e-12)


@every_readout
def test_half_precision_is_near(trunk, tokens: Tensor, name: str) -> None:
    """Under autocast to bfloat16 the representation is within 3 % of full precision's."""
    model = trunk(name).float()
    full = model(tokens.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(tokens.float())
    assert (half.float() - full).norm() / full.norm() < 0.03


@pytest.mark.parametrize("name", ["layer_wise_cls"])
def test_dropout_acts_in_training_alone(trunk, tokens: Tensor, name: str) -> None:
    """Two passes differ in training, and are the same in eval mode."""
    model = trunk(name)
    assert torch.equal(model(tokens), model(tokens))
    model.train()
    assert not torch.equal(model(tokens), model(tokens))
