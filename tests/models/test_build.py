"""Assembling: parameter counts, the user's own parts, and what is refused."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import torch

from ablate.models.build import build, make_model
from ablate.models.init import initialise
from ablate.models.vision_transformer import count_parameters
from ablate.recipe import resolve_whole

IMAGENET = {"image_size": 224, "channels": 3, "classes": 1000}
S16 = {
    "dim": 384,
    "depth": 12,
    "stem": {"name": "patches", "patch_size": 16},
    "mixer": {"name": "self_attention", "heads": 6},
    "feed_forward": "mlp",
}
DEIT = {"readout": "cls", "position": "learned", "position_covers": "all"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (S16, 21_974_632),
        (S16 | {"head": "mlp"}, 21_974_632 + 147_840),
        (S16 | DEIT, 22_050_664),  # DeiT-S: timm's deit_small_patch16_224
        (S16 | DEIT | {"dim": 192, "mixer": {"name": "self_attention", "heads": 3}}, 5_717_416),  # DeiT-Ti
    ],
)
def test_published_models_have_their_published_size(model_recipe, data_recipe, changes, expected) -> None:
    """SimpleViT-S/16 with either head, DeiT-S and DeiT-Ti have exactly as many parameters as published."""
    assert count_parameters(build(model_recipe(**changes), data_recipe(**IMAGENET))) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixer": {"name": "self_attention", "heads": 5}}, r"mixer 'self_attention': 5 .* dim 32"),
        ({"stem": {"name": "patches", "patch_size": 3}}, r"stem 'patches': patches of 3 px .* 8 px"),
        ({"dim": 30, "mixer": {"name": "self_attention", "heads": 3}}, r"sincos2d.*multiple of 4.*dim 30"),
        ({"dim": 4}, r"sincos2d.*at least 8, got dim 4"),
        ({"position": {"name": "sincos2d", "temperature": 0.0}}, r"sincos2d needs a positive temperature"),
        ({"feed_forward": {"name": "mlp", "ratio": 0.01}}, r"feed_forward 'mlp': .*no hidden unit at dim 32"),
        ({"norm": {"name": "layer_norm", "eps": 0.0}}, r"norm 'layer_norm': .*positive eps"),
    ],
)
def test_impossible_combinations_say_why(model_recipe, data_recipe, changes, message) -> None:
    """A model that cannot exist is refused by a ValueError naming the part and the reason."""
    with pytest.raises(ValueError, match=message):
        build(model_recipe(**changes), data_recipe())


def test_build_and_initialise_leave_the_global_generator_alone(model_recipe, data_recipe) -> None:
    """Neither building nor initialising moves torch's global random state."""
    recipe = model_recipe()
    before = torch.get_rng_state()
    initialise(build(recipe, data_recipe()), recipe.init, 0)
    assert torch.equal(before, torch.get_rng_state())


OWN = """
    import torch
    from torch import nn

    class Gate(nn.Module):
        roles = {"gain": "ones", "mixing.weight": lambda shape, fan_in, generator: torch.full(shape, 1 / fan_in)}

        def __init__(self, dropout, prefix_tokens, dim, grid, block, *, power: float = 1.0):
            super().__init__()
            tokens = prefix_tokens + grid[0] * grid[1]
            self.gain = nn.Parameter(torch.full((dim,), float("nan")))
            self.mixing = nn.Linear(tokens, tokens)
            self.block, self.power, self.dropout = block, power, dropout

        def forward(self, tokens):
            return self.mixing((tokens * self.gain).transpose(1, 2)).transpose(1, 2) ** self.power

    class Probe(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.register_buffer("directions", torch.randn(dim, dim))

        def forward(self, tokens):
            return tokens @ self.directions

    class Asks(nn.Module):
        def __init__(self, dim, weather):
            super().__init__()

    class Silent(nn.Module):
        prefix_tokens = 0

        def __init__(self, dim):
            super().__init__()
            self.query = nn.Parameter(torch.randn(dim))

        def forward(self, tokens):
            return (tokens * (tokens @ self.query).softmax(1)[..., None]).sum(1)

    class Leaning(nn.Module):
        acts_on = "attention"

    class Bag(nn.Module):
        grid = None

        def __init__(self, image_size, channels, dim):
            super().__init__()

    class Typo(Silent):
        roles = {"qery": "token"}

    class UnknownRole(Silent):
        roles = {"query": "tokn"}

    class NoPrefix(nn.Module):
        pass

    class NotAModule:
        pass
"""


