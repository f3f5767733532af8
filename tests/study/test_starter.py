"""The starter study runs as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ablate.recipe import Recipe
from ablate.study.load import load_study
from ablate.study.starter import write_starter


def test_it_loads_and_says_how_to_run_it(folder: Path) -> None:
    """Four Variants and two seeds, commands with the file's own path, folders made where they lack."""
    path = folder / "new" / "mine.yaml"
    write_starter(path)
    study = load_study(path)
    assert [v.name for v in study.variants] == ["baseline", "position=none", "pooling=cls", "cls_without_position"]
    assert len(study.seeds) == 2
    assert f"ablate run {path}" in path.read_text(encoding="utf-8")
    assert load_study(path, "tiny").baseline.recipe["schedule"]["epochs"] == 3


def test_it_refuses_to_overwrite(folder: Path) -> None:
    """A file that is there stays as it is."""
    path = folder / "mine.yaml"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write_starter(path)
    assert path.read_text() == "mine"


class _Report:
    stop_requested = False

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        pass


@pytest.mark.parametrize("variant", ["baseline", "cls_without_position"])
def test_it_trains(folder: Path, variant: str) -> None:
    """The built-in trainer takes its Recipes and gives the metric that the study compares."""
    from ablate.training.vision import train

    path = folder / "mine.yaml"
    write_starter(path)
    study = load_study(path, "tiny", sets=["schedule.epochs=1"], only=[variant])
    metrics = train(Recipe.model_validate(study.variants[-1].recipe), 0, _Report(), folder / "trial")
    assert 0.0 <= metrics[study.metric.name] <= 100.0
