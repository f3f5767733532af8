from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from ablate.reporting.comparison import comparison
from ablate.reporting.page.curves import POINTS, SEEDS, curves_data
from ablate.tracking.record import Row


def test_every_finished_and_failed_seed_has_its_curve(fake: SimpleNamespace) -> None:
    """Of each Variant and measurement a curve a seed, with the status that it ended with."""
    study, records = fake.realistic()
    data = curves_data(comparison(study, records), records)
    assert data is not None
    assert data["names"] == ["top1", "train/loss"]
    assert data["chosen"] == 0
    assert len(data["curves"]) == 14 * 3 * 2
    place = [v.name for v in study.variants].index("dropout=0.1")
    statuses = [status for variant, _, status, name, *_ in data["curves"] if (variant, name) == (place, 0)]
    assert statuses == ["finished", "failed", "finished"]


def test_a_long_curve_is_thinned_and_keeps_its_end(fake: SimpleNamespace) -> None:
    """Of 1,001 points about a hundred stay, the last among them, and the page says so."""
    study = fake.study(("baseline", "a"))
    records = fake.records(study, {"baseline": [90, 91, 92], "a": [89, 90, 91]}, history=1001)
    data = curves_data(comparison(study, records), records)
    assert data is not None
    assert all(len(steps) <= POINTS and steps[-1] == 1001 for steps in data["steps"])
    assert f"{POINTS} points" in data["note"]


def test_many_seeds_and_variants_are_cut(fake: SimpleNamespace) -> None:
    """Curves of the Variants that are drawn and of their first seeds, and the page says so."""
    names = ["baseline", *(f"rate={i}" for i in range(60))]
    study = fake.study(names, tuple(range(12)))
    records = fake.records(study, {n: [90.0 + i % 7 + s for s in range(12)] for i, n in enumerate(names)}, history=3)
    data = curves_data(comparison(study, records), records)
    assert data is not None
    assert len(data["curves"]) == 31 * SEEDS * 2
    assert f"first {SEEDS} seeds" in data["note"]
    assert "are drawn" in data["note"]


def test_training_and_held_out_belong_together(fake: SimpleNamespace) -> None:
    """`loss` and `train_loss` are offered as one choice."""
    study = fake.study(("baseline",))
    record = fake.record(study, "baseline", 0, 90.0)
    rows = tuple(Row(i, {"top1": 80.0 + i, "loss": 1.0, "train_loss": 0.5}, 0.0) for i in range(3))
    records = {record.trial_id: replace(record, history=rows)}
    data = curves_data(comparison(study, records), records)
    assert data is not None
    pairs = [(data["names"][a], data["names"][b]) for a, b in data["pairs"]]
    assert pairs == [("loss", "train_loss")]


def test_a_loss_that_is_no_number_is_a_gap(fake: SimpleNamespace) -> None:
    """NaN, which JSON has no word for, is a point without a value."""
    study = fake.study(("baseline",))
    record = fake.record(study, "baseline", 0, 90.0)
    rows = (Row(1, {"top1": 80.0}, 0.0), Row(2, {"top1": float("nan")}, 0.0))
    records = {record.trial_id: replace(record, history=rows)}
    data = curves_data(comparison(study, records), records)
    assert data is not None
    assert data["curves"][0][-1] == [80.0, None]
