"""Runs of other code as a study: Factors and seeds are named, and what may spoil a comparison is told."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablate.foreign import ForeignQuestion, foreign_study
from ablate.foreign_levels import NOT_LOGGED, ForeignError
from ablate.reporting.comparison import comparison
from ablate.reporting.unpaired_page import unpaired_differences, unpaired_page
from ablate.tracking.mlflow_foreign import ForeignExperiment, ForeignRun

QUESTION = ForeignQuestion(("lr", "model"), "acc", "maximize", "seed")


def run(number, lr="0.1", model="vit", seed=0, acc=0.5, **fields):
    """A finished run; `params` are further ones."""
    params = {"lr": lr, "model": model, "seed": str(seed), **fields.pop("params", {})}
    given = {name: value for name, value in params.items() if value is not None}
    values = {
        "run_id": f"r{number}",
        "name": f"run {number}",
        "status": "FINISHED",
        "started": float(number),
        "ended": float(number) + 5,
        "metrics": {} if acc is None else {"acc": acc},
        "tags": {},
        "data": "",
        "is_parent": False,
    }
    return ForeignRun(params=given, **{**values, **fields})


def made(runs, question=QUESTION, **fields):
    return foreign_study(ForeignExperiment("sweep", "sqlite:///x", tuple(runs)), replace(question, **fields))


@pytest.fixture
def grid():
    """Two learning rates x two models x three seeds; the first combination has one run more."""
    draws, runs = np.random.default_rng(2), []
    for lr in ("0.1", "0.01"):
        for model in ("vit", "mixer"):
            for seed in range(3):
                acc = 0.8 + 0.1 * (lr == "0.01") + draws.normal(0, 0.01)
                runs.append(run(len(runs), lr, model, seed, acc))
    return [*runs, run(len(runs), seed=3, acc=0.8)]


def test_the_tables_are_those_that_a_study_would_have(grid):
    """Differences are paired by the seed's param, and are the numbers of a paired t test."""
    found = made(grid)
    compared = comparison(found.study, found.records).summary.set_index("variant")
    assert list(compared.index) == ["baseline", "lr=0.01", "model=mixer", "lr=0.01+model=mixer"]
    values = {(r.params["lr"], r.params["model"], r.params["seed"]): r.metrics["acc"] for r in grid}
    pairs = [[values[lr, "vit", str(seed)] for seed in range(3)] for lr in ("0.01", "0.1")]
    row = compared.loc["lr=0.01"]
    assert row["pairs"] == 3
    assert row["difference"] == pytest.approx(np.mean(np.subtract(*pairs)), rel=1e-9)
    assert row["p"] == pytest.approx(stats.ttest_rel(*pairs).pvalue, rel=1e-9)


def test_the_baseline_is_the_combination_with_the_most_finished_runs(grid):
    """Without being told, the combination that was run most is the baseline; told, the one that was named."""
    found = made(grid)
    assert "lr=0.1,model=vit, the combination with the most finished runs" in found.told["Baseline"]
    other = made(grid, baseline={"lr": "0.01", "model": "mixer"})
    assert other.study.baseline.levels == {"lr": "0.01", "model": "mixer"}
    assert other.study.variants[0].changes == {}
    failed = [replace(r, status="FAILED") if r.params["model"] == "vit" else r for r in grid]
    assert made(failed).study.baseline.levels == {"lr": "0.1", "model": "mixer"}


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"lr": "0.1"}, "lacks model"),
        ({"lr": "0.5", "model": "vit"}, "no run is lr=0.5,model=vit"),
        ({"lr": "0.1", "modle": "vit"}, "did you mean 'model'"),
    ],
)
def test_a_baseline_that_is_none_is_refused(grid, baseline, message):
    """A baseline must name every Factor, and a combination that was run."""
    with pytest.raises(ForeignError, match=message):
        made(grid, baseline=baseline)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"factors": ("lrr",)}, "no run has a param 'lrr'; .*did you mean 'lr'"),
        ({"seed_param": "sead"}, "no run has a param 'sead'"),
        ({"metric": "accuracy"}, "no run has logged a metric 'accuracy'; allowed: acc"),
        ({"factors": ("lr", "seed")}, "cannot be a Factor and the seed"),
        ({"factors": ("fixed",)}, "has one value in all runs"),
    ],
)
def test_a_question_that_does_not_fit_is_refused_with_what_there_is(grid, fields, message):
    """What is asked for and not there is told with what is."""
    with pytest.raises(ForeignError, match=message):
        made([replace(r, params={**r.params, "fixed": "1"}) for r in grid], **fields)


def test_a_seed_that_is_no_whole_number_is_refused(grid):
    """A seed's param that counts nothing is told with the run."""
    with pytest.raises(ForeignError, match="of run 'run 0' is 'abc', and no whole number"):
        made([replace(grid[0], params={**grid[0].params, "seed": "abc"}), *grid[1:]])


def test_no_runs_at_all_are_told():
    """An empty experiment is no empty table."""
    with pytest.raises(ForeignError, match="no run was found"):
        made([])


def test_failed_and_killed_runs_are_rows_without_a_result(grid):
    """A run that did not finish lowers n, whatever it had logged, and says why."""
    grid[3] = replace(grid[3], status="FAILED")
    grid[4] = replace(grid[4], status="KILLED")
    found = made(grid)
    compared = comparison(found.study, found.records)
    assert compared.summary.set_index("variant").loc["model=mixer", "n"] == 1
    assert set(compared.failures["status"]) == {"failed", "interrupted"}
    assert "MLflow does not say why" in compared.failures["error"].iloc[0]


