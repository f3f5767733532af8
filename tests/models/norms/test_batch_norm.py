"""Batch normalisation of tokens against its formula."""

from __future__ import annotations

import pytest
import torch

from ablate.models.init import initialise
from ablate.models.norms.batch_norm import BatchNorm


@pytest.mark.parametrize("shape", [(6, 3), (6, 5, 3)])
def test_each_channel_is_normalised_over_images_and_tokens(shape: tuple[int, ...]) -> None:
    """In training it is (x - mean) / sqrt(variance + eps) * gain + shift, a channel at a time, to 1e-12."""
    norm, x = BatchNorm(3, eps=0.01).double(), 3 * torch.randn(shape, dtype=torch.float64) + 2
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    normalised = norm(x)
    for channel in range(3):
        values = x[..., channel]
        deviation = (values.var(correction=0) + 0.01).sqrt()
        expected = (values - values.mean()) / deviation * (channel + 1) + channel
        torch.testing.assert_close(normalised[..., channel], expected, rtol=0, atol=1e-12)


def test_evaluation_uses_the_running_statistics() -> None:
    """After one batch at momentum .25 a quarter of its mean and variance counts, whatever else is in the batch."""
    norm, x = BatchNorm(3, momentum=0.25).double(), 3 * torch.randn(6, 5, 3, dtype=torch.float64) + 2
    norm(x)
    norm.eval()
    mean, variance = 0.25 * x.mean((0, 1)), 0.75 + 0.25 * x.flatten(0, 1).var(0)
    torch.testing.assert_close(norm(x), (x - mean) / (variance + 1e-5).sqrt(), rtol=0, atol=1e-12)
    torch.testing.assert_close(norm(x[2:3]), norm(x)[2:3], rtol=0, atol=1e-12)


def test_tokens_in_any_layout_are_read_alike() -> None:
    """A transposed view gives what its contiguous copy gives."""
    x = torch.randn(4, 3, 5).transpose(1, 2)
    torch.testing.assert_close(BatchNorm(3)(x), BatchNorm(3)(x.contiguous()), rtol=0, atol=1e-6)


def test_it_starts_at_one_and_zero() -> None:
    """Drawn by a scheme, gains are 1 and shifts 0."""
    norm = BatchNorm(3)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    initialise(norm, "jax", 0)
    assert torch.equal(norm.weight, torch.ones(3))
    assert torch.equal(norm.bias, torch.zeros(3))


@pytest.mark.parametrize(("options", "reason"), [({"eps": 0.0}, "positive eps"), ({"momentum": 0.0}, "momentum")])
def test_nonsense_is_refused(options: dict[str, float], reason: str) -> None:
    """An eps or a momentum of zero is an error that names it."""
    with pytest.raises(ValueError, match=reason):
        BatchNorm(3, **options)
