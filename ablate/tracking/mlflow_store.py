"""The Store on MLflow: one experiment a study and profile, one parent run a Variant, one child run a Trial; a teacher
is a run beside them.

A child run is complete when its status is FINISHED or FAILED, which is set last of all. The Record itself is
its artifact ``result.json``, and reading back reads that: params and metrics are there for people and for
MLflow's own tools. MLflow's global state (active run, tracking URI) is neither used nor changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.study.study import Study, Trial, Variant
from ablate.tracking import mlflow_entries as entries
from ablate.tracking.codec import RecordError, decode
from ablate.tracking.mlflow_client import Connection
from ablate.tracking.mlflow_runs import TrialRun, VariantRuns
from ablate.tracking.record import Record, Status
from ablate.tracking.store import Stamp, StoreUnavailable, places

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE = 1000
#: Below this many Trials, one query each is cheaper than reading all runs.
_FEW = 12
_COMPLETE = ("FINISHED", "FAILED")


class MlflowStore:
    """A tracking store of MLflow, by URI; None takes MLFLOW_TRACKING_URI, else MLflow's default place.

    Made in no time: MLflow is imported and the store contacted by the first method that needs them.
    """

    def __init__(self, uri: str | None = None) -> None:
        self._connection = Connection(uri)
        self._experiments: dict[str, str] = {}
        self._variants: dict[str, VariantRuns] = {}
        self._study: Study | None = None
        self._places: dict[str, tuple[Variant, Trial]] = {}
        """Where each Trial of that study stands."""

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return self._connection.uri

    def begun(self) -> bool:
        """Whether there can be anything in it yet; False for a file, given or MLflow's default, that is not there."""
        return self._connection.begun()

    def known(self, trial_ids: Iterable[str], study: Study | None = None) -> dict[str, Stamp]:
        """The outcomes held complete: in this study's experiment, or anywhere when none is given."""
        wanted = dict.fromkeys(trial_ids)
        stamps: dict[str, Stamp] = {}
        for run in self._complete_runs(list(wanted), study):
            trial_id = run.data.tags["ablate.trial_id"]
            stamp = _stamp(run)
            if trial_id in wanted and (trial_id not in stamps or stamp.status == "finished"):
                stamps[trial_id] = stamp
        return stamps

    def fetch(self, trial_id: str, folder: Path) -> Record:
        """The Record of a complete Trial; its artifacts go into ``folder``. Raises KeyError without one."""
        runs = sorted(self._complete_runs([trial_id], None), key=lambda run: run.info.status != "FINISHED")
        if not runs:
            raise KeyError(f"{self.uri} holds no complete Trial {trial_id}")
        with self._connection.guarded() as client:
            run_id = runs[0].info.run_id
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
        variant, trial = self._place(study, record.trial_id)
        with self._writing() as client:
            experiment = self._experiment(client, study)
            parents = self._variants.setdefault(experiment, VariantRuns(client, experiment))
            parent = None if variant.is_teacher else parents.run_of(study, variant)
            tags = entries.trial_tags(study, variant, trial, record, parent)
            TrialRun(client, experiment, tags, record).write(artifacts, entries.data_name(study, record))

    def summarise(self, study: Study, aggregates: Mapping[str, Mapping[str, float]], report_files: list[Path]) -> None:
        """Write the aggregates to the parent runs, and the report's files to the baseline's."""
        with self._writing() as client:
            experiment = self._experiment(client, study)
            parents = self._variants.setdefault(experiment, VariantRuns(client, experiment))
            for variant in study.variants:
                run_id = parents.run_of(study, variant)
                files = report_files if variant == study.baseline else []
                parents.summarise(run_id, aggregates.get(variant.name, {}), files)

    def _place(self, study: Study, trial_id: str) -> tuple[Variant, Trial]:
        """Raises KeyError where the study has no such Trial."""
        if study is not self._study:
            self._study, self._places = study, places(study)
        if trial_id not in self._places:
            raise KeyError(f"the study {study.slug} has no Trial {trial_id}")
        return self._places[trial_id]

    @contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        """The client. When the block fails nothing is taken for known any more: another store may come back."""
        try:
            with self._connection.guarded() as client:
                yield client
        except BaseException:
            self._experiments.clear()
            self._variants.clear()
            raise

    def _experiment(self, client: MlflowClient, study: Study) -> str:
        """The study's experiment, made where it does not exist.

        MLflow keeps the place of artifacts as an absolute address, whatever it is given. So a working folder
        that was moved with its `mlflow.db` finds the files of its old runs where it was before; params, metrics
        and the spool's own Records are not concerned.
        """
        if study.slug in self._experiments:
            return self._experiments[study.slug]
        found = client.get_experiment_by_name(study.slug)
        tags = entries.study_tags(study)
        if found is None:
            root = self._connection.artifact_root()
            location = None if root is None else (root / study.slug).as_uri()
            experiment = str(client.create_experiment(study.slug, artifact_location=location, tags=tags))
        elif found.lifecycle_stage != "active":
            raise StoreUnavailable(f"{self.uri}: the experiment {study.slug!r} was deleted; restore or purge it")
        else:
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
            if study is None:
                experiments = _pages(
                    lambda token: client.search_experiments(
                        filter_string="tags.`ablate.study` LIKE '%'", max_results=_PAGE, page_token=token
                    )
                )
            else:
                experiments = filter(None, [client.get_experiment_by_name(study.slug)])
            places = [str(e.experiment_id) for e in experiments if e.lifecycle_stage == "active"]
            if not places:
                return
            one_by_one = len(trial_ids) <= _FEW
            wanted = [f"= '{trial_id}'" for trial_id in trial_ids] if one_by_one else ["LIKE '%'"]
            missing = set(trial_ids)
            for condition in wanted:
                for run in _search(client, places, f"tags.`ablate.trial_id` {condition}"):
                    if run.info.status not in _COMPLETE:
                        continue
                    yield run
                    if run.info.status == "FINISHED":
                        missing.discard(run.data.tags["ablate.trial_id"])
                        if not missing:
                            return


def _stamp(run: Run) -> Stamp:
    tags = run.data.tags
    status: Status = "finished" if run.info.status == "FINISHED" else "failed"
    return Stamp(status, int(tags["ablate.attempts"]), tags.get(entries.VARIANT_KEY, ""))


def _search(client: MlflowClient, experiments: list[str], condition: str) -> Iterator[Run]:
    yield from _pages(lambda token: client.search_runs(experiments, condition, max_results=_PAGE, page_token=token))


def _pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """All results of a paged query; without paging MLflow silently stops at one page."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _download(client: MlflowClient, run_id: str, folder: Path) -> None:
    """The run's ``artifacts/`` into ``folder`` itself."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        got = Path(client.download_artifacts(run_id, "artifacts", temporary))
        for path in got.iterdir():
            path.rename(folder / path.name)
