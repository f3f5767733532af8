"""A study's results in Python: `ablate.load_results("simplevit").effects()` is a DataFrame.

Nothing here trains, and nothing imports torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ablate.growth import as_far_as_kept, as_far_as_known
from ablate.loading import load
from ablate.power import spread_and_power
from ablate.report_sources import kept_here, nothing_of
from ablate.reporting import classes, disagreement, html_table, latex, result_frames
from ablate.reporting.classes import class_differences
from ablate.reporting.comparison import Comparison, compare
from ablate.reporting.frame import history_frame, teacher_frame, trial_frame
from ablate.reporting.kept import Kept
from ablate.reporting.reread import reread, seeds_in, strangers
from ablate.reporting.tables import comparison_table
from ablate.study.errors import Problem, StudyError
from ablate.study.study import Study
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.wording import listing, nearest

if TYPE_CHECKING:
    from os import PathLike

#: Where a study is looked for that is given by its name.
STUDIES = Path("studies")


@dataclass(frozen=True, eq=False)
class Results:
    """What is known of a study at one profile. Every method returns a DataFrame of its own, free to be changed.

    Intervals (`low`, `high`) are of 1 − alpha, and not adjusted for the number of comparisons; `p_holm` is. A number
    that is not known is NaN.
    """

    comparison: Comparison
    """All of it, as the report's tables and figures read it."""
    records: Mapping[str, Record]
    """Trial id -> what is known of the Trial."""
    source: str
    """Where the Records come from, in words."""
    kept: Kept = Kept()  # noqa: RUF009 - frozen
    """What lies beside them: files of Trials, costs of models."""

    @property
    def study(self) -> Study:
        """The study: question, Factors, Variants, Recipes, published numbers."""
        return self.comparison.study

    def trials(self) -> pd.DataFrame:
        """One row per planned Trial: `trial_id`, `variant`, `factor.<name>` (its Level), `seed`, `status`, `cause`,
        `error`, `attempts`, `metric` (the study's), `seconds`, and `final.<name>` for every final metric.
        """
        return self.comparison.trials.copy()

    def curves(self) -> pd.DataFrame:
        """What was reported during training, long: `trial_id`, `variant`, `seed`, `status`, `step` (an epoch, for the
        built-in trainer), `name` (of a measurement), `value`.
        """
        return history_frame(self.study, self.records)

    def variants(self) -> pd.DataFrame:
        """One row per Variant, the baseline first: `variant`, `changes`, `n` (seeds with a result), `planned`, `mean`,
        `std`, `low`, `high` (of the mean), `parameters`, `flops` (of one image's forward pass), `seconds`.
        """
        return result_frames.variants(self.comparison)

    def effects(self) -> pd.DataFrame:
        """One row per Variant but the baseline: `variant`, `changes`, `pairs` (seeds with a result on both sides),
        `difference` (Variant − baseline), `low`, `high`, `p`, `p_holm`, `verdict`, `reason` (why there is no test),
        then what `ablate.reporting.judging` adds: `effect_size`, `p_same`, `seeds_needed`, intervals over images, ...
        """
        return result_frames.effects(self.comparison)

    def main_effects(self) -> pd.DataFrame:
        """Of crossed designs, one row per main effect: `block`, `effect`, `levels`, `estimate`, `low`, `high`, `p`,
        `p_holm`, `share` (of the variance), `aliases`. Empty where no design is crossed.
        """
        return result_frames.main_effects(self.comparison)

    def interactions(self) -> pd.DataFrame:
        """Of crossed designs and of pairs, one row per interaction: `block`, `effect` (`posemb:pool`, or of pairs
        `posemb=learned:pool=cls`), `estimate`, `low`, `high`, `p`, `p_holm`, and what the design has beside these.
        """
        return result_frames.interactions(self.comparison)

    def ladder(self) -> pd.DataFrame:
        """Of ladders, one row per rung: `block`, `step`, `variant`, `mean`, `low`, `high`, `gain` (to the rung before),
        `gain_low`, `gain_high`, `pairs`, `p`, `p_holm`.
        """
        return self.comparison.designs.rungs.copy()

    def shapley(self) -> pd.DataFrame:
        """Of fully crossed designs: `block`, `factor`, `level`, `share` (in the metric's unit), `low`, `high`."""
        return self.comparison.designs.shapley.copy()

    def by_class(self) -> pd.DataFrame:
        """One row per Variant but the baseline and class of the held-out images: `variant`, `class`, `class_name`
        (the label where it has none), `n_images`, `baseline`, `accuracy` (%), `difference`, `low`, `high`, `pairs`,
        `p`, `p_holm` (over the Variant's classes). Empty where the Trials' files by image are not here.
        """
        found = self.comparison.examples
        return pd.DataFrame(columns=list(classes.COLUMNS)) if found is None else class_differences(self.study, found)

    def disagreements(self, variant: str) -> pd.DataFrame:
        """The held-out images that a Variant and the baseline do not get right equally often: `index` (the image's
        place in its source), `label`, `right_baseline`, `right_variant` (shares of seeds), `difference`,
        `predicted_baseline`, `predicted_variant`. First those that the Variant gets right more often, the clearest
        first. Empty where the Trials' files by image are not here.

        Raises ValueError for a Variant that the study does not have.
        """
        names = [v.name for v in self.study.variants[1:]]
        if variant not in names:
            raise ValueError(f"there is no Variant {variant!r}; {listing(names)}{nearest(variant, names)}")
        found = self.comparison.examples
        if found is None:
            return pd.DataFrame(columns=list(disagreement.COLUMNS))
        return disagreement.disagreements(found, variant, self.study.baseline.name)

    def published(self) -> pd.DataFrame:
        """One row per published number: `variant`, `column`, `published`, `mean`, `n`, `minus` (measured less
        published), `low`, `high`, `stands` (`agrees`, `better`, `worse`, `not enough evidence`), `source`.
        """
        return result_frames.published(self.comparison)

    def power(self, most: int = 20) -> pd.DataFrame:
        """What the study can see: for 2 to ``most`` `seeds`, the smallest true `difference` that a comparison shows
        with a chance of 80 % among all of the study's, and the `spread` of one pair's difference on which that rests.
        Empty where too little has finished to know a spread.
        """
        known = spread_and_power(self.study, self.records, self.kept)
        if known is None:
            return pd.DataFrame(columns=["seeds", "difference", "spread"])
        spread, _, power = known
        rows = [(seeds, power(seeds).smallest(seeds), spread) for seeds in range(2, most + 1)]
        return pd.DataFrame(rows, columns=["seeds", "difference", "spread"])

    def table(self) -> pd.DataFrame:
        """The comparison as the report prints it: every cell a text, rounded to its uncertainty."""
        return comparison_table(self.comparison)

    def to_latex(self) -> str:
        """The comparison as a LaTeX `table`, captions and notes included; needs the packages array and booktabs."""
        return latex.comparison_tex(self.comparison)

    def __repr__(self) -> str:
        done = int(self.comparison.trials["metric"].notna().sum())
        return f"<Results of {self.study.slug}: {done} of {len(self.comparison.trials)} Trials, {self.source}>"

    def _repr_html_(self) -> str:
        """The comparison's table, in a notebook."""
        return html_table.to_html(self.table(), repr(self).strip("<>"))


