from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ablate.study.study import Study
from ablate.tracking.courier import Courier
from ablate.tracking.destination import Destination, Places
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import StoreUnavailable


class PickyServer:
    """Takes all Trials but one."""

    uri = "http://server"

    def __init__(self, refused: str, cause: Exception | None) -> None:
        self.refused, self.cause = refused, cause
        self.asked: Counter[str] = Counter()
        self.got: dict[str, str] = {}

    def prepare(self) -> None:
        pass

    def deliver_to(self, destination: Any, record: Record, artifacts: Any, *, alone: bool = False) -> None:
        self.asked[record.trial_id] += 1
        if record.trial_id == self.refused:
            raise StoreUnavailable("413 Request Entity Too Large") from self.cause
        self.got[record.trial_id] = record.status


def courier_of(server: PickyServer, spool: Spool, study: Study) -> Courier:
    places = Places(study)
    destination = Destination(study.slug, "1", {trial.id: places.of(trial.id, "p") for trial in study.trials})
    courier = Courier(server, spool, destination, every_s=0.05, wait_s=1.0)  # type: ignore[arg-type]
    for trial in study.trials:
        courier.watch(trial.id)
    return courier


@pytest.mark.parametrize("cause", [None, ConnectionRefusedError()], ids=["refused", "outage"])
def test_a_trial_that_is_always_refused_stops_no_other(
    spool: Spool, study: Study, train: Callable[..., Record], cause: Exception | None
):
    """The others arrive while the job goes on, and it is tried less and less; an outage stops them all."""
    for index in range(4):
        train(study, index)
    first, *others = [trial.id for trial in study.trials]
    server = PickyServer(first, cause)
    courier = courier_of(server, spool, study)
    courier.start()
    until = time.monotonic() + (10.0 if cause is None else 0.5)
    while len(server.got) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert server.got == ({} if cause else dict.fromkeys(others, "finished"))
    server.refused = ""
    courier.stop()
    assert set(server.got) == {first, *others}
    assert all(server.asked[trial_id] == 1 for trial_id in others)


def test_a_refused_trial_is_tried_less_and_less(
    spool: Spool, study: Study, train: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
):
    """Passes go on at their pace for the others; its own tries come at doubling distances."""
    train(study, 0)
    first = study.trials[0].id
    server = PickyServer(first, None)
    courier = courier_of(server, spool, study)
    now = [1000.0]
    monkeypatch.setattr("ablate.tracking.courier.time.monotonic", lambda: now[0])
    for _ in range(200):
        courier._deliver_queue()
        now[0] += 0.05
    monkeypatch.undo()
    assert 5 <= server.asked[first] <= 10
