"""Outcomes by image, read from the files of Trials that are written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from ablate.reporting.examples import INTERVALS, Examples, examples_of, image_intervals
from ablate.reporting.frame import trial_frame
from ablate.reporting.kept import Kept
from ablate.study.study import Analysis, Metric, Study
from ablate.training.artifacts import write_artifacts
from ablate.training.evaluation import Evaluation

N = 200
INDEX, LABEL = np.arange(1000, 1000 + N), np.arange(N) % 10


@dataclass
class Files:
    """A folder of Trials' files, and how often each was asked for."""

    folder: Path
    asked: list[str]

    def write(self, trial_id: str, right: NDArray[np.bool_], name: str = "per_example.npz", **changed: Any) -> float:
        """What a Trial leaves that is right on some images; its top-1 accuracy in percent."""
        prediction = np.where(right, LABEL, (LABEL + 1) % 10)
        arrays: dict[str, Any] = {"index": INDEX, "label": LABEL, "prediction": prediction, "correct": right, **changed}
        (self.folder / trial_id).mkdir(exist_ok=True)
        np.savez(self.folder / trial_id / name, **{key: value for key, value in arrays.items() if value is not None})
        return 100 * float(right.mean())

    def kept(self) -> Kept:
        """What a report asks for them."""

        def artifact(trial_id: str, name: str) -> Path | None:
            self.asked.append(trial_id)
            path = self.folder / trial_id / name
            return path if path.exists() else None

        return Kept(artifact=artifact)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty folder."""
    return Files(tmp_path, [])


@pytest.fixture
def right() -> Callable[[int], NDArray[np.bool_]]:
    """Which of N images a Trial gets right, by a number of its own."""
    return lambda number: np.random.default_rng(number).random(N) < 0.9


def read(study: Study, values: dict[str, list[float]], files: Files, fake: SimpleNamespace) -> Examples | None:
    """The outcomes of a study of which these values were recorded."""
    return examples_of(study, trial_frame(study, fake.records(study, values)), files.kept())


def written(study: Study, files: Files, right: Callable[[int], NDArray[np.bool_]]) -> dict[str, list[float]]:
    """Write a file for every Trial; their metrics."""
    values: dict[str, list[float]] = {variant.name: [] for variant in study.variants}
    for number, trial in enumerate(study.trials):
        values[trial.variant].append(files.write(trial.id, right(number)))
    return values


def test_outcomes_are_those_of_the_files(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """Images, predictions and what was right come back as written, a row for each seed, and the metric is told."""
    study = fake.study(seeds=(0, 1))
    found = read(study, written(study, files, right), files, fake)
    assert found is not None
    assert (found.index.tolist(), found.label.tolist()) == (INDEX.tolist(), LABEL.tolist())
    for number, trial in enumerate(study.trials):
        row = found.seeds[trial.variant].index(trial.seed)
        assert (found.correct[trial.variant][row] == right(number)).all()
        assert ((found.prediction[trial.variant][row] == LABEL) == right(number)).all()
    assert (found.scale, found.notes) == (100.0, ())
    assert found.outcome == found.correct


def test_classes_have_the_names_that_are_known_here(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """Those of the baseline's data by label, a number where there are none."""
    study = fake.study(seeds=(0,))
    trials = trial_frame(study, fake.records(study, written(study, files, right)))
    asked: list[Any] = []

    def names(recipe: Any) -> list[str]:
        asked.append(recipe)
        return [f"thing {i}" for i in range(10)]

    found = examples_of(study, trials, replace(files.kept(), class_names=names))
    unnamed = examples_of(study, trials, files.kept())
    assert found is not None
    assert unnamed is not None
    assert [found.class_name(label) for label in (0, 9, 10)] == ["thing 0", "thing 9", "10"]
    assert unnamed.class_name(3) == "3"
    assert asked == [study.baseline.recipe]


def test_what_the_trainer_writes_is_read(files: Files, fake: SimpleNamespace) -> None:
    """The file that the built-in trainer leaves is one of these, with its loss where that is the metric."""
    study = fake.study(("baseline",), (0,), metric=Metric("loss", "minimize"))
    loss = np.linspace(0, 2, N, dtype=np.float32)
    outcome = Evaluation(INDEX, LABEL, LABEL[::-1].copy(), np.ones(N, bool), loss)
    write_artifacts(files.folder / study.trials[0].id, nn.Linear(1, 1), None, {"": outcome}, ())
    record = replace(fake.record(study, "baseline", 0, 0.0), metrics=outcome.metrics())
    found = examples_of(study, trial_frame(study, {"baseline-0": record}), files.kept())
    assert found is not None
    assert found.outcome["baseline"][0] == pytest.approx(loss)
    assert (found.correct["baseline"][0] == (LABEL[::-1] == LABEL)).all()


