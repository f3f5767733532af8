"""What a study's seeds can see, where its verdicts are to speak of other images as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.power import study_power
from ablate.reporting.kept import Kept
from ablate.reporting.statistics.needed_images import PowerOverImages
from ablate.study.study import Analysis, Metric, Sequential, Study, Trial, Variant
from ablate.tracking.record import Record

N, NAMES, SEEDS = 500, ("baseline", "a", "b"), (0, 1, 2)


def pilot(folder: Path, **fields: Any) -> tuple[Study, Mapping[str, Record], Kept]:
    """A study of three seeds that has finished, with the outcomes of its Trials on N images."""
    draws = np.random.default_rng(0)
    variants = tuple(Variant(name, {}, {"name": name}, {}) for name in NAMES)
    trials = tuple(Trial(f"{v.name}-{seed}", v.name, seed, v.recipe) for seed in SEEDS for v in variants)
    texts = dict.fromkeys(("question", "source", "expected", "data_fingerprint"), "")
    study = Study(
        "s", "p", Path("s.yaml"), trainable="my:train", metric=Metric("top1", "maximize", "%"), factors={},
        variants=variants, seeds=SEEDS, trials=trials, **texts, **fields,
    )  # fmt: skip
    hard, records = draws.normal(1.5, 2, N), {}
    odds = {name: hard + draws.normal(0, 1, N) for name in NAMES}
    for trial in trials:
        correct = draws.random(N) < 1 / (1 + np.exp(-odds[trial.variant]))
        np.savez(folder / f"{trial.id}.npz", index=np.arange(N), label=np.ones(N, int), prediction=correct.astype(int))
        records[trial.id] = Record(
            trial_id=trial.id, seed=trial.seed, trainable="my:train", recipe={}, started=0.0, status="finished",
            metrics={"top1": 100 * float(correct.mean())},
        )  # fmt: skip
    return study, records, Kept(artifact=lambda trial, _: folder / f"{trial}.npz")


def test_images_of_the_pilot_are_in_what_seeds_can_see(tmp_path: Path) -> None:
    """More than over seeds alone is needed, however many seeds there are, and the line says of what it speaks."""
    study, records, kept = pilot(tmp_path, analysis=Analysis(over="seeds_and_images"))
    found, alone = study_power(study, records, kept), study_power(study, records)
    assert found
    assert alone
    assert (found.images, alone.images) == (N, None)
    assert found.spread == alone.spread
    assert found.smallest > alone.smallest
    assert found.smallest_of_images
    assert found.more[-1][1] > max(found.smallest_of_images, alone.more[-1][1])
    share = (found.smallest_of_images / PowerOverImages(2).smallest_difference(np.inf, 0.0, 1.0)) ** 2
    expected = PowerOverImages(2).smallest_difference(3, found.spread**2 / 3, share)
    assert found.smallest == pytest.approx(expected, rel=1e-6)
    first, second = found.lines()
    assert "for other seeds on other images, 500 of them (80 % power" in first
    assert second.endswith(
        f"no number of seeds would see less than {found.smallest_of_images:.2g} points on so many images"
    )


def test_without_outcomes_by_image_it_is_said_of_what_the_numbers_speak(tmp_path: Path) -> None:
    """They are those over seeds alone, and the line says so."""
    study, records, _ = pilot(tmp_path, analysis=Analysis(over="seeds_and_images"))
    plain, _, _ = pilot(tmp_path)
    found, over_seeds = study_power(study, records, Kept()), study_power(plain, records)
    assert found
    assert over_seeds
    assert found.smallest == over_seeds.smallest
    assert "for other seeds on the same images; what other images add is known once" in found.lines()[0]
    assert "images" not in " ".join(over_seeds.lines())


def test_a_study_over_seeds_does_not_ask_for_images(tmp_path: Path) -> None:
    """Its power is that over seeds alone, and no file is read."""
    study, records, _ = pilot(tmp_path)
    assert study_power(study, records, Kept(artifact=lambda *_: pytest.fail("asked"))) == study_power(study, records)


def test_looking_again_and_again_costs_power(tmp_path: Path) -> None:
    """A study that grows to three seeds sees less with them than one that has three."""
    study, records, kept = pilot(tmp_path, analysis=Analysis(over="seeds_and_images", margin=40.0))
    grows, _, _ = pilot(tmp_path, analysis=study.analysis, sequential=Sequential(2, 3))
    found, fixed = study_power(grows, records, kept), study_power(study, records, kept)
    assert found
    assert fixed
    assert found.smallest > fixed.smallest
    assert fixed.seeds_for_same
    assert asdict(fixed)["images"] == N
