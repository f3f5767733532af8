"""Held-out images on which Variants disagree, as data from which the page's script compares any two."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.reporting.disagreement import disagreements
from ablate.reporting.examples import Examples
from ablate.reporting.kept import Kept
from ablate.study.study import Study

#: Images on the page at most, and all bytes of their pictures together; an image without one is told by its place.
IMAGES, BYTES = 300, 1_500_000
#: Of each Variant: images on which it does better than the baseline, and as many on which it does worse.
OF_EACH = 15


def disagreements_data(
    study: Study, examples: Examples | None, drawn: Sequence[str], kept: Kept
) -> dict[str, Any] | None:
    """What the baseline and the Variants in `drawn` answer on the images on which they differ most from the baseline.

    `images`: `[place in the source, label, picture]`, the picture a data address or empty. `classes`: label -> name, of
    those that appear here and have one. `variants`: `[place in the study, seeds, right, said]` with, for each image,
    how many of the seeds are right and what most of them say. `differ`: for each two of `variants`, on how many of all
    held-out images the shares of right seeds differ. `of`: all held-out images. None where nothing is known by image,
    or nobody disagrees.
    """
    baseline = study.baseline.name
    if examples is None or baseline not in examples.seeds:
        return None
    names = [name for name in (baseline, *drawn) if name in examples.seeds]
    frames = [disagreements(examples, name, baseline, OF_EACH)["index"].tolist() for name in names[1:]]
    chosen = list(dict.fromkeys(_in_turn(frames)))[:IMAGES]
    if not chosen:
        return None
    place_of = {int(index): place for place, index in enumerate(examples.index)}
    rows = np.array([place_of[index] for index in chosen])
    places = {variant.name: place for place, variant in enumerate(study.variants)}
    pictures = _pictures(kept, study, chosen)
    labels = examples.label[rows].tolist()
    said = {name: _said(examples.prediction[name][:, rows]) for name in names}
    shares = np.array([examples.correct[name].mean(axis=0) for name in names])
    return {
        "of": len(examples.index),
        "images": [[index, label, pictures.get(index, "")] for index, label in zip(chosen, labels, strict=True)],
        "classes": _named(examples, [labels, *said.values()]),
        "variants": [
            [
                places[name],
                len(examples.seeds[name]),
                examples.correct[name][:, rows].sum(axis=0).tolist(),
                said[name],
            ]
            for name in names
        ],
        "differ": [(shares != own).sum(axis=1).tolist() for own in shares],
    }


def _in_turn(lists: Iterable[Sequence[int]]) -> Iterator[int]:
    """The first of each, then the second of each, so that a limit is fair to all."""
    for rank in zip_longest(*lists):
        yield from (int(index) for index in rank if index is not None)


def _named(examples: Examples, labels: Iterable[Iterable[int]]) -> dict[int, str]:
    """What the classes are called that have more than a number."""
    if not examples.class_names:
        return {}
    return {label: examples.class_name(label) for label in sorted(set(chain.from_iterable(labels)))}


def _said(prediction_SN: NDArray[np.signedinteger[Any]]) -> list[int]:
    """The most frequent answer of each column, the smallest among equals."""
    answers = [np.unique(column, return_counts=True) for column in prediction_SN.T]
    return [int(values[counts.argmax()]) for values, counts in answers]


def _pictures(kept: Kept, study: Study, chosen: list[int]) -> dict[int, str]:
    found = kept.pictures(study.baseline.recipe, chosen)
    return dict(_within(zip(chosen, found, strict=True))) if found else {}


def _within(pictures: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, str]]:
    room = BYTES
    for index, png in pictures:
        room -= len(png)
        if room < 0:
            return
        yield index, f"data:image/png;base64,{base64.b64encode(png).decode()}"
