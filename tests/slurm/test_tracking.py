"""A tracking server behind jobs on Slurm: they deliver to it live, and its outages lose and double nothing."""

from __future__ import annotations

import importlib.util
import json
import time
import urllib.request

import pytest
from lab import check_finished_once

pytestmark = pytest.mark.slow


@pytest.fixture
def server(request):
    """MLflow over PostgreSQL, up."""
    file = request.config.rootpath / "tests" / "tracking" / "tracking_server.py"
    spec = importlib.util.spec_from_file_location("slurm_tracking_server", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if reason := module.missing():
        pytest.skip(reason)
    running = module.TrackingServer()
    try:
        running.start()
        yield running
    finally:
        running.close()


def ask(server, path, **question):
    """An answer of MLflow's own interface."""
    body = json.dumps(question).encode() if question else None
    place = f"{server.uri}/api/2.0/mlflow/{path}"
    request = urllib.request.Request(place, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def runs(server):
    """Trial -> its runs there, each as its status and the rows of ``score``: step and value."""
    found: dict[str, list[tuple[str, list[tuple[int, float]]]]] = {}
    experiments = [e["experiment_id"] for e in ask(server, "experiments/search", max_results=100)["experiments"]]
    for run in ask(server, "runs/search", experiment_ids=experiments, max_results=1000).get("runs", []):
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        if "ablate.trial_id" in tags:
            where = f"metrics/get-history?metric_key=score&run_id={run['info']['run_id']}"
            rows = [(int(metric["step"]), metric["value"]) for metric in ask(server, where).get("metrics", [])]
            found.setdefault(tags["ablate.trial_id"], []).append((run["info"]["status"], sorted(rows)))
    return found


def test_a_server_that_dies_in_mid_study_has_every_run_once_in_the_end(slurm, lab, server):
    """Jobs deliver while they train; killed with its database and started again, it lacks nothing after the study."""
    lab = lab(steps=120, sleep=0.5)
    lab.settings(memory_gb=1)
    driver = lab.start("run", "--tracking-uri", server.uri)
    lab.until(lambda: [one for seen in runs(server).values() for one in seen if one[0] == "RUNNING" and one[1]], 120)
    server.kill()
    time.sleep(15)
    server.start()
    counts, said = lab.end(driver)
    assert counts == (4, 0, 0), said
    check_finished_once(lab, steps=120)
    lab.ablate("report", "--tracking-uri", server.uri)
    rows = {trial: [(row.step, row.metrics["score"]) for row in r.history] for trial, r in lab.records().items()}
    assert runs(server) == {trial: [("FINISHED", history)] for trial, history in rows.items()}
