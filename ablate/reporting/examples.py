"""Which held-out images each Trial got right, read from the files that Trials leave behind."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ablate.reporting.kept import Kept
from ablate.reporting.statistics.crossed import SeedsAndImages
from ablate.study.study import EMA, Study

#: The file that a Trial leaves with an array for each of these and for other measures, a row for each held-out image.
FILE = "per_example.npz"
INDEX, LABEL, PREDICTION, CORRECT = "index", "label", "prediction", "correct"
#: Metrics that are the share of `correct`; any other is the mean of the file's array of its own name.
SHARES = frozenset({"top1", "accuracy", "acc"})
#: Relative difference up to which a recorded metric is the mean over the images: rounding of float32 sums.
_CLOSE = 1e-5
_NAMED = 5  # Trials in a note
#: Columns of `image_intervals`; the last is no number of the metric's unit.
INTERVALS = ("images_low", "images_high", "both_low", "both_high", "both_p")


@dataclass(frozen=True, eq=False)
class Examples:
    """Per-image outcomes of the Trials that kept them; all of them on the same N images.

    1,000 Trials on 50,000 images take 150 MB: a byte for `correct`, two for `prediction`.
    """

    index: NDArray[np.int64]
    """(N,) places of the images in their source."""
    label: NDArray[np.int64]
    """(N,) their classes."""
    correct: Mapping[str, NDArray[np.bool_]]
    """Variant -> (S, N), a row for each of its seeds."""
    prediction: Mapping[str, NDArray[np.signedinteger[Any]]]
    """Variant -> (S, N), int16 where that is enough."""
    seeds: Mapping[str, tuple[int, ...]]
    """Variant -> the seeds of its rows."""
    outcome: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Variant -> (S, N), whose mean over N times `scale` is the metric; empty where that is no mean over images."""
    scale: float = 1.0
    """Percent, say, for an outcome of 0 or 1."""
    notes: tuple[str, ...] = ()
    """Sentences on what is left out, and why."""
    class_names: tuple[str, ...] = ()
    """Of all labels in their order; empty where classes are known by their numbers alone."""

    def class_name(self, label: int) -> str:
        """What a class is called; its number where it has no name."""
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)

    def common_seeds(self, first: str, second: str) -> list[int]:
        """The seeds of which both Variants have outcomes, in the order of the first."""
        there = self.seeds.get(second, ())
        return [seed for seed in self.seeds.get(first, ()) if seed in there]


def examples_of(study: Study, trials: pd.DataFrame, kept: Kept) -> Examples | None:
    """The outcomes of a study's Trials; None where the baseline's are not here.

    `trials` is the study's `trial_frame`. A finished Trial is asked for `per_example.npz`, or `ema_per_example.npz`
    where the average of its weights is judged: `index`, `label`, `prediction`, `correct` where that is more than their
    being equal, and the metric under its own name where it is no share of `correct`. Left out, and named in `notes`,
    are Trials without a file that can be read, those on other images than the baseline's first (or in another order),
    and those whose images do not give the metric that was recorded.
    """
    measure = CORRECT if study.metric.name in SHARES else study.metric.name
    reader = _Reader(kept, measure)
    found: list[tuple[_Trial, _Arrays]] = []
    for trial in _finished(study, trials):  # the baseline's first: their images are those that all others must have
        if trial.variant != study.baseline.name and not found:
            return None
        arrays = reader.arrays(trial)
        if arrays is not None:
            found.append((trial, arrays))
    if not found:
        return None
    scale, wrong = _agreement(found, measure)
    notes = reader.notes()
    if scale is None:
        notes.append(f"The images do not tell {study.metric.name}: it is not the mean of an outcome that files have.")
    elif wrong:
        notes.append(_note("whose images do not give the metric that was recorded", wrong))
        found = [(trial, arrays) for trial, arrays in found if trial not in wrong]
    rows: dict[str, list[tuple[_Trial, _Arrays]]] = {}
    for row in found:
        rows.setdefault(row[0].variant, []).append(row)
    if study.baseline.name not in rows:
        return None

    def stacked(key: str) -> dict[str, NDArray[Any]]:
        return {name: np.stack([arrays[key] for _, arrays in own]) for name, own in rows.items()}

    correct, prediction = stacked(CORRECT), stacked(PREDICTION)
    outcome = {} if scale is None else correct if measure == CORRECT else stacked(measure)
    seeds = {name: tuple(trial.seed for trial, _ in own) for name, own in rows.items()}
    names = tuple(kept.class_names(study.baseline.recipe) or ())
    return Examples(reader.index, reader.label, correct, prediction, seeds, outcome, scale or 1.0, tuple(notes), names)


