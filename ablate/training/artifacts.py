"""What a finished training leaves behind: each held-out image's outcome, and the weights."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import nn

from ablate.trainable import WEIGHTS
from ablate.training.ema import Average
from ablate.training.evaluation import Evaluation
from ablate.training.state import archive, write_durably


def write_artifacts(
    folder: Path,
    model: nn.Module,
    average: Average | None,
    evaluations: Mapping[str, Evaluation],
    skipped: tuple[str, ...],
) -> None:
    """Write ``weights.pt`` (a `state_dict`) and ``per_example.npz``, and those of the average as ``ema_...``.

    Each evaluation goes by its prefix. Images that were left out are listed in ``skipped.txt``.
    """
    folder.mkdir(exist_ok=True)
    for prefix, evaluation in evaluations.items():
        write_durably(folder / f"{prefix}per_example.npz", _per_example(evaluation))
    write_durably(folder / WEIGHTS, archive(model.state_dict()))
    if average is not None:
        with average.applied_to(model):
            write_durably(folder / f"ema_{WEIGHTS}", archive(model.state_dict()))
    if skipped:
        write_durably(folder / "skipped.txt", "".join(f"{name}\n" for name in skipped).encode())


def _per_example(evaluation: Evaluation) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        index=evaluation.index,
        label=evaluation.label,
        prediction=evaluation.prediction,
        correct=evaluation.correct,
        loss=evaluation.loss,
    )
    return buffer.getvalue()
