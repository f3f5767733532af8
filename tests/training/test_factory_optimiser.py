from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.optim import get_optimizer_info
from torch import nn

from ablate.models.build import build
from ablate.models.init import initialise
from ablate.recipe import Optimizer, Recipe
from ablate.timm_source import optimizer_names
from ablate.training.optimiser import Optimiser, make_optimiser
from ablate.training.parameter_groups import left_alone

# Kron wants a package that speeds up its products; its numbers are the same without.
pytestmark = pytest.mark.filterwarnings("ignore:It is highly recommended to have 'opt_einsum':UserWarning")

#: From zero on, as in a warm-up.
RATES = (0.0, 1e-3, 2e-3, 3e-3, 2e-3, 1e-3)
PEAK = 3e-3


def settings(**fields: object) -> Optimizer:
    given = {
        "name": "sgd",
        "learning_rate": PEAK,
        "beta1": 0.8,
        "beta2": 0.95,
        "eps": 1e-6,
        "weight_decay": 0.05,
        "decay": "matrices",
        "clip_norm": "off",
    }
    return Optimizer.model_validate(given | fields)


@pytest.fixture
def make_model(make_recipe: Callable[..., Recipe]) -> Callable[[], nn.Module]:
    """A transformer with convolutions, tokens, positions, and matrices that the Adafactors factor."""
    recipe = make_recipe(
        model__dim=20, model__stem={"name": "conv_patches", "patch_size": 2}, model__position="learned",
        model__readout="cls", model__feed_forward={"name": "leff", "ratio": 2.0},
    )  # fmt: skip

    def make() -> nn.Module:
        model = build(recipe.model, recipe.data)
        initialise(model, recipe.model.init, 0)
        return model

    return make


def train(model: nn.Module, optimiser: Any, steps: range, rate: Callable[[float], None] | None = None) -> None:
    """Updates with gradients that are a function of the step's number; ``rate`` sets another optimiser's."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.grad = (0.1 * noise + parameter.detach()).to(parameter.dtype)
        if rate is None:
            optimiser.step(RATES[step])
        else:
            rate(RATES[step])
            optimiser.step()


def reread(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("name", optimizer_names())
def test_resumed_equals_uninterrupted(name: str, make_model: Callable[[], nn.Module]) -> None:
    """Six updates are, bit for bit, three and, after a restart from a file, three more; and all stay finite."""
    if get_optimizer_info(name).second_order:
        pytest.skip(f"{name} is refused: it is of second order")
    chosen = settings(name=name, layer_decay=0.75)
    straight, first, second = make_model(), make_model(), make_model()
    train(straight, make_optimiser(straight, chosen, PEAK), range(6))
    before = make_optimiser(first, chosen, PEAK)
    train(first, before, range(3))
    saved = reread({"model": first.state_dict(), "optimiser": before.state_dict()})
    torch.rand(7)  # wherever torch's global generator stands
    second.load_state_dict(saved["model"])
    after: Optimiser = make_optimiser(second, chosen, PEAK)
    after.load_state_dict(saved["optimiser"])
    train(second, after, range(3, 6))
    start = make_model().state_dict()
    for parameter_name, value in straight.state_dict().items():
        assert torch.equal(second.state_dict()[parameter_name], value), parameter_name
        if parameter_name in dict(straight.named_parameters()):
            assert value.isfinite().all()
            assert not torch.equal(value, start[parameter_name]), parameter_name


def _torch(kind: Any, **arguments: object) -> Callable[[list[dict[str, Any]]], torch.optim.Optimizer]:
    return lambda groups: kind(groups, lr=PEAK, **arguments)


#: Name at timm -> the same made without its factory, from the settings' beta1 .8, beta2 .95 and eps 1e-6.
DIRECT = {
    "sgd": _torch(torch.optim.SGD, momentum=0.8, nesterov=True),
    "momentum": _torch(torch.optim.SGD, momentum=0.8),
    "adam": _torch(torch.optim.Adam, betas=(0.8, 0.95), eps=1e-6),
    "nadam": _torch(torch.optim.NAdam, betas=(0.8, 0.95), eps=1e-6),
    "radamw": _torch(torch.optim.RAdam, betas=(0.8, 0.95), eps=1e-6, decoupled_weight_decay=True),
    "adamax": _torch(torch.optim.Adamax, betas=(0.8, 0.95), eps=1e-6),
    "adadelta": _torch(torch.optim.Adadelta, rho=0.95, eps=1e-6),
    "adagrad": _torch(torch.optim.Adagrad, eps=1e-6),
    "rmsprop": _torch(torch.optim.RMSprop, momentum=0.8, alpha=0.95, eps=1e-6),
}


@pytest.mark.parametrize("name", DIRECT)
def test_settings_reach_the_optimizer(name: str, make_model: Callable[[], nn.Module]) -> None:
    """Updates are those of torch's own optimizer on two groups made by hand, to a relative 1e-12 in float64."""
    ours, theirs = make_model().double(), make_model().double()
    train(ours, make_optimiser(ours, settings(name=name), PEAK), range(6))
    alone = ("position.", "readout.token")
    decayed = [p for n, p in theirs.named_parameters() if p.ndim > 1 and not n.startswith(alone)]
    rest = [p for p in theirs.parameters() if not any(p is other for other in decayed)]
    optimizer = DIRECT[name]([{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}])

    def set_rate(rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate

    train(theirs, optimizer, range(6), set_rate)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-15)


