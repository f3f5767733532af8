"""Whether what the settings ask of Slurm exists, and could ever start."""

from __future__ import annotations

from ablate.doctor import slurm_facts
from ablate.doctor.asking import NoAnswer, ask
from ablate.doctor.finding import Finding, Subject
from ablate.execution.resources import Resources
from ablate.execution.time_limit import in_words
from ablate.wording import listing, nearest

_MEND = "change [executors.slurm] in the settings, or give --slurm FIELD=VALUE"


def names(subject: Subject) -> Finding:
    """Whether partition, account and qos exist and are the user's."""
    wrong: list[str] = []
    loose: list[str] = []
    try:
        own = slurm_facts.associations()
    except NoAnswer:
        own = []
    enforced = subject.slurm_config.get("AccountingStorageEnforce", "")
    for asked in subject.settings.requests().values():
        for partition in (asked.partition or "").split(","):
            if partition and partition not in subject.partitions:
                choices = list(subject.partitions)
                wrong.append(f"there is no partition {partition!r}; {listing(choices)}{nearest(partition, choices)}")
        accounts = list(dict.fromkeys(a.account for a in own))
        if asked.account and accounts and asked.account not in accounts:
            told = f"account {asked.account!r} is none of yours; {listing(accounts)}{nearest(asked.account, accounts)}"
            (wrong if "associations" in enforced else loose).append(told)
        kinds = list(dict.fromkeys(qos for a in own for qos in a.qos))
        if asked.qos and kinds and asked.qos not in kinds:
            told = f"qos {asked.qos!r} is not allowed to you; {listing(kinds)}{nearest(asked.qos, kinds)}"
            (wrong if "qos" in enforced else loose).append(told)
    if wrong:
        return Finding("names", "problem", "; ".join(dict.fromkeys(wrong + loose)), _MEND)
    if loose:
        says = "; ".join(dict.fromkeys(loose))
        return Finding("names", "warning", f"{says}; this cluster does not insist on it", _MEND)
    first = subject.settings.slurm
    asked_for = [f"{name} {getattr(first, name)}" for name in ("partition", "account", "qos") if getattr(first, name)]
    return Finding("names", "ok", ", ".join(asked_for) or "the settings name no partition, account or qos")


def possible(subject: Subject) -> Finding:
    """Whether the cluster has what is asked for: what it lacks would wait in the queue for ever."""
    wrong = []
    for patterns, asked in subject.settings.requests().items():
        told = never_starts(asked, subject)
        if told:
            wrong.append(f"{f'for {patterns}: ' if patterns else ''}{told}")
    if wrong:
        return Finding("request", "problem", f"would never start: {'; '.join(wrong)}", _MEND)
    return Finding("request", "ok", described(subject.settings.slurm))


def never_starts(asked: Resources, subject: Subject) -> str:
    """Why no job of this kind would ever start; empty where one could. Raises `NoAnswer`."""
    name = (asked.partition or "").partition(",")[0]
    partition = subject.partitions.get(name) if name else subject.partition
    if partition is None:
        return "" if not name else f"there is no partition {name!r}"
    limit = partition.max_time_min
    if limit is not None and asked.time_min > limit:
        return (
            f"{in_words(asked.time_min)} is asked for, and partition {partition.name!r} ends jobs at {in_words(limit)}"
        )
    nodes = [node for node in subject.nodes if partition.name in node.partitions]
    if len(nodes) < asked.nodes:
        return f"{asked.nodes} nodes are asked for, and partition {partition.name!r} has {len(nodes)}"
    needs = (
        (f"{asked.gpu_type or ''} GPUs".strip(), asked.gpus, [node.gpus_of(asked.gpu_type) for node in nodes]),
        ("CPUs", asked.per_node * (asked.cpus or 1), [node.cpus for node in nodes]),
        ("MB of memory", round((asked.memory_gb or 0) * 1024), [node.memory_mb for node in nodes]),
    )
    for what, needed, there in needs:
        enough = sum(has >= needed for has in there)
        if enough < asked.nodes:
            most = (
                f"{enough} of its nodes have them" if enough else f"the most that one has is {max(there, default=0):,}"
            )
            times = f"{asked.nodes} nodes with " if asked.nodes > 1 else ""
            return f"{times}{needed:,} {what} in partition {partition.name!r}: {most}"
    return ""


def dry_run(subject: Subject) -> Finding:
    """What Slurm itself says to the request, in its own words."""
    for patterns, asked in subject.settings.requests().items():
        try:
            answer = ask("sbatch", "--test-only", *asked.sbatch_flags(), "--wrap=true")
        except NoAnswer as why:
            return Finding("sbatch --test-only", "warning", str(why))
        if answer.status != 0:
            words = answer.words.replace("allocation failure: ", "")
            says = f"{f'for {patterns}: ' if patterns else ''}Slurm refuses: {words}"
            return Finding("sbatch --test-only", "problem", says, _MEND)
        if not patterns:
            words = answer.words.removeprefix("sbatch: ")
    return Finding("sbatch --test-only", "ok", words)


def described(asked: Resources) -> str:
    """A request in one line."""
    gpus = f"{asked.gpus} {asked.gpu_type or ''} GPUs".replace("  ", " ") if asked.gpus else "no GPU"
    each = f"{asked.per_node} processes" if asked.per_node > 1 else "1 process"
    memory = f", {asked.memory_gb:g} GB" if asked.memory_gb else ""
    where = f"{asked.nodes} nodes, each " if asked.nodes > 1 else ""
    cpus = f" of {asked.cpus} CPUs" if asked.cpus else ""
    return f"{where}{gpus}, {each}{cpus}{memory}, {in_words(asked.time_min)}; warned {asked.warning_s} s before the end"
