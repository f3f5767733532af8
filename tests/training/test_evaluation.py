from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, top_k_accuracy_score
from torch import nn
from torch.nn.functional import one_hot

from ablate.data.batches import Batch
from ablate.training.evaluation import evaluate

IMAGES = 23


def batches(logits: torch.Tensor, labels: torch.Tensor, size: int) -> Iterator[Batch]:
    """Images that are their own logits, for a model that passes them on."""
    for part in torch.arange(len(labels)).split(size):
        targets = one_hot(labels[part], logits.shape[1]).float()
        yield Batch(logits[part], targets, labels[part], 100 + part)


def random_logits(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(IMAGES, classes, generator=generator)
    return logits, torch.randint(classes, (IMAGES,), generator=generator)


def test_metrics_agree_with_scikit_learn() -> None:
    """Top-1, top-5 and loss over incomplete batches are scikit-learn's, to a relative 1e-6."""
    logits, labels = random_logits(10)
    result = evaluate(nn.Identity(), batches(logits, labels, 8), nullcontext())
    metrics = result.metrics()
    every = np.arange(10)
    assert metrics["top1"] == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=1, labels=every))
    assert metrics["top5"] == pytest.approx(100 * top_k_accuracy_score(labels, logits, k=5, labels=every))
    expected = log_loss(labels, torch.softmax(logits.double(), 1), labels=every)
    assert metrics["loss"] == pytest.approx(expected, rel=1e-6)


def test_each_image_has_one_row_in_order() -> None:
    """Index, label, prediction and loss of every image, whatever the size of the batches."""
    logits, labels = random_logits(7)
    result = evaluate(nn.Identity(), batches(logits, labels, 5), nullcontext())
    np.testing.assert_array_equal(result.index, 100 + np.arange(IMAGES))
    np.testing.assert_array_equal(result.label, labels)
    np.testing.assert_array_equal(result.prediction, logits.argmax(1))
    np.testing.assert_array_equal(result.correct, logits.argmax(1) == labels)
    expected = nn.functional.cross_entropy(logits, labels, reduction="none")
    np.testing.assert_allclose(result.loss, expected, rtol=1e-6)


def test_with_few_classes_every_label_is_among_the_top_five() -> None:
    """Top-5 of three classes is 100 percent, and top-1 is not."""
    logits, labels = random_logits(3)
    metrics = evaluate(nn.Identity(), batches(logits, labels, IMAGES), nullcontext()).metrics()
    assert metrics["top5"] == 100.0
    assert metrics["top1"] < 100.0


def test_among_equal_logits_the_first_class_counts() -> None:
    """A model that says nothing, as with a zero head, scores the share of the first classes and no more."""
    labels = torch.arange(10)
    metrics = evaluate(nn.Identity(), batches(torch.zeros(10, 10), labels, 4), nullcontext()).metrics()
    assert (metrics["top1"], metrics["top5"]) == (10.0, 50.0)


def test_dropout_is_off_and_comes_back() -> None:
    """The model is evaluated without dropout and left in training mode."""
    logits, labels = random_logits(4)
    model = nn.Dropout(0.9)
    result = evaluate(model, batches(logits, labels, 6), nullcontext())
    np.testing.assert_array_equal(result.prediction, logits.argmax(1))
    assert model.training
