from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler

from ablate.recipe import Schedule
from ablate.training.schedule import learning_rate, rate_of_step, warmup_steps


def schedule(**fields: object) -> Schedule:
    given = {"epochs": 4, "batch_size": 8, "warmup_steps": 10, "warmup_epochs": None, "decay": "cosine"} | fields
    return Schedule.model_validate(given)


@pytest.fixture
def rates() -> Callable[..., list[float]]:
    return lambda peak, warmup, total, decay: [learning_rate(s, peak, warmup, total, decay) for s in range(total)]


def test_closed_form(rates: Callable[..., list[float]]) -> None:
    """big_vision's `create_learning_rate_schedule`, written as there: cosine of clipped progress times warm-up."""
    peak, warmup, total = 1e-3, 20, 100

    def big_vision(step: int) -> float:
        progress = min(max((step - warmup) / (total - warmup), 0.0), 1.0)
        return peak * 0.5 * (1 + math.cos(math.pi * progress)) * min(1.0, step / warmup)

    assert rates(peak, warmup, total, "cosine") == pytest.approx([big_vision(s) for s in range(total)], rel=1e-12)
    assert learning_rate(total, peak, warmup, total, "cosine") == pytest.approx(0.0, abs=1e-18)


@pytest.mark.parametrize("warmup", [0, 7])
def test_agrees_with_timm(rates: Callable[..., list[float]], warmup: int) -> None:
    """timm's cosine gives the same rates when it counts updates and its warm-up starts at 0 as a prefix."""
    peak, total = 3e-3, 60
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    theirs = CosineLRScheduler(
        optimiser,
        t_initial=total - warmup,
        warmup_t=warmup,
        warmup_prefix=True,
        warmup_lr_init=0.0,
        t_in_epochs=False,
    )
    expected = []
    for step in range(total):
        theirs.step_update(step)
        expected.append(optimiser.param_groups[0]["lr"])
    assert rates(peak, warmup, total, "cosine") == pytest.approx(expected, rel=1e-12)


def test_constant_stays_at_its_peak(rates: Callable[..., list[float]]) -> None:
    """Without decay the rate rises linearly and stays."""
    assert rates(1.0, 4, 8, "constant") == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("epochs", "expected"), [(0.0, 0), (0.001, 1), (0.5, 10), (2.0, 42)])
def test_warmup_in_epochs_becomes_updates(epochs: float, expected: int) -> None:
    """It is rounded to the nearest update, and a warm-up above zero is at least one."""
    assert warmup_steps(schedule(warmup_steps=None, warmup_epochs=epochs), 21) == expected


def test_warmup_as_long_as_the_training_is_refused() -> None:
    """A training that would never reach its peak rate is an error that names both lengths."""
    with pytest.raises(ValueError, match="a warm-up of 84 updates does not fit into a training of 84"):
        rate_of_step(schedule(warmup_steps=84), 1e-3, 21)
    assert rate_of_step(schedule(warmup_steps=83), 1e-3, 21)(83) == 1e-3
