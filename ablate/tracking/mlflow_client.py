"""The one door to MLflow: found, imported and silenced when first used, its errors turned into ours."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

from ablate.tracking.new_database import make_database
from ablate.tracking.store import StoreUnavailable, database, is_server

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Where the user has not said otherwise: an outage is noticed in seconds rather than minutes (the spool keeps
#: everything meanwhile), MLflow's own lines stay off our terminal, and nothing is sent to its makers.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
#: What they would print (migrations, retries, tracebacks of an outage) is in our own message where it matters.
_TALKATIVE = ("alembic", "mlflow.store.db.utils", "urllib3.connectionpool")


#: A server is asked whether it is there, before MLflow asks it with all its patience.
_FIRST_ANSWER_S = 5.0
#: For so long one that could not be reached is not asked again: neither training nor its end waits for it.
_LEFT_ALONE_S = 60.0


class Connection:
    """A tracking URI and the client for it. Making one imports nothing and contacts nobody."""

    def __init__(self, uri: str | None, *, patient: bool = False) -> None:
        """``patient``: the caller has pauses of its own, so every request is made, and may take its time."""
        self._patient = patient
        self._uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or None
        self._client: MlflowClient | None = None
        self._reached = False
        self._outage = ""
        """Why a server could not be reached, which holds until..."""
        self._outage_until = 0.0

    @property
    def uri(self) -> str:
        """As given, else as MLFLOW_TRACKING_URI says, else MLflow's default for the working folder.

        That default is MLflow's to choose (3.17: ``sqlite:///<folder>/mlflow.db``), so that a bare
        ``mlflow ui`` in the folder looks in the same place.
        """
        if self._uri is None:
            _prepare()
            with reasons("MLflow"):
                import mlflow

                self._uri = str(mlflow.get_tracking_uri())
        return str(self._uri)

    def begun(self) -> bool:
        """Whether the store can hold anything: a file that does not exist yet, given or by default, cannot.

        Answered without importing MLflow, so that the first run of all does not wait for it.
        """
        if self._uri is None:
            return any(Path(name).exists() for name in ("mlflow.db", "mlruns"))
        place = database(self._uri)
        return place is None or place.exists()

    @property
    def client(self) -> MlflowClient:
        """The client, for use within `reasons`. The first use of an SQLite store creates its tables: seconds."""
        if self._client is None:
            _prepare()
            from mlflow import MlflowClient

            _silence()
            if (file := database(self.uri)) is not None:
                make_database(file)
            self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    def prepare(self) -> None:
        """Import what the client needs. Raises `StoreUnavailable` where MLflow cannot be imported."""
        with reasons(self.uri):
            _ = self.client

    def artifact_root(self) -> Path | None:
        """The folder of an SQLite database, beside which its artifacts lie; None where a server decides."""
        place = database(self.uri)
        return None if place is None else place.parent / "mlruns"

    @contextmanager
    def guarded(self) -> Iterator[MlflowClient]:
        """The client; what goes wrong with it in the block becomes `StoreUnavailable`.

        After a server could not be reached, that is raised at once for a minute.
        """
        if time.monotonic() < self._outage_until:
            raise StoreUnavailable(self._outage)
        try:
            with reasons(self.uri):
                if not self._reached and not self._patient:
                    _prepare()
                    _knock(self.uri)
                    self._reached = True
                yield self.client
        except StoreUnavailable as error:
            if is_outage(error) and not self._patient:
                self._reached = False
                self._outage, self._outage_until = str(error), time.monotonic() + _LEFT_ALONE_S
            raise


@contextmanager
def reasons(where: str) -> Iterator[None]:
    """Turn the errors of MLflow, its database and the network into `StoreUnavailable` with one line of reason."""
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception as error:
        if isinstance(error, (OSError, ImportError)) or _is_mlflow(error):
            raise StoreUnavailable(f"{where}: {_one_line(error)}") from error
        raise  # a mistake of ours, not an outage


def _knock(uri: str) -> None:
    """Raise what stands between us and a server that does not answer at all; nothing for any other place.

    Any answer will do: what it means (no such page, not allowed, a certificate) is for MLflow to say.
    """
    if not is_server(uri):
        return
    try:
        urlopen(f"{uri.rstrip('/')}/health", timeout=_FIRST_ANSWER_S).close()  # noqa: S310 - the scheme is checked
    except HTTPError as answer:
        answer.close()
    except Exception as error:
        if is_outage(error):
            raise


def is_outage(error: BaseException) -> bool:
    """Whether the network, rather than a server that answered, is at the bottom of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConnectionError, TimeoutError, socket.gaierror)):
            return True
        kind = type(cause)
        if kind.__module__.startswith("requests.") and kind.__name__ in (
            "ConnectionError",
            "ConnectTimeout",
            "ReadTimeout",
        ):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _is_mlflow(error: Exception) -> bool:
    origins = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(origins & {"mlflow", "sqlalchemy", "requests", "urllib3", "alembic"})


def _one_line(error: Exception) -> str:
    # A refused connection lies four exceptions deep, below a page of retries.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (ConnectionError, TimeoutError)) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


_added: set[str] = set()


def _prepare() -> None:
    for name, value in _SETTINGS.items():
        if name not in os.environ:
            os.environ[name] = value
            _added.add(name)


def own_settings() -> frozenset[str]:
    """Variables that this process has set for its own use of MLflow; jobs that it submits are to set theirs."""
    return frozenset(_added)


def _silence() -> None:
    """After the import of MLflow, which sets levels of its own."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
