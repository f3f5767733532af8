"""The Store on MLflow: one experiment a study and profile, one parent run a Variant, one child run a Trial; a teacher
is a run beside them.

A child run is complete when its status is FINISHED or FAILED, which is set last of all. The Record itself is
its artifact ``result.json``, and reading back reads that: params and metrics are there for people and for
MLflow's own tools. MLflow's global state (active run, tracking URI) is neither used nor changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.study.study import Study, Trial
from ablate.tracking import mlflow_entries as entries
from ablate.tracking.codec import RecordError, decode
from ablate.tracking.destination import Destination, Places
from ablate.tracking.mlflow_client import Connection
from ablate.tracking.mlflow_report import write_report_run
from ablate.tracking.mlflow_runs import TrialRun
from ablate.tracking.mlflow_search import experiments, make_experiment, search
from ablate.tracking.mlflow_variants import VariantRuns
from ablate.tracking.record import Record, Status
from ablate.tracking.store import Stamp, StoreUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: Below this many Trials, one query each is cheaper than reading all runs.
_FEW = 12
_COMPLETE = ("FINISHED", "FAILED")


class MlflowStore:
    """A tracking store of MLflow, by URI; None takes MLFLOW_TRACKING_URI, else MLflow's default place.

    Made in no time: MLflow is imported and the store contacted by the first method that needs them.
    """

    def __init__(self, uri: str | None = None, *, patient: bool = False) -> None:
        """A server that was not reached is left alone for a minute, unless the caller is ``patient`` himself."""
        self._connection = Connection(uri, patient=patient)
        self._experiments: dict[str, str] = {}
        self._variants: dict[str, VariantRuns] = {}
        self._places: Places | None = None
        self._run_ids: dict[str, str] = {}
        """Trial -> the run by which it was found complete, for `fetch`."""
        self._kept: dict[tuple[str, str], TrialRun] = {}
        """Experiment and Trial -> the run that this process alone writes."""

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self._connection.uri

    def begun(self) -> bool:
        """Whether there can be anything in it yet; False for a file, given or MLflow's default, that is not there."""
        return self._connection.begun()

    def prepare(self) -> None:
        """Import MLflow and make the client, without reaching a server. Raises `StoreUnavailable`."""
        self._connection.prepare()

    def known(self, trial_ids: Iterable[str], study: Study | None = None) -> dict[str, Stamp]:
        """The outcomes held complete: in this study's experiment, or anywhere when none is given."""
        wanted = dict.fromkeys(trial_ids)
        stamps: dict[str, Stamp] = {}
        for run in self._complete_runs(list(wanted), study):
            trial_id = run.data.tags["ablate.trial_id"]
            stamp = _stamp(run)
            if trial_id in wanted and (trial_id not in stamps or stamp.status == "finished"):
                stamps[trial_id] = stamp
                self._run_ids[trial_id] = run.info.run_id
        return stamps

    def fetch(self, trial_id: str, folder: Path) -> Record:
        """The Record of a complete Trial; its artifacts go into ``folder``. Raises KeyError without one.

        A Trial that `known` has found is not searched for again.
        """
        run_id = self._run_ids.pop(trial_id, None)
        if run_id is None:
            runs = sorted(self._complete_runs([trial_id], None), key=lambda run: run.info.status != "FINISHED")
            if not runs:
                raise KeyError(f"{self.uri} holds no complete Trial {trial_id}")
            run_id = runs[0].info.run_id
        with self._connection.guarded() as client:
            folder.mkdir(parents=True, exist_ok=True)
            result = Path(client.download_artifacts(run_id, "result.json", str(folder)))
            try:
                record = decode(result.read_text(encoding="utf-8"))
            except RecordError as error:
                raise StoreUnavailable(f"{self.uri}: result.json of run {run_id}: {error}") from error
            result.unlink()
            if record.artifacts:
                _download(client, run_id, folder)
        return record

    def deliver(self, study: Study, record: Record, artifacts: Mapping[str, Path]) -> None:
        """Write a Record as a run; complete one that was begun; one that is complete is at most moved."""
        places = self._places_of(study)
        if record.trial_id not in places.standing:
            raise KeyError(f"the study {study.slug} has no Trial {record.trial_id}")
        variant, _ = places.standing[record.trial_id]
        with self._writing() as client:
            experiment = self._experiment(client, study)
            parent = None if variant.is_teacher else self._parents(client, experiment).run_of(study, variant)
            place = places.of(record.trial_id, parent)
            TrialRun(client, experiment, place, record.trial_id).write(record, artifacts)

    def destination(self, study: Study, trials: Sequence[Trial]) -> Destination:
        """Where these Trials are delivered to. The experiment and the parent runs are made where they are missing."""
        places = self._places_of(study)
        variants = {trial.id: places.standing[trial.id][0] for trial in trials}
        compared = {v.name: v for v in variants.values() if not v.is_teacher}
        with self._writing() as client:
            experiment = self._experiment(client, study)
            parents = self._parents(client, experiment).runs_of(study, list(compared.values()))
        found = {trial_id: places.of(trial_id, parents.get(v.name)) for trial_id, v in variants.items()}
        return Destination(study.slug, experiment, found)

    def deliver_to(
        self, destination: Destination, record: Record, artifacts: Mapping[str, Path], *, alone: bool = False
    ) -> None:
        """`deliver` without the study. Raises KeyError where the destination lacks the Trial.

        ``alone``: nobody else has written this Trial since this object's last call for it, so that what the run holds
        need not be asked.
        """
        key = destination.experiment, record.trial_id
        place = destination.places[record.trial_id]
        with self._writing() as client:
            run = self._kept.pop(key, None) if alone else None
            run = run or TrialRun(client, destination.experiment, place, record.trial_id)
            run.write(record, artifacts)
            if record.status == "running":
                self._kept[key] = run

    def summarise(
        self,
        study: Study,
        aggregates: Mapping[str, Mapping[str, float]],
        report_files: Sequence[Path],
        description: str = "",
    ) -> None:
        """Write the aggregates to the parent runs, and the report's files to the run named ``report``."""
        with self._writing() as client:
            experiment = self._experiment(client, study)
            parents = self._parents(client, experiment)
            runs = parents.runs_of(study, study.variants)
            for variant in study.variants:
                parents.summarise(runs[variant.name], aggregates.get(variant.name, {}))
            if report_files:
                write_report_run(client, experiment, study, report_files, description)

    def _places_of(self, study: Study) -> Places:
        if self._places is None or self._places.study is not study:
            self._places = Places(study)
        return self._places

    def _parents(self, client: MlflowClient, experiment: str) -> VariantRuns:
        return self._variants.setdefault(experiment, VariantRuns(client, experiment))

    @contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        """The client. When the block fails nothing is taken for known any more: another store may come back."""
        try:
            with self._connection.guarded() as client:
                yield client
        except BaseException:
            self._experiments.clear()
            self._variants.clear()
            self._kept.clear()
            raise

    def _experiment(self, client: MlflowClient, study: Study) -> str:
        """The study's experiment, made where it does not exist.

        MLflow keeps the place of artifacts as an absolute address, whatever it is given. So a working folder
        that was moved with its `mlflow.db` finds the files of its old runs where it was before; params, metrics
        and the spool's own Records are not concerned.
        """
        if study.slug in self._experiments:
            return self._experiments[study.slug]
        tags = entries.study_tags(study)
        found = client.get_experiment_by_name(study.slug)
        if found is None:
            root = self._connection.artifact_root()
            location = None if root is None else (root / study.slug).as_uri()
            found = make_experiment(client, study.slug, location, tags)
        if found.lifecycle_stage != "active":
            raise StoreUnavailable(f"{self.uri}: the experiment {study.slug!r} was deleted; restore or purge it")
        experiment = str(found.experiment_id)
        for name, value in tags.items():
            if found.tags.get(name) != value:
                client.set_experiment_tag(experiment, name, value)
        self._experiments[study.slug] = experiment
        return experiment

    def _complete_runs(self, trial_ids: list[str], study: Study | None) -> Iterator[Run]:
        """Complete child runs, at least all those of these Trials, of a study or of all studies."""
        if not trial_ids:
            return
        with self._connection.guarded() as client:
            found = experiments(client) if study is None else filter(None, [client.get_experiment_by_name(study.slug)])
            places = [str(e.experiment_id) for e in found if e.lifecycle_stage == "active"]
            if not places:
                return
            missing = set(trial_ids)
            for condition in _conditions(trial_ids):
                for run in search(client, places, condition):
                    if run.info.status not in _COMPLETE:
                        continue
                    yield run
                    if run.info.status == "FINISHED":
                        missing.discard(run.data.tags["ablate.trial_id"])
                        if not missing:
                            return


def _conditions(trial_ids: Sequence[str]) -> list[str]:
    """Searches that find the complete runs of these Trials; of many, all there are, without those under way."""
    if len(trial_ids) <= _FEW:
        return [f"tags.`ablate.trial_id` = '{trial_id}'" for trial_id in trial_ids]
    return [f"tags.`ablate.trial_id` LIKE '%' and attributes.status = '{status}'" for status in _COMPLETE]


def _stamp(run: Run) -> Stamp:
    tags = run.data.tags
    status: Status = "finished" if run.info.status == "FINISHED" else "failed"
    return Stamp(status, int(tags["ablate.attempts"]), tags.get(entries.VARIANT_KEY, ""))


def _download(client: MlflowClient, run_id: str, folder: Path) -> None:
    """The run's ``artifacts/`` into ``folder`` itself."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        got = Path(client.download_artifacts(run_id, "artifacts", temporary))
        for path in got.iterdir():
            path.rename(folder / path.name)
