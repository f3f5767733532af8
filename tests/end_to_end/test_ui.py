"""MLflow's own page on the runs, asked by its interface for programs and opened in a browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

SLUG = "tiny/default"


class Page:
    """A running `ablate ui`."""

    def __init__(self, address):
        self.address = address

    def ask(self, path, **body):
        """MLflow's REST interface: GET, or POST where there is something to send."""
        data = json.dumps(body).encode() if body else None
        url = f"{self.address}/api/2.0/mlflow/{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def experiment(self):
        """The study's experiment."""
        return self.ask(f"experiments/get-by-name?experiment_name={SLUG.replace('/', '%2F')}")["experiment"]

    def runs(self):
        """The study's runs, their tags as a dict."""
        found = self.ask("runs/search", experiment_ids=[self.experiment()["experiment_id"]], max_results=100)["runs"]
        return [run | {"tags": {t["key"]: t["value"] for t in run["data"]["tags"]}} for run in found]


@pytest.fixture(scope="module")
def page(trained, until):
    """`ablate ui` in the folder where the tiny study was run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = trained.place.root / "ui.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            trained.place.command("ui", "--port", port),
            cwd=trained.place.root,
            env=trained.place.environment({}),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"

    def answers():
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    try:
        until(answers)
        yield Page(address)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_uis_server_knows_the_study(page, trained):
    """Its interface gives the experiment with its question, parents and children with params, and whole curves."""
    tags = {t["key"]: t["value"] for t in page.experiment()["tags"]}
    assert tags["ablate.question"] == "Does a transformer of one block see what a user would see?"
    assert tags["ablate.question"] in tags["mlflow.note.content"]
    runs = page.runs()
    parents = {r["info"]["run_id"]: r["tags"]["ablate.variant"] for r in runs if r["tags"]["ablate.kind"] == "variant"}
    children = [r for r in runs if r["tags"]["ablate.kind"] == "trial"]
    assert sorted(parents.values()) == ["baseline", "position=none", "readout=cls"]
    assert len(children) == 6
    records = trained.place.records()
    for child in children:
        record = records[child["tags"]["ablate.trial_id"]]
        assert parents[child["tags"]["mlflow.parentRunId"]] == child["tags"]["ablate.variant"]
        params = {p["key"]: p["value"] for p in child["data"]["params"]}
        assert params["model.dim"] == "16"
        assert params["seed"] == str(record.seed)
        curve = page.ask(f"metrics/get-history?run_id={child['info']['run_id']}&metric_key=top1")["metrics"]
        assert [(m["step"], m["value"]) for m in curve] == [(r.step, r.metrics["top1"]) for r in record.history]


@pytest.mark.browser
@pytest.mark.slow
def test_a_person_sees_the_study_in_the_browser(page, chromium, tmp_path):
    """In Chromium the experiment lists every Variant, and a Trial shows its metric, params and curves."""
    from playwright.sync_api import expect

    pictures = Path(os.environ.get("ABLATE_TEST_PICTURES", tmp_path))
    experiment = page.experiment()["experiment_id"]
    child = next(r for r in page.runs() if r["tags"]["ablate.kind"] == "trial")
    with chromium.new_context(viewport={"width": 1600, "height": 1000}) as context:
        tab = context.new_page()
        tab.set_default_timeout(120_000)
        tab.goto(f"{page.address}/#/experiments/{experiment}/runs")
        for name in ("baseline", "position=none", "readout=cls"):
            expect(tab.get_by_text(name).first).to_be_visible(timeout=120_000)
        tab.screenshot(path=pictures / "experiment.png")
        tab.goto(f"{page.address}/#/experiments/{experiment}/runs/{child['info']['run_id']}")
        expect(tab.get_by_text("model.position.name").first).to_be_visible(timeout=120_000)
        expect(tab.get_by_text("top1").first).to_be_visible(timeout=120_000)
        tab.get_by_text("model.position.name").first.scroll_into_view_if_needed()
        tab.screenshot(path=pictures / "run.png")
        tab.get_by_role("tab", name="Model metrics").click()
        expect(tab.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=120_000)
        tab.screenshot(path=pictures / "metrics.png")
