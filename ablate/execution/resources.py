"""What a job on Slurm asks for. None of it decides an outcome, and no Trial's id has any of it."""

from __future__ import annotations

import math
import shlex
import sys
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ablate.execution.time_limit import in_words, minutes
from ablate.recipe.section import Section

Whole = Annotated[int, Field(ge=1, le=1_000_000)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]  # a list, as files have it
#: Flags of sbatch that a field of `Resources` stands for.
FIELD_OF_FLAG = {
    **{name: name for name in ("partition", "account", "qos", "constraint", "reservation", "exclude", "nodes", "time")},
    **dict.fromkeys(("gpus", "gpus-per-node", "gpus-per-task"), "gpus"),
    **dict.fromkeys(("ntasks", "ntasks-per-node"), "processes"),
    **dict.fromkeys(("requeue", "no-requeue"), "requeues"),
    "cpus-per-task": "cpus",
    "mem": "memory_gb",
    "signal": "checkpoint_s",
    "container-image": "container",
    "container-mounts": "container_mounts",
}
#: Flags of sbatch by which ablate finds its jobs and their logs again.
OWN_FLAGS = ("array", "job-name", "comment", "output", "error", "open-mode", "chdir", "wrap", "parsable", "test-only")
_WARNING_S = 120
_NO_CAP = 1_000_000