def image_intervals(study: Study, examples: Examples) -> pd.DataFrame:
    """What images say of the differences to the baseline: `INTERVALS` of `SeedsAndImages`, a row for each Variant.

    In the metric's unit, at 1 - `analysis.alpha`; NaN where the images say nothing about the metric, and `both_...`
    with fewer than two pairs of seeds. `pairs` says on how many pairs of seeds they rest.
    """
    others = pd.Index([v.name for v in study.variants if v.name != study.baseline.name], name="variant")
    if not examples.outcome:
        return pd.DataFrame(np.nan, index=others, columns=[*INTERVALS, "pairs"])
    found = SeedsAndImages(study.baseline.name, 1 - study.analysis.alpha)(outcomes(examples))[[*INTERVALS, "pairs"]]
    found[list(INTERVALS[:-1])] *= examples.scale
    return found.reindex(others)


def outcomes(examples: Examples) -> pd.DataFrame:
    """`Examples.outcome`, of which there must be one, as `SeedsAndImages` wants it: a row per `variant` and `seed`."""
    keys = [(name, seed) for name in examples.outcome for seed in examples.seeds[name]]
    index = pd.MultiIndex.from_tuples(keys, names=["variant", "seed"])
    return pd.DataFrame(np.concatenate(list(examples.outcome.values())), index)


_Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Trial:
    """A finished Trial and the file that it should have left."""

    variant: str
    seed: int
    metric: float
    file: tuple[str, str]
    """Trial id and name; two Variants may share it."""

    def __str__(self) -> str:
        return f"{self.variant} (seed {self.seed})"


def _finished(study: Study, trials: pd.DataFrame) -> list[_Trial]:
    recipes = {variant.name: variant.recipe for variant in study.variants}
    files = {name: EMA + FILE if study.metric_of(r) != study.metric.name else FILE for name, r in recipes.items()}
    done = trials[trials["metric"].notna()]
    columns = (done["variant"], done["seed"], done["metric"], done["trial_id"])
    rows = [_Trial(v, int(s), float(m), (i, files[v])) for v, s, m, i in zip(*columns, strict=True)]
    return sorted(rows, key=lambda trial: trial.variant != study.baseline.name)


