"""What a Trial's folder says of its delivery: who is at it, and what outcome a Store already has.

::

    <spool>/trials/<id>/delivering   held by the process that writes the Trial's run
                        delivered    Store and study -> the outcome that was written completely

The mark only saves questions: a Store that lost what it says is found out by `Delivery.deliver_all`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ablate.tracking.disk import Lock, write_atomically
from ablate.tracking.spool import Spool
from ablate.tracking.store import Stamp

_LOCK, _MARK = "delivering", "delivered"


def delivery_lock(spool: Spool, trial_id: str) -> Lock:
    """The lock that whoever writes a Trial's run must hold. Makes the Trial's folder where it is missing."""
    home = spool.home(trial_id)
    home.mkdir(parents=True, exist_ok=True)
    return Lock(home / _LOCK)


def mark(spool: Spool, trial_id: str, uri: str, study: str, stamp: Stamp) -> None:
    """Note, under the lock, that this Store has the outcome ``stamp`` in the experiment of the study (its slug)."""
    path = spool.home(trial_id) / _MARK
    write_atomically(path, json.dumps(_read(path) | {_key(uri, study): list(stamp)}))


def marked(spool: Spool, trial_id: str, uri: str, study: str) -> Stamp | None:
    """The outcome that this Store was given last; None where nothing is noted, or nothing that can be read."""
    held = _read(spool.home(trial_id) / _MARK).get(_key(uri, study))
    return Stamp(*held) if isinstance(held, list) and len(held) == len(Stamp._fields) else None


def _key(uri: str, study: str) -> str:
    return f"{study} in {uri}"


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
