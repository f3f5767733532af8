"""Slurm as it is set up here: commands, controller, accounting, limits, preemption, nodes."""

from __future__ import annotations

from ablate.doctor import slurm_facts
from ablate.doctor.asking import NoAnswer, answer_of, ask
from ablate.doctor.finding import Finding, Subject

COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel")
_ASK_ADMIN = "ask the cluster's administrator"
#: Fewer jobs at once than this make a study crawl.
_FEW_JOBS = 10
_SHOWN = 6


def commands(subject: Subject) -> Finding:
    """Whether jobs can be submitted from here."""
    missing = slurm_facts.missing_commands(COMMANDS)
    if not subject.has_slurm:
        lacking = "no sbatch on the PATH" if "sbatch" in missing else "its commands are installed, but know no cluster"
        return Finding("Slurm", "not here", f"{lacking}: --executor slurm works on a login node of a cluster")
    if missing:
        says = f"{', '.join(missing)} not found beside sbatch"
        return Finding("Slurm", "problem", says, "ask for the whole of Slurm's client commands, or load their module")
    return Finding("Slurm", "ok", f"{answer_of('sbatch', '--version').strip()}: {', '.join(COMMANDS)} found")


def controller(_: Subject) -> Finding:
    """Whether slurmctld answers."""
    try:
        answer = ask("scontrol", "ping")
    except NoAnswer as why:
        return Finding("controller", "problem", str(why), f"try again later, or {_ASK_ADMIN}")
    states = [line.strip() for line in answer.output.splitlines() if line.startswith("Slurmctld")]
    if any(" UP" in line for line in states):
        return Finding("controller", "ok", "; ".join(states))
    says = "; ".join(states) or answer.words or "it does not answer"
    return Finding("controller", "problem", says, f"no job can be submitted until it is up: {_ASK_ADMIN}")


def accounting(subject: Subject) -> Finding:
    """Whether Slurm remembers how jobs ended."""
    kind = subject.slurm_config.get("AccountingStorageType", "")
    lost = "how a job ended (memory, time, node) is then told from its log and its last sign of life alone"
    if kind in ("", "(null)", "accounting_storage/none"):
        return Finding("accounting", "warning", f"this cluster keeps none; {lost}", "nothing is lost from results")
    try:
        answer_of("sacct", "-n", "-X", "-S", "now-10minutes", "-o", "JobID")
    except NoAnswer as why:
        return Finding("accounting", "warning", f"sacct: {why}; {lost}", _ASK_ADMIN)
    return Finding("accounting", "ok", f"{kind.rpartition('/')[2]}; sacct answers")


def limits(subject: Subject) -> Finding:
    """How long an array may be, and how many jobs the user may have."""
    longest = int(subject.slurm_config.get("MaxArraySize", "1001"))
    if longest < 2:
        says = "job arrays are switched off (MaxArraySize)"
        return Finding("limits", "problem", says, f"{_ASK_ADMIN}: ablate submits arrays")
    says = f"arrays of up to {longest - 1:,} jobs; longer ones are split"
    try:
        most = min((a.max_submit for a in slurm_facts.associations() if a.max_submit is not None), default=None)
    except NoAnswer:
        return Finding("limits", "ok", f"{says}; how many jobs you may have is not known (sacctmgr does not say)")
    if most is None:
        return Finding("limits", "ok", f"{says}; no limit of your own on queued jobs")
    says = f"{says}; you may have {most:,} jobs at once (MaxSubmitJobs)"
    if most < _FEW_JOBS:
        return Finding("limits", "warning", says, "put more Trials into a job: trials_per_job in [executors.slurm]")
    return Finding("limits", "ok", says)


def preemption(subject: Subject) -> Finding:
    """What a preempted job is told, and whether Slurm starts it again."""
    partition, config = subject.partition, subject.slurm_config
    if partition is None:
        return Finding("preemption", "not here", "not looked at: there is no such partition")
    mode = partition.preempt_mode.replace("GANG,", "").replace(",GANG", "")
    if mode in ("OFF", "GANG") or config.get("PreemptType") == "preempt/none":
        return Finding("preemption", "ok", f"jobs of partition {partition.name!r} are not preempted")
    if mode == "SUSPEND":
        says = f"jobs of {partition.name!r} are suspended: they go on later, and their heartbeat stands still meanwhile"
        return Finding("preemption", "ok", says)
    signal = "preempt_send_user_signal" in config.get("SlurmctldParameters", "")
    if mode == "CANCEL":
        says = f"a preempted job of {partition.name!r} is cancelled, and Slurm does not start it again"
        return Finding(
            "preemption", "warning", says, "`ablate run` submits it again: keep it running, or give it again"
        )
    by = f"by {'USR2' if signal else 'SIGTERM'} (preempt_send_user_signal is {'on' if signal else 'off'})"
    warned = f"{partition.grace_s} s of warning {by}" if partition.grace_s else "no warning (GraceTime=0)"
    says = f"a preempted job of {partition.name!r} is started again by Slurm, with {warned}"
    if not partition.grace_s:
        advice = "a Trial goes on from its last regular checkpoint: ABLATE_CHECKPOINT_INTERVAL_S says how old it can be"
        return Finding("preemption", "warning", says, advice)
    return Finding("preemption", "ok", says)


def requeueing(subject: Subject) -> Finding:
    """Whether jobs whose node failed or whose time was up can be started again."""
    on = subject.slurm_config.get("JobRequeue", "1") == "1"
    default = "by default" if on else "on request, which ablate makes (JobRequeue=0)"
    times = subject.settings.slurm.requeues
    says = f"jobs can be started again {default}; after a kill ablate does so {times} times at most"
    return Finding("requeue", "ok", says)


def partitions(subject: Subject) -> Finding:
    """The queues, their time limits and whether they take jobs."""
    closed = [p for p in subject.partitions.values() if p.state != "UP"]
    listed = ", ".join(
        f"{p.name}{'*' if p.is_default else ''} ({_limit(p)}{'' if p.state == 'UP' else f', {p.state}'})"
        for p in subject.partitions.values()
    )
    own = subject.partition
    if own is not None and own in closed:
        says = f"{own.name} is {own.state}: jobs wait there and do not start; there are {listed}"
        return Finding("partitions", "problem", says, "choose another partition, or wait")
    if not subject.partitions:
        return Finding("partitions", "problem", "there is none that you can see", _ASK_ADMIN)
    return Finding("partitions", "warning" if closed else "ok", listed)


def nodes(subject: Subject) -> Finding:
    """Nodes that are down or drained, and why."""
    partition = subject.partition
    of_it = [n for n in subject.nodes if partition is None or partition.name in n.partitions]
    out = [n for n in of_it if not n.usable]
    where = f" in partition {partition.name!r}" if partition else ""
    if not out:
        return Finding("nodes", "ok", f"all {len(of_it)} nodes{where} can take jobs")
    told = [f"{n.name} {n.state}{f' ({n.reason})' if n.reason else ''}" for n in out[:_SHOWN]]
    more = f", and {len(out) - _SHOWN} more" if len(out) > _SHOWN else ""
    says = f"{len(out)} of {len(of_it)} nodes{where} cannot take jobs: {', '.join(told)}{more}"
    if len(out) == len(of_it):
        return Finding("nodes", "problem", says, f"jobs wait until one is back: {_ASK_ADMIN}")
    return Finding("nodes", "warning", says)


def _limit(partition: slurm_facts.Partition) -> str:
    from ablate.execution.time_limit import in_words

    return "no time limit" if partition.max_time_min is None else f"up to {in_words(partition.max_time_min)}"
