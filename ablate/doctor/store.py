"""The tracking store: where it is, whether it answers, and whether many workers may write to it."""

from __future__ import annotations

import os
import re
import socket
from importlib import metadata
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from ablate.doctor.finding import Finding, Subject
from ablate.doctor.mounts import mount_of
from ablate.tracking.store import database

_PATIENCE_S = 5.0
_SERVER = "run an MLflow server with PostgreSQL behind it, and name it with --tracking-uri or MLFLOW_TRACKING_URI"


def tracking(subject: Subject) -> Finding:
    """The store that runs would be delivered to."""
    uri = subject.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').absolute()}"
    if uri.startswith(("http://", "https://")):
        return _server(uri, subject)
    file = database(uri)
    if file is not None:
        return _sqlite(file, uri)
    return Finding("tracking store", "ok", f"{shown(uri)}: not looked into")


def shown(uri: str) -> str:
    """The URI without a name and a password that may be in it."""
    return re.sub(r"(?<=//)[^/]*@", "", uri).partition("?")[0]


def _sqlite(file: Path, uri: str) -> Finding:
    place = file.parent
    if not place.is_dir() or not os.access(file if file.exists() else place, os.W_OK):
        return Finding("tracking store", "problem", f"{file} cannot be written", "name another --tracking-uri")
    mount = mount_of(place)
    if mount is not None and mount.is_shared:
        says = f"SQLite on a network file system ({mount.kind} at {mount.folder}): several writers can damage it"
        return Finding("tracking store", "warning", says, f"with one driver it works; for more, {_SERVER}")
    begun = "" if file.exists() else ", which does not exist yet"
    return Finding("tracking store", "ok", f"{shown(uri)}{begun}; the driver alone writes to it")


def _server(uri: str, subject: Subject) -> Finding:
    name = shown(uri)
    try:
        health = _get(f"{name.rstrip('/')}/health")
        version = _get(f"{name.rstrip('/')}/version")
    except HTTPError as error:
        if error.code in (401, 403):
            return Finding("tracking store", "ok", f"{name} answers, and asks who you are ({error.code})")
        says = f"{name} answers, but not as an MLflow server does (status {error.code})"
        return Finding("tracking store", "problem", says, "look at the address: it is that of the server, without #...")
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        says = f"{name} cannot be reached: {getattr(reason, 'strerror', None) or reason}"
        advice = "results stay in the spool meanwhile and are delivered later; start the server, or mend the address"
        return Finding("tracking store", "problem", says, advice)
    if health.strip() != "OK":
        return Finding("tracking store", "problem", f"{name}/health does not say OK", "is it an MLflow server?")
    return _beside_own(f"{name} answers, MLflow {version.strip()}", version.strip(), name, subject)


def _beside_own(says: str, version: str, uri: str, subject: Subject) -> Finding:
    own = metadata.version("mlflow")
    if subject.has_slurm and urlsplit(uri).hostname in ("localhost", "127.0.0.1", "::1"):
        advice = f"name it by this machine's name instead ({socket.getfqdn()})"
        return Finding("tracking store", "warning", f"{says}, but jobs on nodes cannot reach this address", advice)
    if version.partition(".")[0] != own.partition(".")[0]:
        advice = "install the same major version on both sides"
        return Finding("tracking store", "warning", f"{says}, and MLflow {own} is installed here", advice)
    return Finding("tracking store", "ok", says)


def _get(url: str) -> str:
    with urlopen(url, timeout=_PATIENCE_S) as answer:  # noqa: S310 - the scheme is checked
        return str(answer.read(200).decode(errors="replace"))
