"""`ablate run`: what it prints, what it writes, and what it does not train twice."""

from __future__ import annotations

import csv
import io
import re
import shutil

import pytest

SLUG = "tiny/default"
NAMES = ["baseline", "position=none", "readout=cls"]


def test_a_run_ends_with_table_report_ui_and_counts(trained):
    """A first run exits with 0 and shows the table, the report's place, how to open MLflow, and the counts last."""
    out = trained.done.out
    assert trained.done.counts == (6, 0, 0)
    assert all(name in out for name in NAMES)
    assert "top-1 accuracy (%)" in out
    assert "reports/tiny/default/report.md" in out
    assert "`ablate ui`" in out
    assert f"mlflow ui --backend-store-uri sqlite:///{trained.place.root}/mlflow.db" in out
    assert trained.done.err == ""


def test_without_a_terminal_there_are_plain_lines(trained):
    """Into a pipe go one line for each Trial, and no escape codes."""
    assert "\x1b" not in trained.done.out
    lines = [line for line in trained.done.out.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in lines] == [f"[{n}/6" for n in range(1, 7)]
    assert {(m[1], m[2]) for line in lines if (m := re.search(r"trained (\S+) seed (\d)", line))} == {
        (name, seed) for name in NAMES for seed in "01"
    }


def test_the_report_folder_is_complete(trained):
    """Pages, the tidy frames, the table in three formats, three figures each as SVG and PDF: all there, none empty."""
    files = trained.place.report_bytes(SLUG)
    expected = {"report.md", "report.html", "trials.csv", "history.csv"}
    expected |= {f"tables/comparison.{kind}" for kind in ("csv", "md", "tex")}
    expected |= {f"figures/{name}.{kind}" for name in ("differences", "curves", "trials") for kind in ("svg", "pdf")}
    assert expected <= files.keys()
    assert all(files.values())
    assert "\\toprule" in files["tables/comparison.tex"].decode()
    assert b"".join(files.values()).count(str(trained.place.root).encode()) == 0


def test_the_frame_has_every_trial_and_epoch(trained):
    """One row for each Trial in the one frame, one for each Trial and epoch in the other."""
    files = trained.place.report_bytes(SLUG)
    assert len(files["trials.csv"].splitlines()) == 1 + 6
    rows = list(csv.DictReader(io.StringIO(files["history.csv"].decode())))
    epochs = [(row["variant"], row["seed"], row["step"]) for row in rows]
    assert sorted(set(epochs)) == [(name, seed, epoch) for name in NAMES for seed in "01" for epoch in "12"]


def test_a_second_run_trains_nothing_and_writes_the_same_bytes(trained):
    """With --quiet there is the last line alone; no Trial is touched, and every file of the report is equal."""
    report, results = trained.place.report_bytes(SLUG), trained.place.results()
    done = trained.place.ablate("run", "tiny.yaml", "--slots", 2, "--quiet")
    assert done.out == "trained 0, reused 6, failed 0\n"
    assert done.err == ""
    assert trained.place.results() == results
    assert all(record.attempts == 1 for record in trained.place.records().values())
    assert trained.place.report_bytes(SLUG) == report


def test_mlflow_has_parents_children_params_metrics_and_files(trained):
    """One parent run a Variant with the aggregates, one child run a Trial with Recipe, Levels and a curve."""
    runs = trained.place.runs(SLUG)
    parents = {r.info.run_id: r for r in runs if r.data.tags["ablate.kind"] == "variant"}
    children = [r for r in runs if r.data.tags["ablate.kind"] == "trial"]
    assert sorted(r.info.run_name for r in parents.values()) == NAMES
    table = {row["variant"]: float(row["mean"]) for row in trained.place.comparison(SLUG)}
    assert {r.info.run_name: r.data.metrics["mean"] for r in parents.values()} == pytest.approx(table)
    assert len(children) == 6
    for child in children:
        tags, params = child.data.tags, child.data.params
        assert parents[tags["mlflow.parentRunId"]].info.run_name == tags["ablate.variant"]
        assert params["model.position.name"] == tags["factor.position"]
        assert params["model.readout.name"] == tags["factor.readout"]
        assert child.info.status == "FINISHED"
        assert child.inputs.dataset_inputs[0].dataset.name == "digits"


