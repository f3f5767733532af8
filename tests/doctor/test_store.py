"""What the doctor says of the tracking store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ablate.doctor import store
from ablate.doctor.finding import Subject
from ablate.doctor.mounts import Mount


class Server(ThreadingHTTPServer):
    """Answers what it is told to."""

    pages: dict[str, tuple[int, str]]

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        status, text = self.server.pages.get(self.path, (404, "no such page"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as one:
        one.pages = {"/health": (200, "OK"), "/version": (200, metadata.version("mlflow"))}
        thread = threading.Thread(target=one.serve_forever, daemon=True)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def test_a_server_is_asked_for_its_health_and_version(fakes: Any, server: Server) -> None:
    """A server of the own version is well; another major version, another program and a locked door are told apart."""
    assert store.tracking(Subject(tracking_uri=server.uri)).verdict == "ok"
    server.pages["/version"] = (200, "1.30.0")
    found = store.tracking(Subject(tracking_uri=server.uri))
    assert found.verdict == "warning"
    assert "1.30.0" in found.says
    server.pages = {"/health": (401, "who?")}
    assert "asks who you are" in store.tracking(Subject(tracking_uri=server.uri)).says
    server.pages = {}
    assert "not as an MLflow server" in store.tracking(Subject(tracking_uri=server.uri)).says


def test_jobs_on_nodes_cannot_reach_this_machine_by_localhost(fakes: Any, server: Server) -> None:
    """An address that means another machine on each machine is a warning where there is a cluster."""
    fakes.says("sbatch")
    found = store.tracking(Subject(tracking_uri=server.uri))
    assert found.verdict == "warning"
    assert "cannot reach" in found.says


def test_a_server_that_is_not_there_is_a_problem_without_its_password(fakes: Any) -> None:
    """The reason is the network's; a name and a password in the address are not shown."""
    found = store.tracking(Subject(tracking_uri="http://me:secret@127.0.0.1:9"))
    assert found.verdict == "problem"
    assert "http://127.0.0.1:9 cannot be reached: Connection refused" in found.says
    assert store.shown("postgresql://me:secret@db/x?password=secret") == "postgresql://db/x"


def test_sqlite_belongs_on_an_own_disk(fakes: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is well on a disk of this machine, a warning on a network file system, a problem in no folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(store, "mount_of", lambda place: Mount("/dev/sda", "/", "ext4", ()))
    found = store.tracking(Subject())
    assert found.verdict == "ok"
    assert f"sqlite:///{workplace / 'mlflow.db'}" in found.says.replace("\n", "")
    monkeypatch.setattr(store, "mount_of", lambda place: Mount("s:/h", "/h", "nfs4", ()))
    assert store.tracking(Subject()).verdict == "warning"
    assert store.tracking(Subject(tracking_uri="sqlite:////no/such/folder/x.db")).verdict == "problem"
