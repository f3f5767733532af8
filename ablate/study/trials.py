"""From Variants to Trials: their ids, and which others they need."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ablate.recipe import Data
from ablate.study import identity
from ablate.study.fingerprint import ABSENT, fingerprint
from ablate.study.study import VISION, ResolvedRecipe, Trial, Variant
from ablate.study.weights import TRIAL, checkpoint_of, weights_digest


class Trials:
    """Makes the Trials of one study; each data source and each file of weights is looked at once."""

    def __init__(self, trainable: str, revision: str | None, cache: Path | None) -> None:
        """``revision`` is that of a user's own trainable, ``cache`` the file in which fingerprints are kept."""
        self._trainable, self._revision, self._cache = trainable, revision, cache
        self._data: dict[str, str] = {}
        self._weights: dict[str, str] = {}

    def of(self, variant: Variant, seeds: Iterable[int]) -> list[Trial]:
        """A Variant's Trials. Its Recipe names a teacher by the id of its Trial, and not as the study does."""
        recipe = variant.recipe
        checkpoint = self._checkpoint(recipe)
        needs = (checkpoint.removeprefix(TRIAL),) if checkpoint.startswith(TRIAL) else ()
        ids = identity.trial_ids(
            recipe,
            seeds,
            trainable=self._trainable,
            revision=self._revision or identity.engine_revision(recipe),
            data_fingerprint=self.data_of(recipe),
            weights=self._weights_of(checkpoint),
        )
        return [Trial(trial_id, variant.name, seed, recipe, needs) for seed, trial_id in ids.items()]

    def data_of(self, recipe: ResolvedRecipe) -> str:
        """Fingerprint of a Recipe's data; empty for a user's Trainable, which reads what it likes."""
        if self._trainable != VISION:
            return ""
        data = Data.model_validate(recipe["data"])
        if data.source not in self._data:
            self._data[data.source] = fingerprint(data.source, data.location(), self._cache)
        return self._data[data.source]

    def absent(self, trials: Iterable[Trial]) -> tuple[str, ...]:
        """Of the files with weights that these Trials learn from, those that are not on this machine."""
        named = dict.fromkeys(self._checkpoint(trial.recipe) for trial in trials)
        return tuple(name for name in named if self._weights.get(name) == ABSENT)

    def _checkpoint(self, recipe: ResolvedRecipe) -> str:
        return checkpoint_of(recipe) if self._trainable == VISION else ""

    def _weights_of(self, checkpoint: str) -> str:
        if checkpoint not in self._weights:
            self._weights[checkpoint] = weights_digest(checkpoint, self._cache)
        return self._weights[checkpoint]
