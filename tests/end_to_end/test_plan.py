"""`ablate plan`: Variants, changes, states and time, for people and for programs."""

from __future__ import annotations

import json
import re

import pytest

from ablate.study.overrides import flatten


@pytest.fixture(scope="module")
def fresh(make_place, tiny):
    """A folder in which nothing was run."""
    return make_place(tiny__yaml=tiny)


def test_plan_says_what_a_run_would_do(fresh):
    """Each Variant with its change field by field, the counts, the time and what it rests on; and writes nothing."""
    out = fresh.ablate("plan", "tiny.yaml", "--slots", 2).out
    assert "model.position: sincos2d → none" in out
    assert "model.readout: gap → cls" in out
    assert "3 Variants x 2 seeds = 6 Trials: 0 finished, 6 to train" in out
    assert "on 2 slots, estimated from FLOPs" in out
    assert [p.name for p in fresh.root.iterdir()] == ["tiny.yaml"]


def test_plan_for_programs(fresh):
    """--json gives Variants with changes, Trials with ids and states, and the estimate."""
    plan = fresh.plan("tiny.yaml", "--slots", 2)
    assert (plan["study"], plan["profile"], plan["metric"], plan["seeds"]) == ("tiny", "default", "top1", [0, 1])
    changes = {v["name"]: v["changes"] for v in plan["variants"]}
    assert changes == {
        "baseline": {},
        "position=none": {"model.position": {"from": "sincos2d", "to": "none"}},
        "readout=cls": {"model.readout": {"from": "gap", "to": "cls"}},
    }
    assert [(t["variant"], t["seed"]) for t in plan["trials"]] == [(name, s) for s in (0, 1) for name in changes]
    assert len({t["id"] for t in plan["trials"]}) == 6
    assert {t["state"] for t in plan["trials"]} == {"new"}
    assert all(t["estimated_seconds"] > 0 for t in plan["trials"])
    assert plan["estimate"]["slots"] == 2
    assert "recipe" not in plan["variants"][0]


def test_full_prints_every_value(fresh):
    """--full names every field of every resolved Recipe, those included that the study leaves to defaults."""
    recipes = {v["name"]: v["recipe"] for v in fresh.plan("tiny.yaml", "--full")["variants"]}
    out = fresh.ablate("plan", "tiny.yaml", "--full").out
    fields = [field for recipe in recipes.values() for field, _ in flatten(recipe)]
    assert "augment.randaug.probability" in fields
    assert "model.position.temperature" in fields
    missing = [f for f in fields if f not in out]
    assert missing == []


def test_another_profile_is_another_set_of_trials(fresh):
    """--profile changes the Recipes, and with them the ids."""
    short, longer = fresh.plan("tiny.yaml"), fresh.plan("tiny.yaml", "--profile", "longer")
    assert longer["profile"] == "longer"
    assert not {t["id"] for t in short["trials"]} & {t["id"] for t in longer["trials"]}


def test_the_cost_on_a_device(fresh):
    """--device adds FLOPs and hours for each Variant and in total; half the utilisation is twice the hours."""
    out = fresh.ablate("plan", "tiny.yaml", "--device", "h100").out
    assert "3 Variants x 2 seeds = 6 Trials" in out
    assert "GPU-hours of h100" in out
    assert "50% of the peak in float32" in out
    cost = fresh.plan("tiny.yaml", "--device", "H100", "--utilisation", 0.25)["cost"]
    assert [v["name"] for v in cost["variants"]] == ["baseline", "position=none", "readout=cls"]
    assert cost["device"] == "h100"
    assert cost["utilisation"] == {"float32": 0.25}
    assert cost["gpu_hours"] == cost["gpu_hours_left"] > 0
    assert cost["training_flops"] == pytest.approx(2 * sum(v["training_flops"] for v in cost["variants"]))
    half = fresh.plan("tiny.yaml", "--device", "h100", "--utilisation", 0.125)["cost"]
    assert half["gpu_hours"] == pytest.approx(2 * cost["gpu_hours"])
    assert "cost" not in fresh.plan("tiny.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "h10"], "the peak of a device named 'h10' is not known; allowed: a100, .*did you mean 'h100'"),
        (["--utilisation", "0.3"], "name it with --device"),
        (["--device", "v100", "--set", "precision=bfloat16"], "baseline: v100 has no units for bfloat16"),
    ],
)
def test_a_cost_that_cannot_be_told_is_refused(fresh, arguments, message):
    """One line that says why, with the nearest name, and exit code 2."""
    refused = fresh.ablate("plan", "tiny.yaml", *arguments, code=2)
    assert len(refused.err.splitlines()) == 1
    assert re.search(message, refused.err)


def test_after_a_run_everything_is_finished(trained):
    """The plan of a finished study has nothing left, and its estimates rest on what was measured."""
    plan = trained.place.plan("tiny.yaml", "--slots", 2)
    assert {t["state"] for t in plan["trials"]} == {"finished"}
    assert plan["estimate"]["seconds"] == 0
    cost = trained.place.plan("tiny.yaml", "--device", "a100")["cost"]
    assert cost["gpu_hours"] > cost["gpu_hours_left"] == 0
    out = trained.place.ablate("plan", "tiny.yaml").out
    assert "6 finished, 0 to train" in out


def test_estimates_of_more_seeds_rest_on_measurements(trained):
    """Where Trials have finished, the time of new ones is estimated from them."""
    plan = trained.place.plan("tiny.yaml", "--set", "schedule.epochs=4")
    assert {t["state"] for t in plan["trials"]} == {"new"}
    assert "finished Trials" in plan["estimate"]["basis"]


def test_schema_is_a_json_schema_that_accepts_the_study(fresh, tiny):
    """`ablate schema` prints a schema by which the study is valid, and one with a misspelt key is not."""
    from jsonschema import Draft202012Validator
    from ruamel.yaml import YAML

    validator = Draft202012Validator(json.loads(fresh.ablate("schema").out))
    study = YAML(typ="safe").load(tiny)
    assert list(validator.iter_errors(study)) == []
    assert list(validator.iter_errors(study | {"qestion": "why?"})) != []


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_spool_that_is_no_folder_is_refused(verb, make_place, tiny):
    """`--home` on a file is a mistake of the user's: one line, exit code 2, and nothing is written."""
    place = make_place(tiny__yaml=tiny, occupied="a file")
    refused = place.ablate(verb, "tiny.yaml", "--home", "occupied", code=2)
    assert "occupied" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert (place.root / "occupied").read_text() == "a file"
    assert not (place.root / "mlflow.db").exists()
