"""A new SQLite database for MLflow appears whole: its tables are made elsewhere.

MLflow makes them in place, in some seconds and dozens of steps. A process that is killed in between, or one that ends
while a thread of its own is at it, would leave a file with which nobody can do anything any more.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ablate.tracking.disk import name_unless_taken


def make_database(file: Path) -> None:
    """Make an empty database where none is, for use within `reasons`; one that is there, or comes meanwhile, stays."""
    if file.exists():
        return
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(prefix="ablate-mlflow-") as folder:
        new = Path(folder) / "new.db"
        MlflowClient(tracking_uri=f"sqlite:///{new}").search_experiments(max_results=1)
        file.parent.mkdir(parents=True, exist_ok=True)  # as MLflow does
        copy = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            shutil.copyfile(new, copy)
            name_unless_taken(copy, file)
        finally:
            copy.unlink(missing_ok=True)