def test_the_average_is_read_where_it_is_judged(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """A Variant that is judged by the average of its weights has the outcomes of `ema_per_example.npz`."""
    study = fake.study(("baseline", "a"), (0,))
    averaged = replace(study.variants[1], recipe={**study.variants[1].recipe, "judge": "ema"})
    trials = (study.trials[0], replace(study.trials[1], recipe=averaged.recipe))
    study = replace(study, variants=(study.baseline, averaged), trials=trials)
    first = files.write("baseline-0", right(0))
    files.write("a-0", right(1))
    metrics = {"top1": 1.0, "ema_top1": files.write("a-0", right(2), "ema_per_example.npz")}
    records = {"baseline-0": fake.record(study, "baseline", 0, first)}
    records["a-0"] = replace(fake.record(study, "a", 0, 1.0), metrics=metrics)
    found = examples_of(study, trial_frame(study, records), files.kept())
    assert found is not None
    assert (found.correct["a"][0] == right(2)).all()


def test_what_cannot_be_used_is_left_out_and_named(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """A missing, a torn and a pickled file, other images, and a file of another training: each is said, by its name."""
    study = fake.study(("baseline", "a", "b", "c", "d", "e"), (0, 1))
    values = written(study, files, right)
    (files.folder / "a-1" / "per_example.npz").unlink()
    torn = files.folder / "b-0" / "per_example.npz"
    torn.write_bytes(torn.read_bytes()[:-40])
    files.write("c-1", right(0), label=(LABEL + 1) % 10)
    files.write("d-0", right(99))
    files.write("e-0", right(0), prediction=np.array([object()] * N))
    found = read(study, values, files, fake)
    assert found is not None
    assert found.seeds == {"baseline": (0, 1), "a": (0,), "b": (1,), "c": (0,), "d": (1,), "e": (1,)}
    notes = " ".join(found.notes)
    for trial, why in {
        "a (seed 1)": "without outcomes by image here",
        "b (seed 0)": "cannot be read",
        "c (seed 1)": "on other images",
        "d (seed 0)": "do not give the metric",
        "e (seed 0)": "objects",
    }.items():
        assert any(trial in note and why in note for note in found.notes), notes


def test_without_the_baseline_there_is_nothing(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """Where no file of the baseline is here nothing is said, and no other file is looked for."""
    study = fake.study(seeds=(0, 1))
    values = written(study, files, right)
    for seed in (0, 1):
        (files.folder / f"baseline-{seed}" / "per_example.npz").unlink()
    assert read(study, values, files, fake) is None
    assert set(files.asked) == {"baseline-0", "baseline-1"}


def test_a_metric_that_is_no_mean_over_images_has_no_intervals(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """Of a metric that files do not have by image there are outcomes to look at, a note, and no number."""
    study = fake.study(seeds=(0, 1), metric=Metric("top5", "maximize", "%"))
    found = read(study, written(study, files, right), files, fake)
    assert found is not None
    assert not found.outcome
    assert "top5" in found.notes[0]
    table = image_intervals(study, found)
    assert list(table.columns) == [*INTERVALS, "pairs"]
    assert list(table.index) == ["a", "b"]
    assert table.isna().all(axis=None)


def test_a_metric_of_the_users_own_is_told_by_its_name(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """An array of the metric's name is what the images say; without `correct` a prediction is right by its label."""
    study = fake.study(("baseline", "a"), (0, 1), metric=Metric("error_px", "minimize", "px"))
    values: dict[str, list[float]] = {"baseline": [], "a": []}
    for number, trial in enumerate(study.trials):
        error = np.random.default_rng(number).gamma(2, size=N)
        files.write(trial.id, right(number), error_px=error, correct=None)
        values[trial.variant].append(float(error.mean()))
    found = read(study, values, files, fake)
    assert found is not None
    assert (found.correct["a"][0] == right(1)).all()
    table = image_intervals(study, found)
    difference = np.subtract(values["a"], values["baseline"]).mean()
    assert (table.loc["a", "images_low"] + table.loc["a", "images_high"]) / 2 == pytest.approx(difference, abs=1e-6)


def test_a_trial_of_two_variants_is_read_once(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """Two Variants that share a Trial both have its outcomes, and its file is read once."""
    study = fake.study(("baseline", "a", "b"), (0,))
    shared = replace(study.trials[2], id=study.trials[1].id)
    study = replace(study, trials=(*study.trials[:2], shared))
    values = {"baseline": [files.write("baseline-0", right(0))], "a": [files.write("a-0", right(1))]}
    found = read(study, values, files, fake)
    assert found is not None
    assert (found.correct["a"] == found.correct["b"]).all()
    assert files.asked.count("a-0") == 1


def test_intervals_are_in_the_metrics_unit_and_at_its_alpha(files: Files, right: Any, fake: SimpleNamespace) -> None:
    """In percent, around the difference of the recorded metrics, and wider for a smaller alpha."""
    study = fake.study(("baseline", "a", "b"), (0, 1, 2))
    values = written(study, files, right)
    values["b"] = [np.nan] * 3
    found = read(study, values, files, fake)
    assert found is not None
    table = image_intervals(study, found)
    difference = np.subtract(values["a"], values["baseline"]).mean()
    for question in ("images", "both"):
        assert table.loc["a", [f"{question}_low", f"{question}_high"]].mean() == pytest.approx(difference)
    assert table.loc["b"].isna().all()
    strict = image_intervals(replace(study, analysis=Analysis(alpha=0.01)), found)
    assert strict.loc["a", "both_low"] < table.loc["a", "both_low"]
    assert strict.loc["a", "both_p"] == pytest.approx(table.loc["a", "both_p"])
