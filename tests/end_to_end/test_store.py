"""MLflow away: training goes on, nothing is lost, and what is missing is delivered once."""

from __future__ import annotations

import socket

TOY = """
def train(recipe, seed, report, folder):
    for step in range(1, recipe["steps"] + 1):
        report(step, {"score": float(step + seed)})
    return {"score": float(recipe["steps"] + seed)}
"""
STUDY = """
study: toy
question: Is anything lost?
trainable: toy:train
metric: {name: score, direction: maximize}
seeds: 2
base: {steps: 3}
factors:
  steps: {reference: three, levels: {five: {steps: 5}}}
"""


def test_an_outage_delays_delivery_and_nothing_else(make_place):
    """With no server at the URI the run ends well and says what is missing; the next report delivers that, once."""
    place = make_place(toy__py=TOY, study__yaml=STUDY)
    with socket.socket() as closed:  # bound, and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = place.ablate("run", "study.yaml", MLFLOW_TRACKING_URI=uri)
    assert done.counts == (4, 0, 0)
    assert "4 Trials are not in MLflow yet" in done.out
    assert uri in done.out
    assert "Traceback" not in done.out + done.err
    assert not (place.root / "mlflow.db").exists()
    report = place.report_bytes("toy/default")

    assert "not in MLflow" not in place.ablate("report", "study.yaml").out
    first = {r.info.run_id: r for r in place.runs("toy/default")}
    kinds = sorted(r.data.tags["ablate.kind"] for r in first.values())
    assert kinds == ["report"] + ["trial"] * 4 + ["variant"] * 2
    assert {r.info.status for r in first.values()} == {"FINISHED"}
    assert place.report_bytes("toy/default") == report

    assert place.ablate("report", "study.yaml", "--quiet").counts == (0, 4, 0)
    again = {r.info.run_id: r for r in place.runs("toy/default")}
    assert again.keys() == first.keys()
    assert {i: r.data.metrics for i, r in again.items()} == {i: r.data.metrics for i, r in first.items()}
