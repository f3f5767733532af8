"""Teachers, and Trials that are two Variants', on their way to the Store: every training is one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ablate.study.study import Study, Trial, Variant
from ablate.tracking.delivery import Delivery
from ablate.tracking.live import LiveDelivery
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.results import bring_weights, collect, collect_ids
from ablate.tracking.spool import Spool
from ablate.tracking.store import places
from ablate.trainable import WEIGHTS

if TYPE_CHECKING:
    from mlflow.entities import Run

MakeRecord = Callable[..., Record]
TEACHER_ID = "feedfeedfeedfeed"


@pytest.fixture
def taught(study: Study) -> Study:
    """The small study with a teacher, from which its second Variant learns, and a third Variant that shares the
    second one's Trials.
    """
    recipe = {**study.baseline.recipe, "model": {"dim": 128, "position": "sincos2d"}}
    teacher = Trial(f"{study.name[-8:]}{TEACHER_ID}"[:16], "teacher:big", 7, recipe)
    second = study.variants[1]
    judged = Variant("judged", second.levels, {**second.recipe, "judge": "ema"}, {"judge": ("weights", "ema")})
    trials = []
    for trial in study.trials:
        mine = replace(trial, needs=(teacher.id,)) if trial.variant == second.name else trial
        trials += [mine, replace(mine, variant="judged", recipe=judged.recipe)] if mine is not trial else [mine]
    return replace(
        study,
        variants=(*study.variants, judged),
        trials=tuple(trials),
        teachers=(teacher,),
        teacher_variants=(Variant("teacher:big", {}, recipe, {"model.dim": (64, 128)}, "Twice as wide."),),
    )


def record_of_trial(study: Study, trial: Trial, record_of: MakeRecord, **changes: Any) -> Record:
    return record_of(study, 0, trial_id=trial.id, seed=trial.seed, recipe=trial.recipe, **changes)


def runs_of(store: MlflowStore, study: Study, condition: str) -> list[Run]:
    from mlflow import MlflowClient

    client = MlflowClient(store.uri)
    experiment = client.get_experiment_by_name(study.slug)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], condition))


def test_each_training_has_one_place(taught: Study) -> None:
    """A Trial of two Variants is the first one's; a teacher's is its own, unless a Variant has it."""
    held = {trial_id: variant.name for trial_id, (variant, _) in places(taught).items()}
    assert len(held) == len(taught.all_trials) == 5
    assert held[taught.teachers[0].id] == "teacher:big"
    assert [held[trial.id] for trial in taught.trials if trial.variant == "judged"] == ["posemb=learned"] * 2
    own = replace(taught, teachers=(replace(taught.teachers[0], id=taught.trials[0].id),))
    assert places(own)[taught.trials[0].id][0].name == "baseline"


def test_a_teacher_is_a_run_of_the_experiment_tagged_as_one(
    sqlite_store: MlflowStore, taught: Study, record_of: MakeRecord
) -> None:
    """It stands beside the Variants' runs, says what it is, and who needs it says so."""
    teacher = taught.teachers[0]
    pupil = next(trial for trial in taught.trials if trial.needs)
    for trial in (teacher, pupil):
        sqlite_store.deliver(taught, record_of_trial(taught, trial, record_of), {})
    [run] = runs_of(sqlite_store, taught, "tags.`ablate.kind` = 'teacher'")
    assert run.info.run_name == "teacher:big · seed 7"
    assert run.data.tags["ablate.trial_id"] == teacher.id
    assert "mlflow.parentRunId" not in run.data.tags
    note = run.data.tags["mlflow.note.content"]
    assert "The teacher **big** of" in note
    assert "Twice as wide." in note
    assert run.data.params["model.dim"] == "128"
    [taught_run] = runs_of(sqlite_store, taught, "tags.`ablate.kind` = 'trial'")
    assert taught_run.data.tags["ablate.needs"] == teacher.id
    assert taught_run.data.tags["ablate.variant"] == "posemb=learned"
    assert taught_run.data.tags["ablate.also"] == "judged"
    [parent] = runs_of(sqlite_store, taught, "tags.`ablate.kind` = 'variant'")
    assert parent.info.run_name == "posemb=learned"
    assert sqlite_store.known([teacher.id], taught)[teacher.id].status == "finished"


