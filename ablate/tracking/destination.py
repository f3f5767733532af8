"""Where Trials are delivered to, told without their Study: small and plain, so that it can travel with a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ablate.study.study import Study
from ablate.tracking import mlflow_entries as entries
from ablate.tracking.store import places


@dataclass(frozen=True)
class TrialPlace:
    """Where one Trial stands in its study's experiment."""

    variant_tags: Mapping[str, str]
    """What its Variant says of it, and the study: one object for all Trials of the Variant."""
    own_tags: Mapping[str, str]
    """What else the study decides: parent run, seed, kind."""
    data_name: str

    @property
    def tags(self) -> dict[str, str]:
        """Every tag of the Trial's run that does not depend on its Record."""
        return {**self.variant_tags, **self.own_tags}

    @property
    def variant_key(self) -> str:
        """`variant_key` of the Variant."""
        return self.variant_tags[entries.VARIANT_KEY]


@dataclass(frozen=True)
class Destination:
    """The experiment of a study in one Store, and where its Trials stand in it."""

    study: str
    """Slug of the study."""
    experiment: str
    """Id of the experiment."""
    places: Mapping[str, TrialPlace]
    """By Trial id."""

    def only(self, trial_ids: Iterable[str]) -> Destination:
        """The same for some of the Trials."""
        return replace(self, places={i: self.places[i] for i in trial_ids if i in self.places})


class Places:
    """Where the Trials of one Study stand."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.standing = places(study)
        """Trial id -> its Variant and the Trial."""
        self._variant_tags: dict[str, dict[str, str]] = {}

    def of(self, trial_id: str, parent: str | None) -> TrialPlace:
        """Where a Trial stands, below the parent run of its Variant. Raises KeyError where the study lacks it."""
        if trial_id not in self.standing:
            raise KeyError(f"the study {self.study.slug} has no Trial {trial_id}")
        variant, trial = self.standing[trial_id]
        if variant.name not in self._variant_tags:
            self._variant_tags[variant.name] = entries.variant_tags(self.study, variant)
        also = [name for name in self._names[trial_id] if name != variant.name]
        return TrialPlace(
            variant_tags=self._variant_tags[variant.name],
            own_tags=entries.place_tags(self.study, variant, trial, parent, also),
            data_name=entries.data_name(self.study, trial.recipe),
        )

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Trial id -> every Variant and teacher that it is a Trial of."""
        names: dict[str, list[str]] = {}
        for trial in (*self.study.trials, *self.study.teachers):
            names.setdefault(trial.id, []).append(trial.variant)
        return names
