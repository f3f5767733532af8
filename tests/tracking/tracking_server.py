"""A tracking server over PostgreSQL, as a laboratory has it, to be killed and started again.

PostgreSQL refuses to run as root, so as root it is started as the user that Debian's package makes. It listens on a
socket in its folder alone, and keeps nothing through a power cut; through ``kill -9`` it does.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "150",
    "shared_buffers": "64MB",
    "jit": "off",
}


def missing() -> str:
    """Why there can be no such server here; empty where there can."""
    if _binaries() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.getuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user called postgres"
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not installed (pip install psycopg2-binary)"
    return ""


class TrackingServer:
    """PostgreSQL and `mlflow server` in a folder of their own, both killed and started at will."""

    def __init__(self, workers: int = 2, connections: int | None = None) -> None:
        """``connections`` to the database of each worker; MLflow's 15 block each other under many requests."""
        self._settings = {"MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(connections)} if connections else {}
        self.folder = Path(tempfile.mkdtemp(prefix="ablate-mlflow-"))
        self._database = self.folder / "database"
        self._database.mkdir()
        self._workers = workers
        self._user = _user() if os.getuid() == 0 else None
        if self._user is not None:
            self.folder.chmod(0o755)
            os.chown(self._database, self._user.pw_uid, self._user.pw_gid)
        self._postgres: subprocess.Popen[bytes] | None = None
        self._mlflow: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self._port}"
        self.database_uri = f"postgresql+psycopg2://ablate@/postgres?host={self._database}"
        options = ["-A", "trust", "-U", "ablate", "--no-sync", "-E", "UTF8", "--locale=C"]
        self._as_user(["initdb", *options, "-D", str(self._database / "data")]).wait()

    def start(self) -> None:
        """Start what does not run, and return when it answers."""
        if self._postgres is None:
            settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
            settings += ["-c", f"unix_socket_directories={self._database}"]
            self._postgres = self._as_user(["postgres", "-D", str(self._database / "data"), *settings])
            self._until(self._database_answers, self._postgres)
        if self._mlflow is None:
            command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
            command += ["--backend-store-uri", self.database_uri, "--workers", str(self._workers)]
            command += ["--artifacts-destination", str(self.folder / "artifacts")]
            quick = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            environment = {**os.environ, **quick, **self._settings}
            with (self.folder / "mlflow.log").open("ab") as log:
                self._mlflow = subprocess.Popen(
                    command, stdout=log, stderr=log, start_new_session=True, cwd=self.folder, env=environment
                )
            self._until(self._server_answers, self._mlflow)

    def kill(self) -> None:
        """SIGKILL to all processes of both, at whatever they are."""
        _kill_tree(self._mlflow)
        self._mlflow = None
        self.kill_database()

    def kill_database(self) -> None:
        """SIGKILL to PostgreSQL alone: the server in front of it answers with errors."""
        _kill_tree(self._postgres)
        self._postgres = None
        (self._database / "data" / "postmaster.pid").unlink(missing_ok=True)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_user(self, command: list[str]) -> subprocess.Popen[bytes]:
        binaries, user = _binaries(), self._user
        assert binaries is not None
        command = [str(binaries / command[0]), *command[1:]]
        with (self.folder / "postgres.log").open("ab") as log:
            if user is None:
                return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd="/")
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
            )

    def _database_answers(self) -> bool:
        import psycopg2

        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(host=str(self._database), user="ablate", dbname="postgres").close()
            return True
        return False

    def _server_answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def _until(self, answers: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + 120
        while not answers():
            if process.poll() is not None or time.monotonic() > until:
                logs = "\n".join(path.read_text() for path in self.folder.glob("*.log"))
                self.kill()
                raise RuntimeError(f"the tracking server did not come up:\n{logs}")
            time.sleep(0.05)


def _kill_tree(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        tree = [root, *root.children(recursive=True)]  # PostgreSQL's have sessions of their own
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        psutil.wait_procs(tree, timeout=10)
    process.wait()


def _user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _binaries() -> Path | None:
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None