def test_a_teacher_that_becomes_a_variant_moves_to_it_and_back(
    sqlite_store: MlflowStore, taught: Study, record_of: MakeRecord
) -> None:
    """Another study of the same name may count the same training among its results."""
    teacher = taught.teachers[0]
    record = record_of_trial(taught, teacher, record_of)
    as_variant = Variant("wide", {"posemb": "sincos2d"}, teacher.recipe, {"model.dim": (64, 128)})
    mine = replace(teacher, variant="wide")
    other = replace(taught, variants=(*taught.variants, as_variant), trials=(*taught.trials, mine), teachers=())
    condition = f"tags.`ablate.trial_id` = '{teacher.id}'"

    sqlite_store.deliver(taught, record, {})
    sqlite_store.deliver(other, record, {})
    [run] = runs_of(sqlite_store, taught, condition)
    assert (run.data.tags["ablate.kind"], run.data.tags["ablate.variant"]) == ("trial", "wide")
    assert run.data.tags["factor.posemb"] == "sincos2d"
    assert run.data.tags["mlflow.parentRunId"]

    sqlite_store.deliver(taught, record, {})
    [run] = runs_of(sqlite_store, taught, condition)
    assert (run.data.tags["ablate.kind"], run.info.run_name) == ("teacher", "teacher:big · seed 7")
    assert "mlflow.parentRunId" not in run.data.tags
    assert "factor.posemb" not in run.data.tags


def test_teachers_are_delivered_and_shared_trials_once(
    fake_store: Any, spool: Spool, taught: Study, record_of: MakeRecord
) -> None:
    """While the study runs, and when it is collected."""
    trials = (taught.teachers[0], next(trial for trial in taught.trials if trial.variant == "judged"))
    with LiveDelivery(fake_store, spool, taught, every_s=0.01):
        for trial in trials:
            assert spool.save(record_of_trial(taught, trial, record_of))
    ids = {trial.id for trial in trials}
    assert {trial_id for _, trial_id in fake_store.runs} == ids
    assert fake_store.calls == 2
    records = collect(taught, spool, fake_store)
    assert list(records) == [trial.id for trial in trials]
    report = Delivery(fake_store, spool, taught).deliver_all(records.values())
    assert set(report.already) == ids
    assert fake_store.calls == 2


def test_weights_come_back_from_the_store(fake_store: Any, spool: Spool, taught: Study, record_of: MakeRecord) -> None:
    """A teacher of another study is fetched whole; one whose weights were deleted here gets them back."""
    teacher = taught.teachers[0]
    record = record_of_trial(taught, teacher, record_of, artifacts=(WEIGHTS,))
    weights = spool.root.parent / "elsewhere.pt"
    weights.write_bytes(b"weights")
    fake_store.deliver(taught, record, {WEIGHTS: weights})

    assert collect_ids([teacher.id], spool) == {}
    assert collect_ids([teacher.id], spool, fake_store)[teacher.id].status == "finished"
    held = spool.artifact(teacher.id, WEIGHTS)
    assert held is not None
    held.unlink()
    assert not bring_weights(teacher.id, spool)
    assert bring_weights(teacher.id, spool, fake_store)
    assert held.read_bytes() == b"weights"


def test_weights_that_nobody_has_are_not_there(
    fake_store: Any, spool: Spool, taught: Study, record_of: MakeRecord, tmp_path: Path
) -> None:
    """The Store may know nothing of the Trial, or have kept no weights with it."""
    teacher = taught.teachers[0]
    spool.save(record_of_trial(taught, teacher, record_of))
    assert not bring_weights(teacher.id, spool, fake_store)
    fake_store.deliver(taught, record_of_trial(taught, teacher, record_of), {})
    assert not bring_weights(teacher.id, spool, fake_store)
