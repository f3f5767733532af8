"""The parent runs of one experiment: a run a Variant, made once, however many processes want it at once.

MLflow gives no two experiments one name, but as many runs as it is asked for. So a parent is made in two steps: a run
with the tag ``ablate.making``, and a look at what else there is now. Who sees another run of the Variant withdraws
his own; who sees none takes the tag off, and from then on every other finds that run. Of two who make one at once,
the later one to look sees both; that both withdraw costs a random pause and another round.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from ablate.study.study import Study, Variant
from ablate.tracking import mlflow_entries as entries
from ablate.tracking.mlflow_runs import log
from ablate.tracking.mlflow_search import search
from ablate.tracking.store import StoreUnavailable, is_server, variant_key

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_MAKING = "ablate.making"
#: Up to so many Variants are looked for one by one, more by reading all parents.
_FEW = 3
#: So many requests at once to a server; a database in a file has one writer.
_AT_ONCE = 8
#: A run that was being made for so long was left by a process that died.
_LEFT_S = 15.0
_ROUNDS = 200
_T = TypeVar("_T")
_R = TypeVar("_R")


class VariantRuns:
    """The parent runs of one experiment, remembered once they are found or made."""

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client = client
        self._experiment = experiment
        self._runs: dict[str, str] = {}
        self._has_read_all = False
        self._threads = _AT_ONCE if is_server(str(client.tracking_uri)) else 1

    def run_of(self, study: Study, variant: Variant) -> str:
        """The id of a Variant's run, which is made where it does not exist."""
        return self.runs_of(study, [variant])[variant.name]

    def runs_of(self, study: Study, variants: Sequence[Variant]) -> dict[str, str]:
        """Name of a Variant -> the id of its run. Those that do not exist are made, many at once."""
        keys = {variant.name: variant_key(variant) for variant in variants}
        missing = {keys[v.name]: v for v in variants if keys[v.name] not in self._runs}
        since = time.monotonic()
        for _ in range(_ROUNDS):
            if missing:
                self._adopt_or_make(study, missing, tidy=time.monotonic() - since > _LEFT_S)
                missing = {key: variant for key, variant in missing.items() if key not in self._runs}
            if not missing:
                return {name: self._runs[key] for name, key in keys.items()}
        raise StoreUnavailable(f"{self._client.tracking_uri}: {len(missing)} parent runs could not be made")

    def _adopt_or_make(self, study: Study, missing: Mapping[str, Variant], *, tidy: bool) -> None:
        """Remember the runs that stand; make those of which there is none, unless somebody else is at it."""
        there = self._look(missing)
        for key, runs in there.items():
            if standing := [run for run in runs if run.data.tags.get(_MAKING, "no") == "no"]:
                self._runs.setdefault(key, min((run.info.start_time, run.info.run_id) for run in standing)[1])
            elif tidy and key in missing:
                self._each(self._client.delete_run, [run.info.run_id for run in runs])
        begun = time.monotonic()
        wanted = [variant for key, variant in missing.items() if key not in there]
        made = dict(zip(map(variant_key, wanted), self._each(lambda v: self._begin(study, v), wanted), strict=True))
        now = self._look({key: missing[key] for key in made}) if made else {}
        alone = [key for key in made if [run.info.run_id for run in now.get(key, [])] == [made[key]]]
        self._each(self._client.delete_run, [run_id for key, run_id in made.items() if key not in alone])
        self._each(lambda key: self._stand(made[key], missing[key]), alone)
        self._runs |= {key: made[key] for key in alone}
        if any(key not in self._runs for key in missing):
            time.sleep(random.uniform(0.05, 0.5 + 3 * (time.monotonic() - begun)))

    def _look(self, wanted: Mapping[str, Variant]) -> dict[str, list[Run]]:
        """The runs there are of these Variants, and the first time of all, by key; without those of which none is."""
        of_variants = "tags.`ablate.kind` = 'variant'"
        conditions = [f"{of_variants} and tags.`{entries.VARIANT_KEY}` = '{key}'" for key in wanted]
        found: dict[str, list[Run]] = {}
        one_by_one = len(wanted) <= _FEW and self._has_read_all
        for condition in conditions if one_by_one else [of_variants]:
            for run in search(self._client, [self._experiment], condition):
                found.setdefault(run.data.tags.get(entries.VARIANT_KEY, ""), []).append(run)
        self._has_read_all = True
        return found

    def _begin(self, study: Study, variant: Variant) -> str:
        tags = entries.variant_tags(study, variant) | {_MAKING: "yes"}
        return str(self._client.create_run(self._experiment, tags=tags, run_name=variant.name).info.run_id)

    def _stand(self, run_id: str, variant: Variant) -> None:
        log(self._client, run_id, params=entries.params(variant.recipe), tags={_MAKING: "no"})

    def _each(self, do: Callable[[_T], _R], what: Sequence[_T]) -> list[_R]:
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(do, what))

    def summarise(self, run_id: str, aggregates: Mapping[str, float]) -> None:
        """Log what changed of the aggregates, and mark the run as finished.

        A metric cannot be taken back: what the run holds of an earlier summary and this one lacks becomes NaN,
        so that no run mixes the numbers of two.
        """
        run = self._client.get_run(run_id)
        now = entries.milliseconds(time.time())
        values = {entries.key(name): float(value) for name, value in aggregates.items()}
        values |= {name: math.nan for name in run.data.metrics if name not in values}
        changed = [(n, v, now, 0) for n, v in values.items() if not _same(run.data.metrics.get(n), v)]
        if changed:
            log(self._client, run_id, changed)
        if run.info.status != "FINISHED":
            self._client.set_terminated(run_id, "FINISHED")


def _same(held: float | None, value: float) -> bool:
    return held is not None and (held == value or (held != held and value != value))
