"""A finished Trial as a model: its Record, its Recipe, and the model with the weights that training left."""

from __future__ import annotations

import pickle
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from ablate.execution.worker import import_paths
from ablate.models.build import build
from ablate.recipe import Recipe
from ablate.study.study import VISION
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.store import StoreUnavailable
from ablate.trainable import WEIGHTS
from ablate.wording import nearest

#: So many letters of a Trial's id name it to people.
SHORT = 12
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_LISTED = 4


@dataclass(frozen=True)
class Trained:
    """A finished Trial of the built-in trainer."""

    record: Record
    recipe: Recipe
    model: nn.Module
    """With its final weights, on the CPU, in eval mode."""

    @property
    def name(self) -> str:
        """The beginning of its id."""
        return self.record.trial_id[:SHORT]


def load_trained(trial: str, home: Path, tracking_uri: str | None = None, import_from: Sequence[Path] = ()) -> Trained:
    """The finished Trial with this id, or the only one whose id begins so, in the spool ``home``.

    By its full id one may be in the Store as well, and is then kept in the spool. Parts of the user's own are looked
    for in ``import_from``. Raises ValueError, in one line for the user, where there is no such Trial or its model
    cannot be made again.
    """
    record, weights = _found(trial, Spool(home), tracking_uri)
    with import_paths(tuple(import_from)):
        recipe = _recipe(record)
        return Trained(record, recipe, _model(recipe, weights))


def _found(given: str, spool: Spool, tracking_uri: str | None) -> tuple[Record, Path]:
    """The Record and the weights of the one finished Trial that is meant."""
    if not _ID.fullmatch(given):
        raise ValueError(f"not a Trial's id: {given!r}; `ablate plan STUDY --json` lists them")
    folder = spool.root / "trials"
    ids = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    begun = [given] if given in ids else [i for i in ids if i.startswith(given)]
    if len(begun) > 1:
        short = [i[: len(given) + 6] for i in begun[:_LISTED]]
        listed = ", ".join(short) + (f" and {len(begun) - _LISTED} more" if len(begun) > _LISTED else "")
        raise ValueError(f"{len(begun)} Trials begin with {given!r}: {listed}; give more of the id")
    trial_id = begun[0] if begun else given
    record = spool.record(trial_id) if begun else None
    if record is None or record.status != "finished":
        record = _stored(trial_id, spool, tracking_uri) or record
    if record is None:
        near = nearest(given, {i[: max(len(given), 8)] for i in ids})
        raise ValueError(f"no Trial {given!r} in {spool.root}{near}; `ablate plan STUDY --json` lists the ids")
    if record.status != "finished":
        raise ValueError(f"Trial {trial_id[:SHORT]} is {record.status}; only a finished one has its weights")
    if record.trainable != VISION:
        raise ValueError(f"Trial {trial_id[:SHORT]} was trained by {record.trainable}, whose models are not known here")
    weights = spool.artifact(trial_id, WEIGHTS)
    if weights is None:
        raise ValueError(f"the weights of Trial {trial_id[:SHORT]} are not in {spool.home(trial_id)}")
    return record, weights


def _stored(trial_id: str, spool: Spool, tracking_uri: str | None) -> Record | None:
    """A Trial that the Store holds finished, kept in the spool from now on; None where it does not."""
    store = MlflowStore(tracking_uri)
    if not store.begun():
        return None
    try:
        stamp = store.known([trial_id]).get(trial_id)
        if stamp is None or stamp.status != "finished":
            return None
        spool.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=spool.root) as folder:
            record = store.fetch(trial_id, Path(folder))
            spool.save(record, Path(folder))
    except StoreUnavailable as error:
        raise ValueError(
            f"Trial {trial_id!r} is not finished in {spool.root}, and the Store is away: {error}"
        ) from error
    return record


def _recipe(record: Record) -> Recipe:
    try:
        return Recipe.model_validate(record.recipe)
    except ValidationError as error:
        what = error.errors()[0]
        place = ".".join(map(str, what["loc"]))
        raise ValueError(
            f"the Recipe of Trial {record.trial_id[:SHORT]} is none of this version of ablate: {place}: {what['msg']}"
        ) from error


def _model(recipe: Recipe, weights: Path) -> nn.Module:
    model = build(recipe.model, recipe.data)
    try:
        model.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"{weights} does not hold the weights of the model in its Recipe: {reason}") from error
    return model.eval()