def load_results(
    study: str | PathLike[str],
    profile: str | None = None,
    *,
    home: str | PathLike[str] = ".ablate",
    reports: str | PathLike[str] = "reports",
    tracking_uri: str | None = None,
    only: Sequence[str] = (),
    seeds: int | None = None,
    sets: Sequence[str] = (),
) -> Results:
    """The results of a study, given by its file or, below `studies`, by its name.

    They come from the spool in ``home`` and from the Store, as for `ablate report`: what only the Store has is kept in
    the spool. Where neither knows anything of the study, they come from the report in ``reports``, if there is one.
    ``only``, ``seeds`` and ``sets`` select as the command line's options do. A warning tells where a report is of an
    older state of the study. Raises `StudyError` where there is no such study or it cannot be read, and where nothing
    of it has been trained.
    """
    path = find_study(study)
    loaded = load(path, Path(home), profile, only=only, seeds=seeds, sets=sets)
    return results_of(loaded, Path(home), Path(reports), tracking_uri)


def results_of(study: Study, home: Path, reports: Path, tracking_uri: str | None = None) -> Results:
    """The same of a Study that has been loaded."""
    spool, store = Spool(home), MlflowStore(tracking_uri)
    there = store if store.begun() else None
    grown, records = as_far_as_kept(study, spool, there)
    if any(record.status in ("finished", "failed") for record in records.values()):
        kept, teachers = kept_here(grown, home, builds=False), teacher_frame(grown, records)
        return Results(compare(grown, trial_frame(grown, records), teachers, kept), records, f"from {home}", kept)
    folder = reports / study.slug
    grown, records = as_far_as_known(study, lambda now: reread(now, folder))
    if records and grown.sequential is not None and grown.regrow is not None:
        # The report has no outcomes by image, by which verdicts may have asked for seeds; but it has the Trials.
        grown = grown.regrow(replace(grown.growth, seeds=seeds_in(grown, folder)))
        records = reread(grown, folder)
    others = strangers(replace(grown, trials=study.trials), folder) if (folder / "trials.csv").is_file() else 0
    if not records:
        message = nothing_of(study)
        if others:
            message += f"; the {others} Trials in {folder} are of another state of the study, its data or its code"
        raise StudyError(Problem(message))
    if len(records) < len(grown.trials):
        text = f"{folder} has {len(records)} of the {len(grown.trials)} Trials of {study.slug}"
        text += f", and {others} of another state of the study, its data or its code" if others else ""
        warnings.warn(text, stacklevel=3)
    # Reports do not keep their teachers' Trials: nothing is said of them, rather than that they were not trained.
    kept = kept_here(grown, home, builds=False)
    return Results(compare(grown, trial_frame(grown, records), pd.DataFrame(), kept), records, f"from {folder}", kept)


def find_study(given: str | PathLike[str]) -> Path:
    """The file of a study that is given by its path, or by its name below `studies`."""
    path = Path(given)
    if path.is_file() or len(path.parts) > 1 or path.suffix in (".yaml", ".yml"):
        return path  # reading it tells what is wrong with it
    files = {file.stem: file for file in sorted(STUDIES.glob("*.y*ml"))}
    if str(given) in files:
        return files[str(given)]
    where = f"there are no studies in {STUDIES.resolve()}" if not files else listing(files)
    raise StudyError(Problem(f"there is no study {str(given)!r}; {where}{nearest(str(given), files)}"))
