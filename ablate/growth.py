"""What the results so far ask for next: more seeds where a verdict is open, the next rung of a greedy ladder.

A study that grows is loaded again with a larger `Growth` each time all its Trials have an outcome, until nothing is
asked for any more. What it asks for depends on the study and on what its Trials have left alone (Records, and where
verdicts speak of other images the outcomes by image, which the Store keeps as well), so that the same command, given
again or on another machine, arrives at the same Trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.study.study import Block, Growth, Study, Trial
from ablate.tracking.record import Record
from ablate.tracking.results import bring_kept, collect
from ablate.tracking.spool import Spool
from ablate.tracking.store import Store
from ablate.wording import plural

if TYPE_CHECKING:
    import pandas as pd

    from ablate.reporting.kept import Kept

Records = Mapping[str, Record]
#: Of a study and its Records, the ids of the Trials that are to be trained again.
Again = Callable[[Study, Records], Collection[str]]


def _nothing_again(_study: Study, _records: Records) -> Collection[str]:
    return ()


def grown(study: Study, records: Records, kept: Kept | None = None) -> Study | None:
    """The study with what its results ask for; None where they ask for nothing, or where some are still to come.

    A ladder takes its next rung before seeds are added, so that every rung is judged with the seeds of all others.
    """
    if study.regrow is None or not settled(study, records):
        return None
    from ablate.reporting.frame import trial_frame

    trials = trial_frame(study, records)
    growth = _next_rungs(study, trials) or _more_seeds(study, trials, kept)
    return None if growth is None else study.regrow(growth)


def as_far_as_known(
    study: Study,
    known: Callable[[Study], dict[str, Record]],
    kept: Kept | None = None,
    again: Again = _nothing_again,
) -> tuple[Study, dict[str, Record]]:
    """The study grown by the results that are there, and its Records. Trains nothing.

    ``again`` are Trials, by id, that are to be trained again: their failures ask for nothing, for they may not last.
    """
    while True:
        records = known(study)
        waiting = again(study, records)
        larger = grown(study, {i: record for i, record in records.items() if i not in waiting}, kept)
        if larger is None:
            return study, records
        study = larger


def as_far_as_kept(
    study: Study,
    spool: Spool,
    store: Store | None = None,
    again: Again = _nothing_again,
) -> tuple[Study, dict[str, Record]]:
    """The same by the Records and the outcomes by image in a spool; what it lacks is fetched from the Store, if one is
    given.
    """
    from ablate.reporting.kept import Kept

    def known(now: Study) -> dict[str, Record]:
        records = collect(now, spool, store)
        if now.sequential is not None and now.analysis.over != "seeds":
            from ablate.reporting.examples import FILE

            bring_kept(records, FILE, spool, store)
        return records

    return as_far_as_known(study, known, Kept(artifact=spool.artifact), again)


def beyond(study: Study, records_of: Callable[[Sequence[str]], Records]) -> tuple[Trial, ...]:
    """The finished Trials that other results would have asked for, and that these do not: they are in no number.

    There are some where a failed Trial that had kept a verdict open has finished since, or where the study is judged
    otherwise than when they were trained. ``records_of`` gives what is known of Trials by their ids.
    """
    if study.possible is None:
        return ()
    planned = {trial.id for trial in study.all_trials}
    others = {trial.id: trial for trial in study.possible() if trial.id not in planned}
    records = records_of(list(others))
    return tuple(t for t in others.values() if t.id in records and records[t.id].status == "finished")


def told(before: Study, after: Study) -> str:
    """What has been added, in a line."""
    old, new = before.growth.rungs, after.growth.rungs
    chosen = [step for place, steps in new.items() for step in steps[len(old.get(place, ())) :]]
    if chosen:
        added = len(after.all_trials) - len(before.all_trials)
        rungs = f"the ladder's next rung: {', then '.join(chosen)}"
        return f"{rungs}; {plural(added, 'more Trial')}" if added else f"{rungs}, and its top is reached"
    now = {v.name: sum(t.variant == v.name for t in before.trials) for v in before.variants}
    more = {v.name: sum(t.variant == v.name for t in after.trials) - now.get(v.name, 0) for v in after.variants}
    names = [name for name, count in more.items() if count > 0 and name != after.baseline.name]
    if not names:
        return "the results ask for fewer Trials than before"
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return f"another seed for {plural(len(names), 'Variant')} without a verdict yet ({shown}), and for the baseline"


def settled(study: Study, records: Records) -> bool:
    """Whether every Trial has an outcome, finished or failed."""
    return all(t.id in records and records[t.id].status in ("finished", "failed") for t in study.all_trials)


def _next_rungs(study: Study, trials: pd.DataFrame) -> Growth | None:
    """One more step for each greedy ladder that is not at its top: the candidate that gains most."""
    rungs = dict(study.growth.rungs)
    for place, block in enumerate(study.blocks):
        step = _best_step(study, block, trials) if block.greedy else None
        if step is not None:
            rungs[place] = (*rungs.get(place, ()), step)
    return None if rungs == dict(study.growth.rungs) else replace(study.growth, rungs=rungs)


def _best_step(study: Study, block: Block, trials: pd.DataFrame) -> str | None:
    """The candidate with the best mean difference to the rung below, the first in the study's order at a tie.

    Over the seeds that both have, so that the crash of a lucky or unlucky seed chooses nothing. None where no candidate
    has a result.
    """
    from ablate.reporting.statistics import Pairs

    rung = block.variants[-1] if block.variants else study.baseline.name
    pairs = Pairs.of(trials[trials["variant"].isin([rung, *block.candidates.values()])], rung)
    gains = dict(zip(pairs.names, pairs.mean, strict=True))
    sign = 1.0 if study.metric.direction == "maximize" else -1.0
    found = {step: sign * float(gains.get(name, math.nan)) for step, name in block.candidates.items()}
    known = {step: value for step, value in found.items() if math.isfinite(value)}
    return max(known, key=lambda step: known[step]) if known else None


def _more_seeds(study: Study, trials: pd.DataFrame, kept: Kept | None) -> Growth | None:
    """One more seed for each Variant without a verdict, and for the baseline as many as any has.

    Over images, too, ``kept`` is asked for the outcomes by image; without those of the baseline, it is by seeds alone.
    A Variant of which some are lost gets no more seeds: they would settle nothing.
    """
    if study.sequential is None:
        return None
    from ablate.reporting.examples import examples_of
    from ablate.reporting.judging import differences
    from ablate.reporting.statistics import UNSURE

    limits, baseline = study.sequential, study.baseline.name
    now = {v.name: study.growth.seeds.get(v.name, limits.least) for v in study.variants}
    examples = examples_of(study, trials, kept) if kept is not None and study.analysis.over != "seeds" else None
    judged = differences(study, trials, examples)
    unsettled = list(judged.index[judged["verdict"] == UNSURE])
    if examples is not None and examples.outcome:
        whole = {name: len(examples.common_seeds(baseline, name)) == judged.loc[name, "pairs"] for name in unsettled}
        unsettled = [name for name in unsettled if whole[name]]
    results = trials.groupby("variant")["metric"].count()
    # One that has never had a result would not have one with another seed either.
    open_ = [name for name in unsettled if now[name] < limits.most and results.get(name, 0)]
    if not open_ or not results.get(baseline, 0):
        return None
    larger = now | {name: now[name] + 1 for name in open_}
    larger[baseline] = max(larger.values())
    return replace(study.growth, seeds=larger)
