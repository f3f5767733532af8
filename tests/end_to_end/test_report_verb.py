"""`ablate report`, as a user starts it: of several studies, of other code's runs, and in the formats asked for."""

from __future__ import annotations

import csv

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from typer.testing import CliRunner

from ablate.cli import app
from ablate.study.load import load_study
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

#: What `--from-mlflow` needs to be told.
QUESTION = ("--from-mlflow", "sweep", "--factor", "lr", "--metric", "acc", "--maximize")


def finish(place, path, effect):
    """Put a result of each of a study's Trials into the spool, as if they had been trained."""
    study = load_study(place.root / path)
    for trial in study.trials:
        value = 90 + 0.5 * trial.seed + (trial.variant != "baseline") * (effect + 0.1 * trial.seed)
        record = Record(
            trial_id=trial.id,
            seed=trial.seed,
            trainable=study.trainable,
            recipe=trial.recipe,
            status="finished",
            started=1.0,
            ended=2.0,
            seconds=1.0,
            metrics={"top1": value},
            data_fingerprint=study.data_fingerprint,
        )
        Spool(place.root / ".ablate").save(record)


@pytest.fixture(scope="module")
def studies(make_place, tiny):
    """A folder with the results of two studies that share their Levels, and with an experiment of other code."""
    other = tiny.replace("study: tiny", "study: other").replace("dim: 16", "dim: 24")
    place = make_place(tiny__yaml=tiny, other__yaml=other)
    finish(place, "tiny.yaml", -8)
    finish(place, "other.yaml", -1)
    (place.root / "reports" / "tiny" / "default").mkdir(parents=True)
    place.write("reports/tiny/default/report.md", "its own report")
    client = MlflowClient(tracking_uri=f"sqlite:///{place.root / 'mlflow.db'}")
    experiment = client.create_experiment("sweep")
    for number in range(6):
        lr, seed = ("0.1", "0.01")[number % 2], number // 2
        run = client.create_run(experiment, start_time=1000 + number).info.run_id
        values = [Metric("acc", 0.5 + 0.1 * (lr == "0.1") + 0.01 * seed, 1, step) for step in range(2)]
        client.log_batch(run, values, [Param("lr", lr), Param("seed", str(seed))])
        client.set_terminated(run)
    return place


def rows(path):
    """A table's rows."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_two_studies_are_compared_and_their_own_reports_stay(studies):
    """The comparison has a folder of its own; a study's report is not touched by it."""
    before = studies.report_bytes("tiny/default")
    done = studies.ablate("report", "tiny.yaml", "other.yaml")
    folder = studies.root / "reports" / "compare" / "tiny+other" / "default"
    assert "Effects that the studies share" in done.out
    assert done.out.splitlines()[-1].startswith("compared 2 studies, shared effects ")
    assert {p.name for p in folder.iterdir()} == {"report.md", "report.html", "tables", "figures"}
    assert len(rows(folder / "tables" / "effects.csv")) >= 2
    assert studies.report_bytes("tiny/default") == before


def test_only_the_formats_asked_for_are_written(studies, tmp_path):
    """`--format csv` writes tables of numbers, and no page."""
    studies.ablate("report", "tiny.yaml", "other.yaml", "--format", "csv", "--reports", tmp_path, "--quiet")
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".csv"}


def test_runs_of_other_code_make_the_same_tables(studies):
    """An experiment with a Factor and a seed named becomes a comparison in `reports/mlflow`."""
    done = studies.ablate("report", *QUESTION, "--seed-param", "seed", "--curves")
    folder = studies.root / "reports" / "mlflow" / "sweep"
    baseline, other = rows(folder / "tables" / "comparison.csv")
    assert (baseline["variant"], other["variant"]) == ("baseline", "lr=0.01")
    assert float(other["difference"]) == pytest.approx(-0.1, abs=1e-9)
    assert len(rows(folder / "history.csv")) == 12
    assert "Baseline: lr=0.1, the combination with the most finished runs" in done.out
    assert done.out.splitlines()[-1] == "runs 6, Variants 2, without a result 0"


def test_unpaired_runs_have_a_folder_of_their_own(studies):
    """`--unpaired` compares by Welch's test, beside the paired report and not over it."""
    done = studies.ablate("report", *QUESTION, "--unpaired", "--baseline", "lr=0.01")
    folder = studies.root / "reports" / "mlflow" / "sweep" / "unpaired"
    assert "Welch" in done.out
    assert [row["test"] for row in rows(folder / "tables" / "comparison.csv")] == ["", "Welch"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Missing argument 'STUDY...'"),
        (("tiny.yaml", "--format", "htlm"), "there is no format 'htlm'; allowed: html, md, tex, csv; did you mean"),
        (("tiny.yaml", "--factor", "lr"), "--factor says how runs of other code are read"),
        (("tiny.yaml", *QUESTION), "STUDY is for studies of ablate"),
        (("tiny.yaml", "tiny.yaml"), "given twice"),
        (("tiny.yaml", "nowhere.yaml"), "nowhere.yaml"),
        (("--from-mlflow", "sweep"), "--factor PARAM"),
        (("--from-mlflow", "sweep", "--factor", "lr", "--metric", "acc"), "--maximize or --minimize"),
        (QUESTION, "--unpaired takes each Variant's runs for an independent sample"),
        ((*QUESTION, "--unpaired", "--seed-param", "seed"), "give one of both"),
        ((*QUESTION, "--unpaired", "--baseline", "lr"), "'lr' is no PARAM=VALUE"),
        (("--from-mlflow", "swep", *QUESTION[2:], "--unpaired"), "did you mean 'sweep'"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(studies, arguments, told, tmp_path, monkeypatch):
    """A mistake is a line on the error stream and exit code 2."""
    monkeypatch.chdir(studies.root)
    done = CliRunner().invoke(app, ["report", *arguments, "--reports", str(tmp_path / "reports")])
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "reports").exists()


def test_a_study_of_which_nothing_was_trained_is_told(studies, tmp_path, monkeypatch):
    """A comparison with an untrained study says which one it is."""
    monkeypatch.chdir(studies.root)
    places = ("--home", tmp_path / "spool", "--reports", tmp_path, "--tracking-uri", f"sqlite:///{tmp_path}/none.db")
    done = CliRunner().invoke(app, ["report", "tiny.yaml", "other.yaml", *map(str, places)])
    assert done.exit_code == 2
    assert "nothing of tiny/default has been trained here yet" in done.stderr