class ResourceError(ValueError):
    """A request that contradicts itself; ``field`` is the one to look at."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(f"{field}: {message}")


class ResourceFields(Section):
    """The fields of a request, each checked by itself."""

    partition: str | None = None
    """Queue to wait in; without one, the cluster's default."""
    account: str | None = None
    """Who is charged."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that nodes must have, in Slurm's words (``a100&ib``)."""
    reservation: str | None = None
    """Reservation to run in."""
    exclude: str | None = None
    """Nodes to stay away from, in Slurm's words (``node[01-03]``)."""
    nodes: Whole = 1
    """Nodes that train one Trial together."""
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    """GPUs on each node."""
    gpu_type: str | None = None
    """Their type, as the cluster calls it (``a100``)."""
    processes: Whole | None = None
    """Processes on each node that train one Trial together; without a number, one for each GPU, at least one."""
    cpus: Whole | None = None
    """CPUs of each process; without a number, the cluster's default."""
    memory_gb: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Memory of each node, GB of 1,024 MB; without a number, the cluster's default."""
    time: Annotated[int, BeforeValidator(minutes)] = 60
    """Time limit of a job: ``4h``, ``90m``, ``1-12:00:00``, ``04:00:00``, or a number of minutes."""
    parallel: Whole | None = None
    """Jobs of an array that run at once; without a number, as many as Slurm starts."""
    trials_per_job: Whole | None = None
    """Trials that a job trains one after another; without a number, chosen from the time that a Trial takes."""
    job_minutes: Annotated[float, Field(gt=0, le=525_600)] = 30
    """How long a job of several short Trials should take, minutes."""
    checkpoint_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Warning before the time limit, s, in which a checkpoint is written; without a number, 120, and no more than a
    quarter of the time limit."""
    requeues: Annotated[int, Field(ge=0, le=10_000)] = 10
    """How often a job whose process was killed is started again by itself."""
    poll_s: Annotated[float, Field(ge=0.5, le=3600)] = 10
    """How often a driver asks Slurm and the spool for news, s."""
    setup: Texts = ()
    """Shell commands before Python starts (``module load cuda``)."""
    python: str | None = None
    """Shell command that starts Python 3.11 or newer on the node; without one, the Python of this command, and
    ``python3`` in a container."""
    container: str | None = None
    """Image to run in."""
    container_runtime: Literal["pyxis", "apptainer"] = "pyxis"
    """What runs it: Slurm's plugin pyxis, or apptainer."""
    container_mounts: Texts = ()
    """Folders of the node to be seen in the container: ``/scratch:/scratch`` or ``/scratch:/data``. Those of ``--home``
    and of the study must be among them, unless the runtime shows them by itself."""
    sbatch: dict[str, str | int | bool] = {}
    """Any other flag of sbatch, without the dashes: ``{mail-type = "END", exclusive = true}``."""
    srun: Texts = ()
    """Arguments to srun, each as one text: ``["--cpu-bind=cores"]``."""

    @field_validator("partition", "account", "qos", "constraint", "reservation", "exclude", "gpu_type", "container")
    @classmethod
    def _is_one_line(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip() or any(c in value for c in "\n\r\0")):
            raise ValueError("must be one line of text that is not empty; leave the key out for none")
        return value

    @field_validator("sbatch")
    @classmethod
    def _leaves_own_flags_alone(cls, flags: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for flag, value in flags.items():
            name = flag.lstrip("-").replace("_", "-")
            if name in FIELD_OF_FLAG:
                raise ValueError(f"{flag!r} is set by the field {FIELD_OF_FLAG[name]!r}")
            if name in OWN_FLAGS:
                raise ValueError(f"{flag!r} is ablate's own: by it jobs and their logs are found again")
            if name != flag or not flag.isprintable() or " " in flag:
                raise ValueError(f"{flag!r} must be a flag without the dashes before it; did you mean {name!r}?")
            if value is False or "\n" in str(value):
                raise ValueError(f"{flag!r} must be true, a number or one line of text; leave it out for none")
        return flags


class Resources(ResourceFields):
    """What one job asks for; a Trial in it is trained by `processes_in_all` processes."""

    def __hash__(self) -> int:
        """Of the values, since jobs are grouped by what they ask for."""
        return hash(self.model_dump_json())

    @model_validator(mode="after")
    def _fits(self) -> Resources:
        if self.gpu_type and not self.gpus:
            raise ResourceError("gpu_type", f"{self.gpu_type!r} GPUs are named, and gpus is 0: say how many")
        if self.gpu_type and "gres" in self.sbatch:
            raise ResourceError("sbatch", "'gres' cannot stand beside gpu_type: name both in it, and leave gpus at 0")
        if self.gpus and self.per_node > self.gpus:
            shared = f"{self.per_node} processes cannot share {self.gpus} GPUs"
            raise ResourceError("processes", f"{shared}: each process of a Trial computes on one of its own")
        if self.gpus and self.gpus % self.per_node:
            raise ResourceError("processes", f"{self.gpus} GPUs cannot be shared evenly by {self.per_node} processes")
        if self.checkpoint_s is not None and 2 * self.checkpoint_s > 60 * self.time:
            half = f"more than half of the time limit of {in_words(self.time)}"
            raise ResourceError("checkpoint_s", f"{self.checkpoint_s} s is {half}: nothing would be trained")
        if self.container_mounts and not self.container:
            raise ResourceError("container_mounts", "there is no container to mount them in: name its image")
        return self

    @property
    def time_min(self) -> int:
        """The time limit, minutes."""
        return self.time

    @property
    def warning_s(self) -> int:
        """How long before the time limit a job is told to write its checkpoint, s."""
        return self.checkpoint_s if self.checkpoint_s is not None else min(_WARNING_S, 15 * self.time)

    @property
    def per_node(self) -> int:
        """Processes on each node."""
        return self.processes if self.processes is not None else max(1, self.gpus)

    @property
    def processes_in_all(self) -> int:
        """Processes that train one Trial together."""
        return self.nodes * self.per_node

    def python_command(self) -> str:
        """The shell command that starts Python on a node, without the working folder on its path (``-P``)."""
        python = self.python or ("python3" if self.container else shlex.quote(sys.executable))
        if not self.container or self.container_runtime == "pyxis":
            return f"{python} -P"
        binds = ["--bind", ",".join(self.container_mounts)] if self.container_mounts else []
        prefix = ["apptainer", "exec", *(["--nv"] if self.gpus else []), *binds, self.container]
        return f"{shlex.join(prefix)} {python} -P"

    def submitit_parameters(self) -> dict[str, Any]:
        """Keyword arguments for `update_parameters` of submitit's `SlurmExecutor` (1.5.4)."""
        asked = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "exclude": self.exclude,
            "nodes": self.nodes,
            "ntasks_per_node": self.per_node,
            "cpus_per_task": self.cpus,
            "mem": None if self.memory_gb is None else f"{math.ceil(self.memory_gb * 1024)}M",
            "gpus_per_node": self.gpus if self.gpus and not self.gpu_type else None,
            "gres": f"gpu:{self.gpu_type}:{self.gpus}" if self.gpu_type else None,
            "setup": list(self.setup) or None,
        }
        return {name: value for name, value in asked.items() if value is not None} | {
            "time": self.time,
            "signal_delay_s": self.warning_s,
            "array_parallelism": self.parallel or _NO_CAP,  # submitit's own default is 256
            "wckey": None,  # submitit's own is "submitit", which clusters that check wckeys refuse
            "srun_args": self.srun_arguments(),
            "additional_parameters": self._other_flags(),
        }

    def srun_arguments(self) -> list[str]:
        """Arguments of the `srun` in the batch script."""
        image: list[str] = []
        if self.container and self.container_runtime == "pyxis":
            image = [f"--container-image={self.container}"]
            image += [f"--container-mounts={','.join(self.container_mounts)}"] if self.container_mounts else []
        return [*image, *self.srun]

    def sbatch_flags(self) -> list[str]:
        """The request as arguments of `sbatch` on the command line."""
        not_flags = ("setup", "srun_args", "additional_parameters", "array_parallelism", "signal_delay_s")
        parameters = self.submitit_parameters()
        flags = {name: value for name, value in parameters.items() if name not in not_flags and value is not None}
        flags["signal"] = f"USR2@{self.warning_s}"
        named = {name.replace("_", "-"): value for name, value in (flags | parameters["additional_parameters"]).items()}
        return [f"--{name}" if value is True else f"--{name}={value}" for name, value in sorted(named.items())]

    def _other_flags(self) -> dict[str, str | int | bool]:
        flags: dict[str, str | int | bool] = {"requeue": True}  # clusters differ in what holds without it (JobRequeue)
        if self.reservation:
            flags["reservation"] = self.reservation
        return flags | self.sbatch
