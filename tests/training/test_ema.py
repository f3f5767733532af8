from __future__ import annotations

import io

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from ablate.recipe import Ema
from ablate.training.ema import Average


def make_model(dtype: torch.dtype = torch.float32) -> nn.Module:
    """With running statistics, whole and not, of a batch norm, and a table that is no part of the state."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).to(dtype)
    model.register_buffer("table", torch.ones(2, dtype=dtype), persistent=False)
    return model


@torch.no_grad()
def change(model: nn.Module, step: int) -> None:
    """Something like an update: parameters move, and the batch norm sees a batch."""
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    model(torch.randn(8, 3, generator=generator, dtype=next(model.parameters()).dtype))


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_without_warmup_it_is_timms() -> None:
    """Over 50 updates, parameters and statistics are bit for bit those of `ModelEmaV3` that is not told the step."""
    model = make_model()
    ours, theirs = Average(model, Ema(decay=0.9)), ModelEmaV3(model, decay=0.9)
    for step in range(50):
        change(model, step)
        ours.update(model, step)
        theirs.update(model)
        assert same(ours.state_dict(), theirs.module.state_dict())
    assert not torch.equal(ours.state_dict()["1.running_mean"], model.state_dict()["1.running_mean"])
    assert ours.state_dict()["1.num_batches_tracked"].item() == 50


def test_warmup_follows_the_formula() -> None:
    """The decay of update t is min(decay, (1 + t) / (10 + t)); 50 updates written out agree to 1e-12 in float64."""
    model = make_model(torch.float64)
    average = Average(model, Ema(decay=0.8, warmup=True))
    expected = copies(model.state_dict())
    for t in range(50):
        change(model, t)
        average.update(model, t)
        d = min(0.8, (1 + t) / (10 + t))
        expected = {name: d * expected[name] + (1 - d) * now for name, now in model.state_dict().items()}
        assert average.decay(t) == d
    del expected["1.num_batches_tracked"]
    for name, value in expected.items():
        torch.testing.assert_close(average.state_dict()[name], value, rtol=1e-12, atol=1e-15)
    assert average.decay(34) < 0.8 == average.decay(35)


def test_timms_warmup_is_another() -> None:
    """timm copies after the first update, then keeps 1 - (1 + t)^(-2/3): more than ours at first, and less later."""
    theirs, ours = ModelEmaV3(nn.Linear(1, 1), decay=0.9999, use_warmup=True), Average(nn.Linear(1, 1), _SLOW)
    assert theirs.get_decay(1) == 0.0  # timm counts the update itself
    for t, more in ((1, True), (100, True), (10_000, False)):
        assert theirs.get_decay(t + 1) == pytest.approx(1 - (1 + t) ** (-2 / 3))
        assert (theirs.get_decay(t + 1) > ours.decay(t)) == more


_SLOW = Ema(decay=0.9999, warmup=True)


def test_the_average_is_lent_to_the_model() -> None:
    """Within the context the model computes with the average; afterwards it is itself again, bit for bit."""
    model = make_model()
    average = Average(model, Ema(decay=0.9))
    for step in range(3):
        change(model, step)
        average.update(model, step)
    own, averaged = copies(model.state_dict()), copies(average.state_dict())
    places = [parameter.data_ptr() for parameter in model.parameters()]
    with average.applied_to(model):
        assert same(model.state_dict(), averaged)
        model.train()
        model(torch.randn(8, 3))  # whatever this does to the statistics
    assert same(model.state_dict(), own)
    assert same(average.state_dict(), averaged)
    assert places == [parameter.data_ptr() for parameter in model.parameters()]


def test_the_model_is_itself_again_after_an_error() -> None:
    """An evaluation that fails leaves the model's own weights in place."""
    model = make_model()
    average = Average(model, Ema(decay=0.9))
    change(model, 0)
    own = copies(model.state_dict())
    with pytest.raises(RuntimeError, match="no more"), average.applied_to(model):
        raise RuntimeError("no more")
    assert same(model.state_dict(), own)


def test_resumed_equals_uninterrupted() -> None:
    """Ten updates are, bit for bit, five and, after a restart from a file, five more."""
    model = make_model()
    straight = Average(model, _SLOW)
    resumed = Average(model, _SLOW)
    for step in range(10):
        change(model, step)
        straight.update(model, step)
        if step == 5:
            buffer = io.BytesIO()
            torch.save(resumed.state_dict(), buffer)
            buffer.seek(0)
            resumed = Average(make_model(), _SLOW)
            resumed.load_state_dict(torch.load(buffer, weights_only=True))
        resumed.update(model, step)
    assert same(straight.state_dict(), resumed.state_dict())


def test_the_average_of_another_model_is_refused() -> None:
    """Loading values of other parameters is an error that names them."""
    with pytest.raises(ValueError, match="bias"):
        Average(nn.Linear(2, 2, bias=False), _SLOW).load_state_dict(nn.Linear(2, 2).state_dict())


def test_it_leaves_the_model_alone() -> None:
    """Averaging changes no weight, and takes no share in a gradient."""
    model = make_model()
    average = Average(model, Ema())
    before = copies(model.state_dict())
    average.update(model, 0)
    assert same(model.state_dict(), before)
    assert not any(value.requires_grad for value in average.state_dict().values())
