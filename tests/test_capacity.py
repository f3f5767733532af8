from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate import capacity
from ablate.capacity import REMEMBERED, Costs, costs_of
from ablate.model_card import Images, make_card
from ablate.reporting.kept import ModelCost
from ablate.study.load import load_study
from ablate.study.overrides import apply
from ablate.study.study import Study

SIMPLEVIT = Path(__file__).parents[1] / "studies" / "simplevit.yaml"


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study(SIMPLEVIT, "digits", only=["pool=cls"])


@pytest.fixture
def change(study: Study) -> Callable[..., dict[str, Any]]:
    """The baseline's Recipe with overrides."""
    return lambda **fields: apply(
        study.baseline.recipe, {name.replace("__", "."): value for name, value in fields.items()}, parts=True
    )


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every model that is built from now on."""
    seen, build = [], capacity._built

    def counted(recipe: Any) -> Any:
        seen.append(recipe.model)
        return build(recipe)

    monkeypatch.setattr(capacity, "_built", counted)
    return seen


def test_cost_is_that_of_the_model_card(study: Study, tmp_path: Path) -> None:
    """Parameters and FLOPs are exactly those that `ablate model` shows for a preset."""
    data = study.baseline.recipe["data"] | {"image_size": 224, "channels": 3, "classes": 1000, "eval_resize": 224}
    card = make_card("ViT-S/16", (), Images())
    assert Costs(tmp_path)({"model": dict(card.resolved), "data": data}) is None  # no whole Recipe
    cost = Costs(tmp_path)({**study.baseline.recipe, "model": dict(card.resolved), "data": data})
    assert cost == ModelCost(card.cost.parameters, card.cost.flops)


def test_equal_models_are_built_once(change: Callable[..., dict[str, Any]], built: list[Any], tmp_path: Path) -> None:
    """1,000 Recipes with three distinct models build three, whatever else differs, dropout included."""
    costs = Costs(tmp_path)
    recipes = [
        change(model__depth=1 + i % 3, model__dropout=(i % 5) / 10, schedule__epochs=1 + i // 3) for i in range(1000)
    ]
    found = {costs(recipe) for recipe in recipes}
    assert len(built) == len(found) == 3
    assert all(math.isfinite(cost.flops) for cost in found if cost)


def test_what_is_remembered_imports_no_torch(study: Study, tmp_path: Path) -> None:
    """Another process that asks for a model which was counted before gives the same cost without torch."""
    cost = Costs(tmp_path)(study.baseline.recipe)
    tmp_path.joinpath("recipe.json").write_text(json.dumps(study.baseline.recipe), encoding="utf-8")
    code = (
        "import json, pathlib, sys; from ablate.capacity import Costs; home = pathlib.Path(sys.argv[1]); "
        "recipe = json.loads((home / 'recipe.json').read_text()); costs = Costs(home); "
        "print(*costs(recipe), costs.parameters(recipe), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert cost is not None
    assert answer.stdout.split() == [str(cost.parameters), str(cost.flops), f"{cost.parameters:.0f}", "False"]


def test_images_and_revision_decide_too(
    change: Callable[..., dict[str, Any]], built: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other images are another cost; code of another revision counts anew; the learning rate decides nothing."""
    first = Costs(tmp_path)(change())
    assert first is not None
    bigger = Costs(tmp_path)(change(data__image_size=16))
    assert bigger is not None
    assert bigger.flops > 2 * first.flops
    assert Costs(tmp_path)(change(optimizer__learning_rate=0.5)) == first
    assert len(built) == 2
    monkeypatch.setattr("ablate.study.identity.ENGINE_REVISION", "another")
    assert Costs(tmp_path)(change()) == first
    assert len(built) == 3


def test_a_torn_file_is_counted_anew(study: Study, tmp_path: Path) -> None:
    """What cannot be read, or is not whole, costs time and nothing else."""
    cost = Costs(tmp_path)(study.baseline.recipe)
    file = tmp_path / REMEMBERED
    for broken in ("{", '["x"]', json.dumps({key: {"flops": "many"} for key in json.loads(file.read_text())})):
        file.write_text(broken, encoding="utf-8")
        assert Costs(tmp_path)(study.baseline.recipe) == cost
    assert json.loads(file.read_text())


def test_nothing_is_written_where_it_may_not_be(study: Study, tmp_path: Path) -> None:
    """Without `writes`, and without a home, the answer is the same and no file appears."""
    cost = Costs(tmp_path / "home", writes=False)(study.baseline.recipe)
    assert cost == Costs(None)(study.baseline.recipe)
    assert cost is not None
    assert not list(tmp_path.iterdir())


def test_parameters_come_without_a_forward_pass(
    study: Study, built: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`parameters` builds and counts only; a cost asked for later still has its FLOPs."""
    costs = Costs(tmp_path)
    with monkeypatch.context() as without:
        without.setattr("ablate.models.measure.forward_flops", lambda *_: pytest.fail("a forward pass"))
        parameters = costs.parameters(study.baseline.recipe)
        assert costs.parameters(study.baseline.recipe) == parameters
    assert len(built) == 1
    cost = costs(study.baseline.recipe)
    assert cost is not None
    assert cost.parameters == parameters
    assert cost.flops > parameters


def test_a_model_that_cannot_be_built_has_no_cost(
    change: Callable[..., dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """Seven heads do not divide the width: no cost, the reason in the log, and ValueError from `parameters`."""
    recipe = change(model__mixer={"name": "self_attention", "heads": 7})
    with caplog.at_level(logging.WARNING):
        assert Costs(None)(recipe) is None
    assert "heads" in caplog.text
    with pytest.raises(ValueError, match="heads"):
        Costs(None).parameters(recipe)


def test_a_forward_pass_that_fails_leaves_the_parameters(
    study: Study, built: list[Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters are told where FLOPs cannot be counted; it is tried once in a process, and said."""

    def fails(*_: Any) -> int:
        raise RuntimeError("depends on the values of the images")

    monkeypatch.setattr("ablate.models.measure.forward_flops", fails)
    costs = Costs(None)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            cost = costs(study.baseline.recipe)
            assert cost is not None
            assert cost.parameters > 0
            assert math.isnan(cost.flops)
    assert len(built) == 1
    assert caplog.text.count("depends on the values") == 1


def test_nothing_is_known_of_a_trainable_of_the_users_own(study: Study, tmp_path: Path) -> None:
    """Its Recipes have no cost, even where they look like ours; nor has a mapping that is no Recipe."""
    own = replace(study, trainable="mine:train")
    assert costs_of(own, tmp_path)(study.baseline.recipe) is None
    assert costs_of(study, tmp_path)(study.baseline.recipe) is not None
    for mapping in ({}, {"model": 3, "data": {}}, {"model": {"dim": 4}, "data": study.baseline.recipe["data"]}):
        assert Costs(None)(mapping) is None