def test_mlflow_holds_the_report_with_working_links(trained):
    """The report that MLflow keeps has its figures where its pages look for them."""
    (folder,) = (p.parent for p in (trained.place.root / "mlruns").rglob("report.md"))
    links = re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", (folder / "report.md").read_text(encoding="utf-8"))
    links = [a or b for a, b in links]
    assert any(link.startswith("figures/") for link in links)
    assert [link for link in links if not (folder / link).is_file()] == []


def test_two_studies_share_a_trial(trained):
    """A second study that asks for the same Recipes and seeds trains nothing, and has child runs of its own."""
    text = (trained.place.root / "tiny.yaml").read_text(encoding="utf-8")
    head, _, _ = text.partition("  readout:\n    reference")
    trained.place.write("other.yaml", head.replace("study: tiny", "study: other"))
    done = trained.place.ablate("run", "other.yaml", "--quiet")
    assert done.counts == (0, 4, 0)
    here, there = (
        {r.data.tags["ablate.trial_id"] for r in trained.place.runs(slug) if "ablate.trial_id" in r.data.tags}
        for slug in (SLUG, "other/default")
    )
    assert len(there) == 4
    assert there < here


def test_changing_a_level_trains_only_its_trials(trained, make_place, tiny):
    """After an edit of one Level, its two Trials are trained, and the four others are reused."""
    place = make_place(tiny__yaml=tiny.replace("none: {model.position: none}", "none: {model.position: learned}"))
    shutil.copytree(trained.place.root / ".ablate", place.root / ".ablate")
    before = place.results()
    done = place.ablate("run", "tiny.yaml", "--slots", 2)
    assert done.counts == (2, 4, 0)
    assert {name for name in NAMES if f"trained {name} seed" in done.out} == {"position=none"}
    assert before.items() <= place.results().items()


def test_only_seeds_and_set_select_and_override(make_place, tiny):
    """--only keeps the baseline too, --seeds takes the first, --set changes the base; the report says so."""
    place = make_place(tiny__yaml=tiny)
    options = [
        "--only",
        "position=*",
        "--seeds",
        1,
        "--set",
        "schedule.epochs=1",
        "--set",
        "optimizer.learning_rate=2e-3",
    ]
    done = place.ablate("run", "tiny.yaml", "--slots", 2, *options)
    assert done.counts == (2, 0, 0)
    (selection,) = (place.root / "reports" / SLUG / "selections").iterdir()
    slug = f"{SLUG}/selections/{selection.name}"
    assert [row["variant"] for row in place.comparison(slug)] == ["baseline", "position=none"]
    assert not (place.root / "reports" / SLUG / "report.md").exists()
    for record in place.records().values():
        assert record.seed == 0
        assert len(record.history) == 1
        assert record.recipe["optimizer"]["learning_rate"] == 0.002
    report = place.report_bytes(slug)["report.md"].decode()
    assert "--seeds 1" in report
    assert "schedule.epochs=1" in report


def test_the_debug_executor_measures_the_same(trained, make_place, tiny):
    """Trained in the driver's own process, every Trial ends with the numbers of the local executor."""
    place = make_place(tiny__yaml=tiny)
    assert place.ablate("run", "tiny.yaml", "--executor", "debug", "--slots", 2, "--quiet").counts == (6, 0, 0)
    assert place.comparison(SLUG) == trained.place.comparison(SLUG)
    local, debug = (
        {trial: p.timeless(record) for trial, record in p.records().items()} for p in (trained.place, place)
    )
    assert local == debug


def test_everything_lies_where_options_put_it(trained, tmp_path):
    """A study is found by its path from another folder, and spool, report and store go where options say."""
    from mlflow import MlflowClient

    study = trained.place.root / "tiny.yaml"
    spool = shutil.copytree(trained.place.root / ".ablate", tmp_path / "spool")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = type(trained.place)(elsewhere)
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    done = place.ablate("report", study, "--home", spool, "--reports", tmp_path / "out", "--tracking-uri", uri)
    assert done.counts == (0, 6, 0)
    assert (tmp_path / "out" / SLUG / "report.html").is_file()
    assert list(elsewhere.iterdir()) == []
    assert MlflowClient(tracking_uri=uri).get_experiment_by_name(SLUG) is not None
