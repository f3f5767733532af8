"""A Slurm of the tests' own: accounting, several nodes with fake GPUs, in seconds, from an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from cluster_files import CLUSTER, HEAD, Files
from cluster_machine import Machine, Process
from cluster_surroundings import SEARCH_PATH, clean, free_ports, wait

SLURM_DAEMONS = ("slurmd", "slurmstepd")


class PrivateSlurm:
    """Slurm on emulated machines: ``head`` with the daemons, and nodes ``gpu1`` to ``gpuN``; needs root.

    Partitions: ``gpu`` (the default; preempts the others), ``preempt`` (requeued after a grace time), ``preempt0``
    (requeued at once) and ``preemptc`` (cancelled). It is brought up on entering the context, and gone after it.

    Args:
        folder: An empty folder, or one to be made. Its path has to be short, since sockets lie in it.
        nodes: How many nodes.
        cpus: CPUs of each, whatever the machine has.
        gpus: Fake GPUs of each.
        mem_mb: Memory of each, in MB; a job that takes more than it asked for is killed.
        user_signal: Whether preemption sends the job's own signal first (``preempt_send_user_signal``).
        grace_s: Grace time of the partition ``preempt``, in seconds.
        max_array_size: Slurm's MaxArraySize.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 2,
        cpus: int = 8,
        gpus: int = 4,
        mem_mb: int = 16_000,
        user_signal: bool = True,
        grace_s: int = 6,
        max_array_size: int = 1001,
    ) -> None:
        names = tuple(f"gpu{number}" for number in range(1, nodes + 1))
        ports = free_ports(nodes + 2)
        self.files = Files(folder.resolve(), names, ports, cpus, gpus, mem_mb, user_signal, grace_s, max_array_size)
        self.machines: dict[str, Machine] = {}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return self.files.nodes

    @property
    def env(self) -> dict[str, str]:
        """The environment in which sbatch, squeue and submitit find this cluster, and nothing of another job."""
        return clean(os.environ) | {"SLURM_CONF": str(self.files.conf), "PATH": SEARCH_PATH}

    def __enter__(self) -> PrivateSlurm:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.down()

    def up(self) -> None:
        """Brings everything up, until every node is idle.

        Raises:
            RuntimeError: Something did not come up, with the ends of the logs.
        """
        self.files.write()
        self._start_accounting(self._boot(HEAD))
        self.start_controller()
        for node in self.nodes:
            self.start(node)
        self.wait_idle()

    def down(self) -> None:
        """Ends every process of the cluster; also when only a part of it is up."""
        for machine in self.machines.values():
            machine.power_off()
        self.machines.clear()

    def run(self, *command: str, timeout_s: float = 60) -> str:
        """Runs a command as on a login node, and returns what it printed, stripped.

        Raises:
            RuntimeError: It failed, with its stderr.
        """
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def crash(self, node: str) -> None:
        """Cuts the power of a node: slurmd, steps and jobs are gone at once, and nobody says goodbye."""
        self.machines[node].power_off()

    def kill_slurmd(self, node: str) -> None:
        """Kills a node's slurmd alone: for Slurm the node is lost, and its jobs go on as orphans."""
        for process in self.processes(node):
            if process.name == "slurmd":
                process.kill()
        wait(lambda: not self._has_slurmd(node), 10, f"the end of slurmd on {node}")

    def start(self, node: str) -> None:
        """Starts a node again, or only its slurmd where the node still runs."""
        machine = self.machines.get(node)
        if machine is None or not machine.is_on:
            machine = self._boot(node)
        machine.start(["slurmd"], self.files.log(f"{node}-out"))

    def processes(self, node: str) -> list[Process]:
        """What runs on a node; empty when it is off."""
        return self.machines[node].processes()

    def job_processes(self, node: str) -> list[Process]:
        """What jobs run on a node, their batch scripts included, Slurm's own processes left out."""
        return [process for process in self.processes(node) if process.name not in SLURM_DAEMONS]

    def signal_controller(self, number: int) -> None:
        """Sends slurmctld a signal: SIGSTOP and it answers nobody, SIGKILL and it is gone."""
        for process in self.processes(HEAD):
            if process.name == "slurmctld":
                process.kill(number)

    def start_controller(self) -> None:
        """Starts slurmctld, which goes on from the state that it has saved; returns when it answers."""
        self.machines[HEAD].start(["slurmctld"], self.files.log("slurmctld-out"))
        self._wait("slurmctld", "scontrol", "show", "partition")

    def declare_down(self, node: str) -> None:
        """Tells Slurm what it would find out in about 17 s: the node is lost. Its jobs end in NODE_FAIL at once."""
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=declared")

    def begin_now(self, job: str) -> None:
        """Spares a requeued job the rest of the 6 s that Slurm makes it wait."""
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def reconfigure(self, *, user_signal: bool) -> None:
        """Turns ``preempt_send_user_signal`` on or off; jobs are not disturbed.

        Raises:
            RuntimeError: Slurm does not show the new value.
        """
        self.files = replace(self.files, user_signal=user_signal)
        self.files.conf.write_text(self.files.slurm())
        self.run("scontrol", "reconfigure")
        shown = "preempt_send_user_signal" in self.run("scontrol", "show", "config")
        if shown != user_signal:
            raise RuntimeError(f"preempt_send_user_signal is {shown}, not {user_signal}")

    @contextmanager
    def small_disk(self, megabytes: int) -> Iterator[Path]:
        """A file system of that size, seen by all nodes, which are powered off and on for it."""
        place = self.files.folder / "small"
        place.mkdir(exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
        try:
            self._power_cycle()  # a machine sees what was mounted before it was switched on
            yield place
        finally:
            self.run("umount", "--lazy", str(place))
            self._power_cycle()

    def node_states(self) -> dict[str, str]:
        """State of each node in scontrol's words, such as ``IDLE`` or ``DOWN+NOT_RESPONDING``."""
        shown = self.run("scontrol", "--oneliner", "show", "nodes")
        return dict(re.findall(r"^NodeName=(\S+) .*? State=(\S+)", shown, re.MULTILINE))

    def wait_idle(self, timeout_s: float = 30) -> None:
        """Waits until every node is up and has no job.

        Raises:
            RuntimeError: That did not happen in time.
        """
        try:
            wait(lambda: set(self.node_states().values()) == {"IDLE"}, timeout_s, "idle nodes")
        except RuntimeError as error:
            raise RuntimeError(f"{error}; they are {self.node_states()}\n{self.logs()}") from error

    def cancel_all(self) -> None:
        """Ends every job and whatever it left running, and brings every node back to idle."""
        jobs = self.run("squeue", "--noheader", "--format=%A").split()
        if jobs:
            self.run("scancel", "--full", *sorted(set(jobs)))
        for node in self.nodes:
            if not self._has_slurmd(node):
                self.crash(node)  # orphans go with it
                self.start(node)
        wait(self._emptied, 30, "the end of all jobs")
        for node, state in self.node_states().items():
            if "DOWN" in state or "DRAIN" in state:
                with suppress(RuntimeError):  # it came back by itself meanwhile
                    self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.wait_idle()

    def logs(self, lines: int = 20) -> str:
        """The ends of all daemons' logs, for messages of failures."""
        parts = []
        for log in sorted((self.files.folder / "log").glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {log.name}", *tail]))
        return "\n".join(parts)

    def _boot(self, name: str) -> Machine:
        binds = {self.files.hosts: Path("/etc/hosts"), self.files.etc: Path("/etc/slurm")}
        self.machines[name] = Machine(name, binds, self.env)
        return self.machines[name]

    def _start_accounting(self, head: Machine) -> None:
        folder, log, defaults = self.files.folder, self.files.log, f"--defaults-file={self.files.etc}/my.cnf"
        munge = ["munged", "--force", f"--socket={self.files.munge_socket}", f"--key-file={folder}/munge.key"]
        rest = [f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed", f"--log-file={log('munged')}"]
        head.start([*munge, *rest], log("munged-out"))
        # Root comes in by its socket alone, with no password.
        install = ["mariadb-install-db", defaults, "--auth-root-authentication-method=socket", "--skip-test-db"]
        head.start(install, log("mariadb"))
        head.start(["mariadbd", defaults], log("mariadb"), wait=False)
        self._wait("MariaDB", "mariadb-admin", "--no-defaults", f"--socket={self.files.database_socket}", "ping")
        # MariaDB's client library has the way to its socket from the environment; slurmdbd has no setting for it.
        head.start(["slurmdbd"], log("slurmdbd-out"), MYSQL_UNIX_PORT=str(self.files.database_socket))
        self._wait("slurmdbd", "sacctmgr", "--noheader", "list", "cluster")
        self.run("sacctmgr", "--immediate", "add", "cluster", CLUSTER)

    def _power_cycle(self) -> None:
        for node in self.nodes:
            self.crash(node)
            self.start(node)
        self.cancel_all()

    def _has_slurmd(self, node: str) -> bool:
        return any(process.name == "slurmd" for process in self.processes(node))

    def _emptied(self) -> bool:
        """Whether no job is left; kills what ignores that its job is over."""
        for process in (process for node in self.nodes for process in self.job_processes(node)):
            process.kill()
        return not self.run("squeue", "--noheader")

    def _wait(self, what: str, *command: str) -> None:
        try:
            wait(
                lambda: not subprocess.run(command, env=self.env, capture_output=True, timeout=60).returncode, 30, what
            )
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.logs()}") from error