def test_of_runs_with_one_seed_a_finished_one_counts_and_it_is_told(grid):
    """A crashed run that was started again is one Trial with two attempts; of two finished ones the later counts."""
    grid.append(run(20, seed=0, acc=0.91))
    grid.append(run(21, seed=0, acc=0.1, status="FAILED"))
    found = made(grid)
    assert found.records["r20"].attempts == 3
    assert not {"r0", "r21"} & set(found.records)
    assert found.told["Repeated"].startswith("2 runs were superseded")


def test_params_that_vary_beside_the_factors_are_told(grid):
    """A param that parts the Variants confounds, one that varies in each does not, and a constant one is not told."""
    runs = [
        replace(
            r,
            params={
                **r.params,
                "epochs": "12" if r.params["model"] == "mixer" else "10",
                "device": str(int(r.params["seed"]) % 3),
                "out": f"/runs/{r.run_id}",
                "code": "main",
            },
        )
        for r in grid
    ]
    beside = made(runs).beside
    assert set(beside) == {"epochs", "device", "out"}
    assert "10 (7 runs), 12 (6 runs), differs between Variants" in beside["epochs"]
    assert "varies alike" in beside["device"]
    assert "another value in every run" in beside["out"]
    assert "epochs: 10" in made(runs).study.header["Varies beside the Factors"]


def test_a_variant_is_what_its_runs_have_in_common(grid):
    """A Variant's Recipe has no seed and nothing that varies among its runs; its changes name what confounds."""
    runs = [replace(r, params={**r.params, "epochs": "12" if r.params["lr"] == "0.01" else "10"}) for r in grid]
    variant = next(v for v in made(runs).study.variants if v.name == "lr=0.01")
    assert variant.recipe == {"lr": "0.01", "model": "vit", "epochs": "12"}
    assert variant.changes == {"lr": ("0.1", "0.01"), "epochs": ("10", "12")}


def test_parents_and_runs_without_factors_are_left_out_and_told(grid):
    """A run that only holds others, and one that is something else, are no results; their number is told."""
    parent = run(30, acc=None, is_parent=True)
    other = run(31, lr=None, model=None)
    seedless = run(32, seed=None, params={"seed": None})
    found = made([*grid, parent, other, seedless])
    assert set(found.records) == {r.run_id for r in grid}
    assert found.told["Left out"].count("1 run") == 3


def test_a_run_that_logged_no_level_has_one_of_its_own(grid):
    """A missing param is not taken for the reference: it is a Level that says so."""
    found = made([*grid, *(run(40 + s, lr=None, seed=s) for s in range(2))])
    assert f"lr={NOT_LOGGED}" in {v.name for v in found.study.variants}


def test_levels_that_are_numbers_are_in_their_order():
    """Learning rates are in the order of size, not of their letters or of when they were run."""
    runs = [run(i, lr=lr, seed=i % 2) for i, lr in enumerate(["1e-3", "1e-3", "0.1", "1e-2", "3", "3e-4"])]
    found = made(runs, factors=("lr",))
    assert [v.levels["lr"] for v in found.study.variants] == ["1e-3", "3e-4", "1e-2", "0.1", "3"]


def test_without_seeds_nothing_is_paired(grid):
    """Replicates without a seed are independent samples: no two Variants share a seed, and the test is Welch's."""
    found = made(grid, seed_param=None)
    seeds = [{t.seed for t in found.study.trials if t.variant == v.name} for v in found.study.variants]
    assert sum(map(len, seeds)) == len(set.union(*seeds)) == len(grid)
    compared = comparison(found.study, found.records)
    assert (compared.summary["pairs"] == 0).all()
    row = unpaired_differences(compared).set_index("variant").loc["lr=0.01"]
    values = {
        lr: [r.metrics["acc"] for r in grid if r.params["lr"] == lr and r.params["model"] == "vit"]
        for lr in ("0.1", "0.01")
    }
    expected = stats.ttest_ind(values["0.01"], values["0.1"], equal_var=False)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert row["estimate"] == pytest.approx(np.mean(values["0.01"]) - np.mean(values["0.1"]), rel=1e-9)
    assert row["verdict"] == "helps"


def test_the_unpaired_verdict_follows_the_metrics_direction(grid):
    """The same difference hurts where less is better."""
    found = made(grid, seed_param=None, direction="minimize")
    table = unpaired_differences(comparison(found.study, found.records)).set_index("variant")
    assert table.loc["lr=0.01", "verdict"] == "hurts"


def test_the_unpaired_page_never_speaks_of_pairs(grid):
    """Its caption says what was done, and nothing of seeds that pair runs."""
    found = made([*grid[:-1], replace(grid[-1], status="FAILED")], seed_param=None)
    page = unpaired_page(comparison(found.study, found.records))
    assert [table.name for table in page.tables] == ["comparison", "failures", "about"]
    caption = page.tables[0].caption
    assert "Welch" in caption
    assert "paired" not in caption


def test_one_run_of_each_gives_means_and_no_interval():
    """With single runs there is nothing to judge by, and no number pretends otherwise."""
    found = made([run(0), run(1, lr="0.01", acc=0.6)], factors=("lr",), seed_param=None)
    row = unpaired_differences(comparison(found.study, found.records)).iloc[0]
    assert row["estimate"] == pytest.approx(0.1, rel=1e-9)
    assert math.isnan(row["p"])
    assert row["verdict"] == "not enough evidence"
