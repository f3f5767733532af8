"""The run that holds a study's report: pages, tables and figures as artifacts, the table of results as its description.

There is one in an experiment, named ``report``. It is no Variant's and no Trial's, and has no metrics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.study.study import Study
from ablate.tracking import mlflow_entries as entries
from ablate.tracking.mlflow_runs import log
from ablate.tracking.mlflow_search import search

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: What the run is called, and the value of its tag ``ablate.kind``.
REPORT = "report"
_CONTENT = "ablate.report"


def write_report_run(
    client: MlflowClient, experiment: str, study: Study, files: Sequence[Path], description: str
) -> str:
    """Make the report's run, or bring it up to date where files or description have changed; its id.

    ``files`` are files and folders, which keep their names, so that links between them hold.
    """
    run_id = _run_id(client, experiment, study)
    run = client.get_run(run_id)
    tags = entries.report_tags(study, description)
    content = _digest(files)
    if run.data.tags.get(_CONTENT) != content:
        for path in files:
            if path.is_dir():
                client.log_artifacts(run_id, str(path), path.name)
            else:
                client.log_artifact(run_id, str(path))
        tags[_CONTENT] = content  # last: a report of which a part is missing is written again
    changed = {name: value for name, value in tags.items() if run.data.tags.get(name) != value}
    if changed:
        log(client, run_id, tags=changed)
    if run.info.status != "FINISHED":
        client.set_terminated(run_id, "FINISHED")
    return run_id


def _run_id(client: MlflowClient, experiment: str, study: Study) -> str:
    """Of the first such run; two processes on two machines may each have made one."""
    found = search(client, [experiment], f"tags.`{entries.KIND}` = '{REPORT}'")
    known = sorted((run.info.start_time, run.info.run_id) for run in found)
    if known:
        return str(known[0][1])
    tags = entries.report_tags(study, "")
    return str(client.create_run(experiment, tags=tags, run_name=REPORT).info.run_id)


def _digest(files: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                content.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()[:16]
