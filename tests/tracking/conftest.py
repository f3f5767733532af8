"""A small study, Records for it, and the stores that have to keep them: in memory, on SQLite, behind a server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.study.study import Factor, Level, Metric, Study, Trial, Variant
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record, Row
from ablate.tracking.spool import Spool
from ablate.tracking.store import Stamp, Store, StoreUnavailable, places, variant_key


def pytest_configure(config: pytest.Config) -> None:
    # MLflow 3.17 loads runs with a strategy that SQLAlchemy 2.1 deprecates; nothing of ours can change it.
    config.addinivalue_line("filterwarnings", "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


def make_study(name: str | None = None) -> Study:
    """Two Variants x two seeds, under a name and with ids that no other test uses."""
    name = name or f"study-{uuid.uuid4().hex[:8]}"
    base = {"model": {"dim": 64, "position": "sincos2d"}, "data": {"source": "digits"}, "sizes": [8, 16]}
    learned = {**base, "model": {"dim": 64, "position": "learned"}}
    variants = (
        Variant("baseline", {"posemb": "sincos2d"}, base, {}),
        Variant("posemb=learned", {"posemb": "learned"}, learned, {"model.position": ("sincos2d", "learned")}),
    )
    trials = tuple(
        Trial(uuid.uuid4().hex[:16], variant.name, seed, variant.recipe) for seed in (0, 1) for variant in variants
    )
    return Study(
        name=name,
        profile="digits",
        path=Path("studies/small.yaml"),
        question="Does the position embedding matter?",
        source="a test",
        expected="yes",
        trainable="module:train",
        metric=Metric("accuracy", "maximize"),
        factors={"posemb": Factor("posemb", "sincos2d", {"learned": Level("learned", {"model.position": "learned"})})},
        variants=variants,
        seeds=(0, 1),
        trials=trials,
        data_fingerprint="f" * 64,
    )


def make_record(study: Study, index: int = 0, rows: int = 3, **changes: Any) -> Record:
    """A finished Record of one of the study's Trials, or what ``changes`` make of it."""
    trial = study.trials[index]
    history = tuple(Row(s, {"accuracy": s / 10, "loss": 1 / (s + 1)}, 1.7e9 + s) for s in range(rows))
    record = Record(
        trial_id=trial.id,
        seed=trial.seed,
        trainable=study.trainable,
        recipe=trial.recipe,
        status="finished",
        started=1.7e9 - 1,
        ended=1.7e9 + rows,
        seconds=4.5,
        metrics={"accuracy": (rows - 1) / 10, "parameters": 1234.0},
        history=history,
        data_fingerprint=study.data_fingerprint,
        environment={"git_commit": "c" * 40, "git_dirty": "no", "torch": "2.14.1"},
    )
    return replace(record, **changes)


def unfinished(record: Record, rows: int, **changes: Any) -> Record:
    """The Record as it was after so many rows."""
    part = {"status": "running", "ended": None, "metrics": {}, "artifacts": (), "history": record.history[:rows]}
    return replace(record, **{**part, **changes})


class FakeStore:
    """The contract of a Store, in memory; `down` makes it unavailable."""

    uri = "fake:"

    def __init__(self) -> None:
        self.down = ""
        self.calls = 0
        self.runs: dict[tuple[str, str], tuple[Record, dict[str, bytes]]] = {}
        self.variants: dict[tuple[str, str], str] = {}
        self.summaries: list[tuple[str, Mapping[str, Mapping[str, float]], list[Path]]] = []

    def known(self, trial_ids: Any, study: Study | None = None) -> dict[str, Stamp]:
        self._check()
        wanted, found = set(trial_ids), {}
        for (slug, trial_id), (record, _) in self.runs.items():
            complete = record.status in ("finished", "failed")
            if not complete or trial_id not in wanted or (study is not None and slug != study.slug):
                continue
            if trial_id not in found or record.status == "finished":
                found[trial_id] = Stamp(record.status, record.attempts, self.variants[slug, trial_id])
        return found

    def fetch(self, trial_id: str, folder: Path) -> Record:
        self._check()
        held = [run for (_, i), run in self.runs.items() if i == trial_id and run[0].status in ("finished", "failed")]
        held.sort(key=lambda run: run[0].status != "finished")
        if not held:
            raise KeyError(trial_id)
        record, files = held[0]
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return record

    def deliver(self, study: Study, record: Record, artifacts: Mapping[str, Path]) -> None:
        self._check()
        self.calls += 1
        key = (study.slug, record.trial_id)
        held = self.runs.get(key)
        self.variants[key] = variant_key(places(study)[record.trial_id][0])
        if held is None or not (
            held[0].status in ("finished", "failed") and Stamp(held[0].status, held[0].attempts).settles(record)
        ):
            self.runs[key] = (record, {name: path.read_bytes() for name, path in artifacts.items()})

    def summarise(self, study: Study, aggregates: Any, report_files: Any, description: str = "") -> None:
        self._check()
        self.summaries.append((study.slug, aggregates, report_files))

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailable(self.down)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """A real tracking server on localhost, as its own process group."""
    folder.mkdir(parents=True, exist_ok=True)
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("wb") as log:
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder, env=environment)
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:
                if answer.status == 200:
                    break
            if server.poll() is not None:
                raise RuntimeError((folder / "server.log").read_text())
            time.sleep(0.1)
        else:
            raise RuntimeError("the server did not come up in two minutes: " + (folder / "server.log").read_text())
        yield uri
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="session")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> MlflowStore:
    return MlflowStore(f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/mlflow.db")


@pytest.fixture(scope="session")
def http_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowStore]:
    with mlflow_server(tmp_path_factory.mktemp("server"), free_port()) as uri:
        yield MlflowStore(uri)


@pytest.fixture(params=["memory", "sqlite", "http"])
def store(request: pytest.FixtureRequest) -> Store:
    """Every Store that must keep the contract."""
    if request.param == "memory":
        return FakeStore()
    return request.getfixturevalue(f"{request.param}_store")


@pytest.fixture(params=["sqlite", "http"])
def mlflow_store(request: pytest.FixtureRequest) -> MlflowStore:
    return request.getfixturevalue(f"{request.param}_store")


@pytest.fixture
def fake_store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def study() -> Study:
    return make_study()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def record_of() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def part_of() -> Callable[..., Record]:
    return unfinished


@pytest.fixture
def study_named() -> Callable[..., Study]:
    return make_study


@pytest.fixture
def serve() -> Callable[[Path, int], contextlib.AbstractContextManager[str]]:
    return mlflow_server


@pytest.fixture
def train(spool: Spool) -> Callable[..., Record]:
    """Train a Trial in the spool: rows, an artifact, a result."""

    def run(study: Study, index: int = 0, rows: int = 3) -> Record:
        claim = spool.claim(study.trials[index], study.trainable, study.data_fingerprint)
        assert claim is not None
        with claim:
            (claim.folder / "checkpoint.pt").write_bytes(b"weights")
            (claim.folder / "artifacts" / "per_example.npz").write_bytes(b"examples")
            for step in range(rows):
                claim.report(step, {"accuracy": step / 10})
            return claim.finish({"accuracy": (rows - 1) / 10}, {"git_commit": "c" * 40})

    return run


@pytest.fixture
def finished_in() -> Callable[[Store, Iterable[str]], set[str]]:
    """Those of the Trials that a Store holds finished, for whichever study."""
    return lambda store, ids: {i for i, stamp in store.known(ids).items() if stamp.status == "finished"}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def clean_mlflow_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
