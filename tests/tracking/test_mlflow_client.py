from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.tracking import mlflow_client
from ablate.tracking.mlflow_client import Connection
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.new_database import make_database
from ablate.tracking.store import StoreUnavailable, database


class SilentServer:
    """Accepts connections, counts them, and never answers."""

    def __init__(self) -> None:
        self.contacts = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        self.uri = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._taken.append(self._socket.accept()[0])
                self.contacts += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in [self._socket, *self._taken]:
            each.close()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


def test_a_server_that_never_answers_costs_seconds_and_only_once(silent: SilentServer, monkeypatch: pytest.MonkeyPatch):
    """The first question is given up soon and not repeated; those after it fail at once, with the same reason.

    Bounds: 0.3 s of patience and 3 s for a busy machine; then 0.3 s for ten more questions.
    """
    monkeypatch.setattr(mlflow_client, "_FIRST_ANSWER_S", 0.3)
    store = MlflowStore(silent.uri)
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match=silent.uri) as first:
        store.known(["a"])
    assert time.monotonic() - start < 3.3
    start = time.monotonic()
    for _ in range(10):
        with pytest.raises(StoreUnavailable) as later:
            store.known(["a"])
        assert str(later.value) == str(first.value)
    assert time.monotonic() - start < 0.3
    assert silent.contacts == 1


def test_after_a_while_a_lost_server_is_asked_again(silent: SilentServer, monkeypatch: pytest.MonkeyPatch):
    """An outage is not for ever."""
    monkeypatch.setattr(mlflow_client, "_FIRST_ANSWER_S", 0.1)
    monkeypatch.setattr(mlflow_client, "_LEFT_ALONE_S", 0.2)
    store = MlflowStore(silent.uri)
    for expected in (1, 2):
        with pytest.raises(StoreUnavailable):
            store.known(["a"])
        assert silent.contacts == expected
        time.sleep(0.25)


def test_patience_is_seconds():
    """As they are set: the first answer within 5 s, then a minute of rest."""
    assert (mlflow_client._FIRST_ANSWER_S, mlflow_client._LEFT_ALONE_S) == (5.0, 60.0)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), TimeoutError("timed out")])
def test_a_server_lost_on_the_way_is_left_alone_too(error: Exception, tmp_path: Path):
    """Not only the first contact counts."""
    connection = Connection(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreUnavailable), connection.guarded():
        raise error
    with pytest.raises(StoreUnavailable), connection.guarded():
        raise AssertionError("it was asked again")


def test_a_refusal_is_no_outage(tmp_path: Path):
    """A server that answers, though with an error, is asked the next question."""
    connection = Connection(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreUnavailable, match="denied"), connection.guarded():
        raise PermissionError(13, "denied")
    with connection.guarded() as client:
        assert client is connection.client


def test_any_answer_to_the_first_question_will_do(monkeypatch: pytest.MonkeyPatch):
    """A server without the page that is asked for, or that wants a password, is there."""

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = Connection(f"http://127.0.0.1:{server.server_port}/mlflow/")
        with connection.guarded() as client:
            assert client is connection.client
        server.shutdown()


@pytest.mark.parametrize("name", ["there.db", "with%20space.db"])
def test_an_sqlite_file_that_is_not_there_has_not_begun(tmp_path: Path, name: str):
    """A given place is asked for like the default one; a server may always hold something."""
    store = MlflowStore(f"sqlite:///{tmp_path}/{name}")
    assert not store.begun()
    (tmp_path / name.replace("%20", " ")).touch()
    assert store.begun()
    assert MlflowStore("http://127.0.0.1:9").begun()


def test_the_default_place_has_begun_when_its_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a fresh folder nobody need be asked."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert not MlflowStore().begun()
    (tmp_path / "mlflow.db").touch()
    assert MlflowStore().begun()


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////a/b/x.db", Path("/a/b/x.db")),
        ("sqlite+pysqlite:////a/x.db?timeout=5", Path("/a/x.db")),
        ("sqlite:///x.db", Path.cwd() / "x.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("postgresql:///x.db", None),
        ("http://host/x.db", None),
    ],
)
def test_the_file_of_an_sqlite_uri(uri: str, path: Path | None):
    """Other places have none."""
    assert database(uri) == path


def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path):
    """Killed at any moment while its tables are made, a process leaves no file, or one that the next one can use."""
    code = "import sys; from ablate.tracking.mlflow_client import Connection; Connection(sys.argv[1]).prepare()"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for moment in range(3):
        uri = f"sqlite:///{tmp_path}/{moment}.db"
        before = set(tmp_path.rglob("*.db"))
        process = subprocess.Popen([sys.executable, "-c", code, uri], env=environment)
        while process.poll() is None and not set(tmp_path.rglob("*.db")) - before:
            time.sleep(0.01)
        time.sleep(0.2 + 0.3 * moment)
        process.kill()
        process.wait()
        if Connection(uri).begun():
            assert [found.name for found in Connection(uri).client.search_experiments()] == ["Default"]


def test_a_database_that_is_there_is_left_alone(tmp_path: Path):
    """Whoever comes second uses what the first one has made."""
    file = tmp_path / "runs.db"
    Connection(f"sqlite:///{file}").client.create_experiment("mine")
    before = file.stat().st_ino
    make_database(file)
    assert file.stat().st_ino == before
    assert Connection(f"sqlite:///{file}").client.get_experiment_by_name("mine") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["runs.db"]