class _Reader:
    """Reads the Trials' files, each once, and remembers what it had to leave out."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]

    def __init__(self, kept: Kept, measure: str) -> None:
        self._kept, self._measure = kept, measure
        self._images: tuple[bytes, bytes] | None = None
        self._known: dict[tuple[str, str], _Arrays | str] = {}
        self._left_out: dict[str, list[_Trial]] = {}

    def arrays(self, trial: _Trial) -> _Arrays | None:
        """`correct`, `prediction` and the measure of a Trial; None where it is left out."""
        if trial.file not in self._known:
            self._known[trial.file] = self._read(trial)
        found = self._known[trial.file]
        if isinstance(found, str):
            self._left_out.setdefault(found, []).append(trial)
            return None
        return found

    def notes(self) -> list[str]:
        """A sentence for each reason to leave Trials out."""
        return [_note(reason, trials) for reason, trials in self._left_out.items()]

    def _read(self, trial: _Trial) -> _Arrays | str:
        """The arrays, or why there are none."""
        path = self._kept.artifact(*trial.file)
        if path is None:
            return "without outcomes by image here"
        try:
            with zipfile.ZipFile(path) as file:
                images = file.read(f"{INDEX}.npy"), file.read(f"{LABEL}.npy")
                if self._images is None:
                    self.index, self.label = (_whole_numbers(raw).astype(np.int64) for raw in images)
                    if len(self.index) != len(self.label) or not len(self.index):
                        return "whose file has no image, or not a label for each"
                    self._images = images
                if images != self._images:
                    return "on other images than the baseline, or in another order"
                return self._outcomes(file)
        except (OSError, EOFError, KeyError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            return f"whose file cannot be read ({error})"

    def _outcomes(self, file: zipfile.ZipFile) -> _Arrays | str:
        names = set(file.namelist())
        prediction = _whole_numbers(file.read(f"{PREDICTION}.npy"))
        small = np.int16 if max(abs(int(prediction.min())), int(prediction.max())) < 2**15 else np.int64
        arrays: dict[str, NDArray[Any]] = {PREDICTION: prediction.astype(small)}
        told = f"{CORRECT}.npy" in names
        arrays[CORRECT] = _array(file.read(f"{CORRECT}.npy")) if told else prediction == self.label
        if self._measure != CORRECT and f"{self._measure}.npy" in names:
            arrays[self._measure] = _array(file.read(f"{self._measure}.npy")).astype(np.float32)
        if any(array.shape != self.label.shape for array in arrays.values()):
            return "whose file has not one outcome for each image"
        if arrays[CORRECT].dtype != np.bool_:
            return f"whose file has {CORRECT} as {arrays[CORRECT].dtype}, not as booleans"
        return arrays


def _agreement(found: Sequence[tuple[_Trial, _Arrays]], measure: str) -> tuple[float | None, list[_Trial]]:
    """By what the mean over images is multiplied to give the metric, and the Trials for which it does not.

    None where that holds for less than half of them: then the metric is something else.
    """
    means = [float(arrays[measure].mean(dtype=np.float64)) if measure in arrays else np.nan for _, arrays in found]

    def wrong(scale: float) -> list[_Trial]:
        pairs = zip(found, means, strict=True)
        return [t for (t, _), mean in pairs if not math.isclose(scale * mean, t.metric, rel_tol=_CLOSE, abs_tol=1e-9)]

    scale = min((100.0, 1.0), key=lambda scale: len(wrong(scale)))
    return (scale, wrong(scale)) if 2 * len(wrong(scale)) <= len(found) else (None, [])


def _note(reason: str, trials: Sequence[_Trial]) -> str:
    """As in `By image, 2 Trials on other images are left out: a (seed 0), b (seed 1)`."""
    more = f" and {len(trials) - _NAMED} more" if len(trials) > _NAMED else ""
    many = f"{len(trials)} Trials {reason} are" if len(trials) > 1 else f"1 Trial {reason} is"
    return f"By image, {many} left out: {', '.join(map(str, trials[:_NAMED]))}{more}."


def _whole_numbers(raw: bytes) -> NDArray[Any]:
    array = _array(raw)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(f"{array.dtype} of shape {array.shape} where a whole number for each image should be")
    return array


def _array(raw: bytes) -> NDArray[Any]:
    """A vector from the bytes of a `.npy` file, not copied. Raises ValueError for what is none, or needs pickle."""
    start = 10 + int.from_bytes(raw[8:10], "little")
    shape, dtype = _header(raw[:start])
    if math.prod(shape) * dtype.itemsize != len(raw) - start:
        raise ValueError("an array is cut short")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape)


@lru_cache(maxsize=256)
def _header(raw: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type, of which a study's files all have the same few; numpy takes long to parse one."""
    file = io.BytesIO(raw)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("a .npy file of another version than 1.0")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("an array of objects, which is not read")
    return shape, dtype
