from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.poly_lr import PolyLRScheduler

from ablate.recipe import Schedule
from ablate.training.schedule import rate_of_step, warmup_steps


def schedule(**fields: object) -> Schedule:
    given = {"epochs": 4, "batch_size": 8, "warmup_steps": 10, "warmup_epochs": None, "decay": "cosine"} | fields
    return Schedule.model_validate(given)


def rates(peak: float, steps_per_epoch: int, **fields: object) -> list[float]:
    chosen = schedule(**fields)
    return list(map(rate_of_step(chosen, peak, steps_per_epoch), range(chosen.epochs * steps_per_epoch)))


def of_timm(kind: Any, peak: float, times: int, **arguments: object) -> list[float]:
    """The rates of a timm scheduler that is told the time, in its own unit, before each of ``times``."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    scheduler = kind(optimiser, **arguments)
    found = []
    for time in range(times):
        (scheduler.step if arguments["t_in_epochs"] else scheduler.step_update)(time)
        found.append(optimiser.param_groups[0]["lr"])
    return found


@settings(max_examples=50, deadline=None)
@given(
    peak=st.floats(1e-8, 10.0),
    warmup=st.integers(0, 79),
    decay=st.sampled_from(["cosine", "constant"]),
    step=st.integers(0, 79),
)
def test_without_options_the_rates_are_big_visions_bit_for_bit(peak: float, warmup: int, decay: str, step: int) -> None:
    """Trials trained before there was anything else to choose keep their rates to the last bit."""
    if step < warmup:
        expected = peak * step / warmup
    elif decay == "constant":
        expected = peak
    else:
        expected = peak * 0.5 * (1.0 + math.cos(math.pi * min((step - warmup) / (80 - warmup), 1.0)))
    assert rate_of_step(schedule(warmup_steps=warmup, decay=decay), peak, 20)(step) == expected


def test_closed_form() -> None:
    """big_vision's `create_learning_rate_schedule`, written as there: cosine of clipped progress times warm-up."""
    peak, warmup, total = 1e-3, 20, 100

    def big_vision(step: int) -> float:
        progress = min(max((step - warmup) / (total - warmup), 0.0), 1.0)
        return peak * 0.5 * (1 + math.cos(math.pi * progress)) * min(1.0, step / warmup)

    assert rates(peak, 25, warmup_steps=warmup) == pytest.approx([big_vision(s) for s in range(total)], rel=1e-12)
    assert rate_of_step(schedule(warmup_steps=warmup), peak, 25)(total) == pytest.approx(0.0, abs=1e-18)


@pytest.mark.parametrize("decay", ["cosine", "linear"])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("warmup", [0, 7])
def test_agrees_with_timm_update_by_update(warmup: int, inside: bool, decay: str) -> None:
    """Every rate of a training is timm's, to a relative 1e-12: of its cosine, and of its polynomial of power 1."""
    peak, steps_per_epoch, epochs = 3e-3, 15, 4
    total = epochs * steps_per_epoch
    kind, power = (CosineLRScheduler, {}) if decay == "cosine" else (PolyLRScheduler, {"power": 1.0})
    expected = of_timm(
        kind, peak, total, t_in_epochs=False, t_initial=total if inside else total - warmup, warmup_t=warmup,
        warmup_prefix=not inside, warmup_lr_init=1e-4, lr_min=2e-5, **power,
    )  # fmt: skip
    ours = rates(
        peak, steps_per_epoch, decay=decay, warmup_steps=warmup, warmup_inside=inside, warmup_rate=1e-4, final_rate=2e-5
    )
    assert ours == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("inside", [False, True])
def test_agrees_with_timm_epoch_by_epoch(inside: bool) -> None:
    """With `every_epoch`, all updates of an epoch have the rate that timm has for it, to a relative 1e-12."""
    epochs, warmup, steps_per_epoch = 30, 4, 9
    expected = of_timm(
        CosineLRScheduler, 1e-3, epochs, t_in_epochs=True, t_initial=epochs if inside else epochs - warmup,
        warmup_t=warmup, warmup_prefix=not inside, warmup_lr_init=1e-6, lr_min=1e-5,
    )  # fmt: skip
    ours = rates(
        1e-3, steps_per_epoch, epochs=epochs, warmup_steps=None, warmup_epochs=4.0, warmup_inside=inside,
        warmup_rate=1e-6, final_rate=1e-5, rate_changes="every_epoch",
    )  # fmt: skip
    assert ours == pytest.approx([rate for rate in expected for _ in range(steps_per_epoch)], rel=1e-12)


def test_deit() -> None:
    """DeiT's 300 epochs: five from 1e-6 up, then where the cosine to 1e-5 has come; written out, and timm's."""
    ours = rates(
        1e-3, 3, epochs=300, warmup_steps=None, warmup_epochs=5.0, warmup_inside=True,
        warmup_rate=1e-6, final_rate=1e-5, rate_changes="every_epoch",
    )[::3]  # fmt: skip
    cosine = [1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + math.cos(math.pi * epoch / 300)) for epoch in range(300)]
    expected = [1e-6, 2.008e-4, 4.006e-4, 6.004e-4, 8.002e-4, *cosine[5:]]
    assert ours == pytest.approx(expected, rel=1e-12)
    timms = of_timm(
        CosineLRScheduler, 1e-3, 300, t_in_epochs=True, t_initial=300, warmup_t=5, warmup_lr_init=1e-6, lr_min=1e-5
    )
    assert ours == pytest.approx(timms, rel=1e-12)


def test_constant_stays_at_its_peak() -> None:
    """Without decay the rate rises linearly and stays."""
    found = rates(1.0, 2, decay="constant", warmup_steps=4)
    assert found == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("epochs", "expected"), [(0.0, 0), (0.001, 1), (0.5, 10), (2.0, 42)])
def test_warmup_in_epochs_becomes_updates(epochs: float, expected: int) -> None:
    """It is rounded to the nearest update, and a warm-up above zero is at least one."""
    assert warmup_steps(schedule(warmup_steps=None, warmup_epochs=epochs), 21) == expected


def test_warmup_as_long_as_the_training_is_refused() -> None:
    """A training that would never reach its peak rate is an error that names both lengths."""
    with pytest.raises(ValueError, match="a warm-up of 84 updates does not fit into a training of 84"):
        rate_of_step(schedule(warmup_steps=84), 1e-3, 21)
    assert rate_of_step(schedule(warmup_steps=83), 1e-3, 21)(83) == 1e-3


def test_warmup_beyond_the_last_rate_is_refused() -> None:
    """Where the rate changes by the epoch, the warm-up must be over when the last epoch begins."""
    with pytest.raises(ValueError, match="whose last rate is that of its last epoch's first update, number 63"):
        rate_of_step(schedule(warmup_steps=64, rate_changes="every_epoch"), 1e-3, 21)
    assert rate_of_step(schedule(warmup_steps=63, rate_changes="every_epoch"), 1e-3, 21)(83) == 1e-3


@pytest.mark.parametrize("field", ["warmup_rate", "final_rate"])
def test_rates_above_the_peak_are_refused(field: str) -> None:
    """A schedule that would begin or end above its peak is an error; without warm-up or decay, nothing is."""
    with pytest.raises(ValueError, match=rf"{field} 0.002 is above the peak learning rate, 0.001"):
        rate_of_step(schedule(**{field: 2e-3}), 1e-3, 21)
    assert set(rates(1e-3, 21, **{field: 2e-3}, warmup_steps=0, decay="constant")) == {1e-3}
