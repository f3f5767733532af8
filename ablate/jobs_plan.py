"""What `ablate plan --executor slurm` adds: the jobs that a run would submit, array by array."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ablate.execution.cluster.packing import Batch, batches
from ablate.execution.cluster.queue import UNKNOWN_ARRAY_SIZE, SlurmError, max_array_size
from ablate.execution.resources import Resources
from ablate.execution.time_limit import in_words
from ablate.plan import Plan
from ablate.settings import Settings

_ASKED = ("partition", "account", "qos", "constraint", "nodes", "gpu_type", "gpus", "cpus", "memory_gb")


def planned_jobs(planned: Plan, settings: Settings) -> list[Batch]:
    """The arrays of a run that would begin now. Raises `StudyError` where the settings contradict one another."""
    try:
        size = max_array_size()
    except SlurmError:  # a plan can be made where there is no Slurm
        size = UNKNOWN_ARRAY_SIZE
    return batches(planned.left, planned.estimate.seconds, settings.slurm_for, size)


def render_jobs(arrays: list[Batch]) -> RenderableType:
    """One line an array."""
    table = Table("Array", "jobs", "Trials", "Trials a job", "begins", "each job asks for", box=None, pad_edge=False)
    for number, batch in enumerate(arrays, start=1):
        sizes = sorted({len(pack) for pack in batch.packs})
        table.add_row(
            str(number),
            str(len(batch.packs)),
            str(sum(map(len, batch.packs))),
            " to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1])))),
            "at once" if batch.wave == 0 else "after those of its teachers",
            Text(asked(batch.resources)),
        )
    return table


def jobs_as_json(arrays: list[Batch]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "wave": batch.wave,
            "resources": batch.resources.model_dump(mode="json", exclude_defaults=True),
            "jobs": [[trial.id for trial in pack] for pack in batch.packs],
        }
        for batch in arrays
    ]


def asked(resources: Resources) -> str:
    """A request in one line; what is not named is the cluster's default."""
    values = resources.model_dump(exclude_defaults=True)
    given = {name: values[name] for name in _ASKED if name in values}
    words = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items()]
    return ", ".join([*words, in_words(resources.time_min)])