@pytest.fixture
def parts_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `parts_of_mine` of a user's on the path."""
    (tmp_path / "parts_of_mine.py").write_text(textwrap.dedent(OWN), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "parts_of_mine", raising=False)


@pytest.mark.usefixtures("parts_of_mine")
def test_a_part_of_the_users_own_gets_the_context_it_asks_for_and_its_options(built) -> None:
    """A user's class is given, by name, the context it lists, and the Recipe's options; its roles are drawn."""
    model = built(readout="cls", dropout=0.1, mixer={"name": "parts_of_mine:Gate", "power": 2.0})
    gate = model.blocks[1].mixer
    assert (gate.block, gate.power, gate.dropout) == (1, 2.0, 0.1)
    assert torch.equal(gate.gain, torch.ones(32))
    assert torch.equal(gate.mixing.weight, torch.full((17, 17), 1 / 17))
    assert torch.isfinite(model(torch.randn(2, 1, 8, 8))).all()
    with pytest.raises(TypeError, match="Gate has no forward_with_weights"):
        model.forward_intermediates(torch.randn(2, 1, 8, 8), attention_weights=True)


@pytest.mark.usefixtures("parts_of_mine")
def test_what_a_part_draws_beside_its_parameters_is_the_same_in_every_process(built) -> None:
    """A random buffer of a user's part does not depend on the global generator, so a resumed Trial has it too."""
    torch.manual_seed(1)
    first = built(norm="parts_of_mine:Probe")
    torch.manual_seed(2)
    second = built(norm="parts_of_mine:Probe")
    assert torch.equal(first.norm.directions, second.norm.directions)


@pytest.mark.usefixtures("parts_of_mine")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "parts_of_mine:Asks"}, r"head 'parts_of_mine:Asks' asks for 'weather'.* offered classes, depth, dim"),
        ({"readout": "parts_of_mine:NoPrefix"}, r"readout NoPrefix must have an attribute 'prefix_tokens'"),
        ({"norm": "parts_of_mine:NotAModule"}, r"norm 'parts_of_mine:NotAModule' is not a subclass of torch.nn.Module"),
        ({"readout": "parts_of_mine:Silent"}, r"not said how readout.query is first drawn.*`roles`"),
        ({"readout": "parts_of_mine:Typo"}, r"Typo gives a role to 'qery', but has no such parameter"),
        ({"readout": "parts_of_mine:UnknownRole"}, r"readout.query.*'tokn' is none of them"),
    ],
)
def test_a_wrong_part_of_the_users_own_says_what_is_wrong(built, changes, message) -> None:
    """A user's class that does not fit its place is refused with what to change."""
    with pytest.raises(ValueError, match=message):
        built(**changes)


def test_a_part_that_fails_to_import_says_so(tmp_path, monkeypatch, model_recipe, data_recipe) -> None:
    """An import error inside a user's module becomes a ValueError that names the part."""
    (tmp_path / "broken_part.py").write_text("import no_such_thing_at_all\nclass Head: pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"head 'broken_part:Head' cannot be imported.*no_such_thing_at_all"):
        build(model_recipe(head="broken_part:Head"), data_recipe())


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"position": "learned", "position_at": "every_layer"}, 3 * 16 * 32),
        ({"position": "learned", "position_at": "every_layer_shared"}, 16 * 32),
        (
            {"position": "learned", "position_at": "every_layer", "readout": "cls", "position_covers": "all"},
            3 * 17 * 32 + 32,
        ),
        ({"position": "relative", "position_at": "every_layer"}, 3 * 31 * 8),
        ({"layer_scale": 0.1}, 3 * 2 * 32),
        ({"stochastic_depth": 0.1, "branch_factor": 2.0, "dropout": 0.1}, 0),
        ({"readout": "cls_distilled"}, 2 * 32 + 32 * 10 + 10),
        ({"norm": "affine"}, 0),
    ],
)
def test_switches_add_the_parameters_that_they_say(model_recipe, data_recipe, changes, more) -> None:
    """16 tokens of 32, 4 heads, 3 blocks: counted by hand against the model with sincos2d and gap."""
    plain = count_parameters(build(model_recipe(depth=3), data_recipe()))
    assert count_parameters(build(model_recipe(depth=3, **changes), data_recipe())) == plain + more


