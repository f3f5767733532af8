"""The configuration files of the private Slurm: short timers, fake GPUs, and four partitions."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

HEAD = "head"
CLUSTER = "private"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Files:
    """Where things lie below the cluster's folder, and what is written there.

    Args:
        folder: The cluster's folder. Sockets lie in it, so its path has to be shorter than about 80 letters.
        nodes: Names of the nodes.
        ports: Free ports: for slurmctld, for slurmdbd, and one for each node.
        cpus: CPUs of a node.
        gpus: GPUs of a node.
        mem_mb: Memory of a node, in MB.
        user_signal: Whether preemption sends the job's own ``--signal`` (``preempt_send_user_signal``).
        grace_s: Seconds between that signal and the end, in the partitions that have a grace time.
        max_array_size: Slurm's MaxArraySize; the highest index of an array is one less.
    """

    folder: Path
    nodes: tuple[str, ...]
    ports: tuple[int, ...]
    cpus: int
    gpus: int
    mem_mb: int
    user_signal: bool
    grace_s: int
    max_array_size: int

    @property
    def etc(self) -> Path:
        """The folder of the configuration, which machines of the cluster see as /etc/slurm."""
        return self.folder / "etc"

    @property
    def conf(self) -> Path:
        """Slurm's own configuration file."""
        return self.etc / "slurm.conf"

    @property
    def hosts(self) -> Path:
        """What machines of the cluster see as /etc/hosts."""
        return self.etc / "hosts"

    @property
    def munge_socket(self) -> Path:
        """Where munged listens."""
        return self.folder / "munge.socket"

    @property
    def database_socket(self) -> Path:
        """Where MariaDB listens."""
        return self.folder / "mariadb.socket"

    def log(self, name: str) -> Path:
        """The log of one daemon."""
        return self.folder / "log" / f"{name}.log"

    def write(self) -> None:
        """Makes the folders and writes all files, also the fake GPUs' devices (needs root)."""
        for name in (
            "etc",
            "log",
            "state",
            "database",
            "database-tmp",
            "dev",
            *(f"spool-{node}" for node in self.nodes),
        ):
            (self.folder / name).mkdir(parents=True)
        for index in range(self.gpus):  # Slurm takes CUDA_VISIBLE_DEVICES from the device's number: copies of /dev/null
            os.mknod(self.folder / f"dev/nvidia{index}", 0o20666, os.makedev(1, 3))
        private(self.folder / "munge.key", secrets.token_bytes(1024))
        private(self.etc / "slurmdbd.conf", self.slurmdbd().encode())
        self.conf.write_text(self.slurm())
        (self.etc / "gres.conf").write_text(
            "".join(f"Name=gpu File={self.folder}/dev/nvidia{i}\n" for i in range(self.gpus))
        )
        (self.etc / "plugstack.conf").write_text("")
        names = "".join(f"{LOOPBACK} {name}\n" for name in (HEAD, *self.nodes))
        self.hosts.write_text(Path("/etc/hosts").read_text() + names)
        (self.etc / "my.cnf").write_text(self.mariadb())

    def slurm(self) -> str:
        """The text of slurm.conf."""
        nodes = "".join(
            f"NodeName={name} NodeHostname={name} NodeAddr={LOOPBACK} Port={port} CPUs={self.cpus}"
            f" CoresPerSocket={self.cpus} RealMemory={self.mem_mb} Gres=gpu:{self.gpus}\n"
            for name, port in zip(self.nodes, self.ports[2:], strict=True)
        )
        return f"""\
ClusterName={CLUSTER}
SlurmctldHost={HEAD}({LOOPBACK})
SlurmctldPort={self.ports[0]}
SlurmUser=root
SlurmdUser=root
# A requeued job may not start again before its old credential has expired: 120 s, and 5 s at least.
AuthInfo=socket={self.munge_socket},cred_expire=5
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd-%n.pid
SlurmctldLogFile={self.log("slurmctld")}
SlurmdLogFile={self.folder}/log/slurmd-%n.log
SlurmctldDebug=verbose
SlurmdDebug=verbose
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool-%n
PlugStackConfig={self.etc}/plugstack.conf
MailProg=/bin/true
# Neither cgroups nor pinning: memory is watched by asking every second.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
# Timers, in seconds.
KillWait=4
SlurmdTimeout=6
MessageTimeout=5
BatchStartTimeout=10
UnkillableStepTimeout=30
CompleteWait=0
OverTimeLimit=0
# A node that lost power comes back by registering.
ReturnToService=2
JobRequeue=1
MaxArraySize={self.max_array_size}
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1,bf_resolution=1,bf_continue
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU={self.mem_mb // self.cpus}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{"SlurmctldParameters=preempt_send_user_signal" if self.user_signal else "# no preempt_send_user_signal"}
# The nodes claim more than the machine has.
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={LOOPBACK}
AccountingStoragePort={self.ports[1]}
AccountingStoragePass={self.munge_socket}
AccountingStorageTRES=gres/gpu
{nodes}PartitionName=DEFAULT Nodes=ALL DefaultTime=10 MaxTime=INFINITE State=UP
PartitionName=gpu Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=preempt PriorityTier=1 PreemptMode=REQUEUE GraceTime={self.grace_s}
PartitionName=preempt0 PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=preemptc PriorityTier=1 PreemptMode=CANCEL GraceTime=0
"""

    def slurmdbd(self) -> str:
        """The text of slurmdbd.conf."""
        return f"""\
AuthInfo=socket={self.munge_socket}
DbdHost={HEAD}
DbdAddr={LOOPBACK}
DbdPort={self.ports[1]}
SlurmUser=root
LogFile={self.log("slurmdbd")}
PidFile={self.folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageUser=root
StorageLoc=slurm_accounting
"""

    def mariadb(self) -> str:
        """The text of MariaDB's configuration: small, quick, and careless about power cuts."""
        return f"""\
[mariadbd]
user=root
datadir={self.folder}/database
socket={self.database_socket}
pid-file={self.folder}/mariadb.pid
# Not /tmp: its temporary files there bear process ids, which other machines have, too.
tmpdir={self.folder}/database-tmp
skip-networking
skip-name-resolve
performance_schema=OFF
innodb_buffer_pool_size=64M
innodb_log_file_size=16M
innodb_lock_wait_timeout=900
innodb_flush_log_at_trx_commit=0
innodb_doublewrite=0
"""


def private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read, as munged and slurmdbd demand."""
    path.touch(mode=0o600)
    path.write_bytes(content)
