"""MLflow's own page on the runs."""

from __future__ import annotations

import subprocess
import sys

from ablate.tracking.mlflow_client import Connection


class NoRuns(Exception):  # noqa: N818 - a mistake of the user's, told in one line
    """There is no store where MLflow would look for one."""


def serve(uri: str | None, port: int) -> int:
    """Run MLflow's UI in the foreground until it is interrupted; its exit code. A server needs no UI of ours.

    Raises `NoRuns` where nothing has been tracked.
    """
    connection = Connection(uri)
    if not connection.begun():
        raise NoRuns("there are no runs here yet: start in the folder of `ablate run`, or name a --tracking-uri")
    where = connection.uri
    if where.startswith(("http://", "https://")):
        print(f"open {where}: it is a tracking server and has the page already")  # noqa: T201 - the answer
        return 0
    # MLflow opens in its page for language models; the link asks for the one that shows runs and their curves.
    print(f"open http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", where, "--port", str(port)]
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 0
