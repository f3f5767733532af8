from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ablate.models.build import build
from ablate.models.init import initialise
from ablate.recipe import Optimizer, Recipe
from ablate.training.optimiser import AdamW, make_optimiser
from ablate.training.parameter_groups import decayed_names


def settings(**fields: object) -> Optimizer:
    given = {
        "name": "adamw",
        "learning_rate": 1e-2,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.1,
        "decay": "kernels",
        "clip_norm": "off",
    }
    return Optimizer.model_validate(given | fields)


def test_all_means_every_parameter(make_recipe: Callable[..., Recipe]) -> None:
    """With `all`, whatever has no gradient's pull still shrinks by the rate times the decay."""
    recipe = make_recipe()
    model = build(recipe.model, recipe.data)
    for p in model.parameters():
        p.data.fill_(1.0)
        p.grad = torch.zeros_like(p)
    AdamW(model, settings(decay="all")).step(1e-2)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), torch.full_like(p, 1 - 1e-2 * 0.1), msg=name)


def test_updates_follow_the_formula(make_recipe: Callable[..., Recipe]) -> None:
    """Three updates equal Loshchilov and Hutter's algorithm 2 written out, to a relative 1e-5, in both groups."""
    recipe = make_recipe(model__position="learned")
    model = build(recipe.model, recipe.data)
    initialise(model, recipe.model.init, 0)
    s = settings()
    optimiser = AdamW(model, s)
    decayed = decayed_names(model, "kernels")
    generator = torch.Generator().manual_seed(0)
    expected = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    m = {name: torch.zeros_like(p) for name, p in expected.items()}
    v = {name: torch.zeros_like(p) for name, p in expected.items()}
    for t in range(1, 4):
        for name, p in model.named_parameters():
            p.grad = torch.randn(p.shape, generator=generator)
            g, rate = p.grad.double(), s.learning_rate
            m[name] = s.beta1 * m[name] + (1 - s.beta1) * g
            v[name] = s.beta2 * v[name] + (1 - s.beta2) * g * g
            step = (m[name] / (1 - s.beta1**t)) / ((v[name] / (1 - s.beta2**t)).sqrt() + s.eps)
            decay = s.weight_decay if name in decayed else 0.0
            expected[name] = expected[name] - rate * (step + decay * expected[name])
        optimiser.step(s.learning_rate)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach().double(), expected[name], rtol=1e-5, atol=1e-7)


def test_updates_are_those_of_torch(make_recipe: Callable[..., Recipe]) -> None:
    """Three updates at three rates equal, bit for bit, torch's own AdamW with two groups."""
    recipe = make_recipe(model__position="learned")
    models = [build(recipe.model, recipe.data) for _ in range(2)]
    for model in models:
        initialise(model, recipe.model.init, 0)
    ours = AdamW(models[0], settings())
    kernels, rest = [], []
    for name, p in models[1].named_parameters():
        (kernels if name in decayed_names(models[1], "kernels") else rest).append(p)
    groups = [{"params": kernels, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=True)
    generator = torch.Generator().manual_seed(1)
    for rate in (1e-2, 3e-3, 0.0):
        for mine, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        ours.step(rate)
        for group in theirs.param_groups:
            group["lr"] = rate
        theirs.step()
    for mine, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(mine, other)


def test_what_takes_no_gradient_stays() -> None:
    """Neither a frozen parameter nor one that the loss does not reach is moved, by decay or otherwise."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].weight.requires_grad_(False)
    optimiser = AdamW(model, settings())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model[0].bias.grad = torch.ones(2)
    optimiser.step(0.1)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"0.bias"}


def test_state_of_another_model_is_refused() -> None:
    """Loading the moments of other parameters is an error that names them."""
    state = AdamW(nn.Linear(2, 2), settings()).state_dict()
    with pytest.raises(ValueError, match="bias"):
        AdamW(nn.Linear(2, 2, bias=False), settings()).load_state_dict(state)


@pytest.mark.parametrize("name", ["adamw", "nadamw"])
def test_layer_decay_scales_the_rate_and_the_decay_with_it(name: str, make_recipe: Callable[..., Recipe]) -> None:
    """An update with layer decay moves each parameter as one without it does at the rate of its layer, bit for bit."""
    recipe = make_recipe(model__depth=2, model__position="learned", model__readout="cls")

    def after_one(rate: float, **fields: object) -> dict[str, nn.Parameter]:
        model = build(recipe.model, recipe.data)
        initialise(model, recipe.model.init, 0)
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        make_optimiser(model, settings(name=name, **fields), 1e-2).step(rate)
        return dict(model.named_parameters())

    scaled = after_one(1e-2, layer_decay=0.5)
    layers = (("stem", "position", "readout"), ("blocks.0",), ("blocks.1",), ("norm", "head"))
    for layer, rate in zip(layers, (1.25e-3, 2.5e-3, 5e-3, 1e-2), strict=True):
        plain = after_one(rate)
        of_layer = [parameter_name for parameter_name in plain if parameter_name.startswith(layer)]
        assert of_layer
        for parameter_name in of_layer:
            assert torch.equal(scaled[parameter_name], plain[parameter_name]), parameter_name


def test_adamw_takes_no_options() -> None:
    """An option for the fused AdamW would do nothing, so its Recipe is refused."""
    with pytest.raises(ValueError, match="options are for timm's optimizers"):
        settings(options={"amsgrad": True})