def test_another_image_size_may_stand_in_for_the_datas(model_recipe, data_recipe) -> None:
    """Height and width, px, of images that need not be square; rows come first."""
    model = build(model_recipe(position="learned"), data_recipe(), image_size=(8, 12))
    assert model.stem.grid == (4, 6)
    assert model.position.patches.shape == (24, 32)
    assert model(torch.randn(2, 1, 8, 12)).shape == (2, 10)
    whole = {
        "name": "pvt",
        "dims": [8, 8, 8, 8],
        "heads": [1, 1, 1, 1],
        "reductions": [2, 2, 2, 1],
        "depths": [1, 1, 1, 1],
    }
    made = build(resolve_whole(whole), data_recipe(), image_size=(64, 32))
    assert made(torch.randn(2, 1, 64, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"position": "relative"},
            r"position 'relative' biases the attention of blocks: set position_at to every_layer",
        ),
        (
            {"position": "parts_of_mine:Leaning", "position_at": "every_layer", "mixer": "token_mlp"},
            r"position 'parts_of_mine:Leaning' is a bias of attention, and mixer 'token_mlp' has no attention",
        ),
        (
            {"position": "relative", "position_at": "every_layer", "mixer": "token_mlp"},
            r"position 'relative' asks for 'heads'; this position is offered depth, dim, dropout, grid, prefix_tokens",
        ),
        ({"feed_forward": "leff", "stem": {"name": "parts_of_mine:Bag"}}, r"feed_forward 'leff': leff needs a grid"),
        (
            {"mixer": {"name": "token_mlp", "hidden": 4}, "stem": {"name": "parts_of_mine:Bag"}},
            r"mixer 'token_mlp': token_mlp needs a grid",
        ),
    ],
)
@pytest.mark.usefixtures("parts_of_mine")
def test_parts_that_do_not_fit_one_another_are_refused(model_recipe, data_recipe, changes, message) -> None:
    """What concerns several parts at once is told with the part that asks for what is not there."""
    if changes.get("mixer") == "token_mlp":
        changes = changes | {"mixer": {"name": "token_mlp", "hidden": 4}}
    with pytest.raises(ValueError, match=message):
        build(model_recipe(**({"position": "none"} | changes)), data_recipe())


@pytest.mark.parametrize("readout", ["gap", "cls_distilled"])
def test_the_heads_bias_begins_where_the_recipe_says(model_recipe, data_recipe, readout) -> None:
    """Every class is as improbable as asked for in each head, and no other parameter differs."""
    plain, raised = (
        make_model(model_recipe(readout=readout, head="mlp", head_bias=bias), data_recipe(), 0) for bias in (0.0, -2.5)
    )
    for (name, before), after in zip(plain.named_parameters(), raised.parameters(), strict=True):
        last = name.endswith("head.linear.bias") or (name.partition(".")[0].endswith("head") and before.shape == (10,))
        assert torch.equal(after, before - 2.5 if last else before), name
    assert sum(p.shape == (10,) and bool((p == -2.5).all()) for p in raised.parameters()) == 1 + (readout != "gap")


def test_stochastic_depth_may_be_the_same_in_all_blocks(model_recipe, data_recipe) -> None:
    """With the constant rule every block has the Recipe's rate."""
    model = build(model_recipe(depth=3, stochastic_depth=0.2, stochastic_depth_rule="constant"), data_recipe())
    assert [block.drop_1.rate for block in model.blocks] == [0.2, 0.2, 0.2]