def test_lion_follows_its_formula(make_model: Callable[[], nn.Module]) -> None:
    """Lion (arXiv 2302.06675, algorithm 2) written out, with decoupled decay, to a relative 1e-12 in float64."""
    ours, theirs = make_model().double(), make_model().double()
    train(ours, make_optimiser(ours, settings(name="lion", decay="all"), PEAK), range(6))
    values = {name: p.detach().clone() for name, p in theirs.named_parameters()}
    momenta = {name: torch.zeros_like(value) for name, value in values.items()}
    for step in range(6):
        generator = torch.Generator().manual_seed(step)
        for name, value in values.items():
            gradient = 0.1 * torch.randn(value.shape, generator=generator, dtype=torch.float64) + value
            direction = torch.sign(0.8 * momenta[name] + 0.2 * gradient)
            values[name] = value - RATES[step] * (direction + 0.05 * value)
            momenta[name] = 0.95 * momenta[name] + 0.05 * gradient
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.detach(), values[name], rtol=1e-12, atol=1e-15)


def test_corrected_decay_knows_the_peak() -> None:
    """`adamc` decays by the squared rate over the true peak, whatever the rate of its first update was."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    optimiser = make_optimiser(model, settings(name="adamc"), 4e-3)
    model.weight.grad = torch.zeros_like(model.weight)
    optimiser.step(2e-3)
    assert model.weight.item() == pytest.approx(1 - 2e-3**2 / 4e-3 * 0.05, rel=1e-6)


def test_muon_leaves_positions_and_tokens_to_its_adamw(make_model: Callable[[], nn.Module]) -> None:
    """What is no matrix of a layer is not orthogonalised, though learned positions have a matrix's shape."""
    model = make_model()
    optimiser = make_optimiser(model, settings(name="muon"), PEAK)
    train(model, optimiser, range(1))
    state = optimiser.state_dict()
    names = [name for group in state["parameters"] for name in group]
    orthogonalised = {names[index] for index, kept in state["optimizer"]["state"].items() if kept["use_muon"]}
    assert "blocks.0.mixer.qkv.weight" in orthogonalised
    assert left_alone(model) == {"position.patches", "readout.token"}
    assert not left_alone(model) & orthogonalised


def test_options_reach_the_optimizer() -> None:
    """An option by timm's name changes what the optimizer does: SGD without Nesterov's correction is `momentum`."""
    found = []
    for fields in ({"name": "sgd", "options": {"nesterov": False}}, {"name": "momentum"}, {"name": "sgd"}):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        train(model, make_optimiser(model, settings(**fields), PEAK), range(4))
        found.append(model.weight.detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("sgd", {"nestero": True}, "takes no option 'nestero'.*did you mean 'nesterov'"),
        ("lamb", {"betas": 0.9}, "takes no option 'betas': other settings decide it"),
        ("sgd", {"momentum": 0.9}, "takes no option 'momentum': other settings decide it"),
        ("rmsprop", {"alpha": 0.9}, "takes no option 'alpha': other settings decide it"),
        ("lion", {"lr": 0.9}, "takes no option 'lr': other settings decide it"),
        ("muon", {"algo": "nuon"}, "optimizer 'muon': Invalid algo: nuon"),
        ("adafactorbv", {"momentum_dtype": "int8"}, "optimizer 'adafactorbv': int8 dtype not supported"),
        ("adahessian", {}, "needs second derivatives"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, options: dict[str, object], reason: str) -> None:
    """Options that are unknown, decided elsewhere or out of range, and second order, are errors that say so."""
    with pytest.raises(ValueError, match=reason):
        make_optimiser(nn.Linear(2, 2), settings(name=name, options=options), PEAK)


def test_state_of_another_model_is_refused() -> None:
    """Loading the state of other parameters is an error that names them."""
    state = make_optimiser(nn.Linear(2, 2), settings(), PEAK).state_dict()
    with pytest.raises(ValueError, match="bias"):
        make_optimiser(nn.Linear(2, 2, bias=False), settings(), PEAK).load_state_dict(state)
