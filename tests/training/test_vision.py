from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data.batches import TrainBatches
from ablate.data.sources import load
from ablate.models.build import build
from ablate.models.vision_transformer import count_parameters
from ablate.recipe import Recipe
from ablate.trainable import Diverged
from ablate.training import vision
from ablate.training.costs import FINAL, ROW
from ablate.training.vision import TIMING_METRICS, train
from ablate.training.world import World


def timeless(metrics: dict[str, float]) -> dict[str, float]:
    """Without what the machine decides."""
    return {name: value for name, value in metrics.items() if name not in TIMING_METRICS}


@pytest.fixture
def learning(make_recipe: Callable[..., Recipe]) -> Recipe:
    """Without augmentation or dropout, fifteen epochs."""
    recipe: Recipe = make_recipe(
        model__dim=32,
        model__depth=2,
        model__mixer={"name": "self_attention", "heads": 4},
        model__dropout=0.0,
        augment={"crop": "off", "flip": False, "randaug": "off", "mixup": "off"},
        schedule__epochs=15,
        schedule__batch_size=32,
        schedule__warmup_steps=40,
        optimizer__learning_rate=5e-3,
    )
    return recipe


def test_digits_are_learnt(learning: Recipe, journal: Any, tmp_path: Path) -> None:
    """In a few seconds a small transformer is right on more than 90 % of held-out digits."""
    metrics = train(learning, 0, journal, tmp_path)
    assert metrics["top1"] > 90.0
    assert metrics["top5"] > 99.0
    assert metrics["train_loss"] < 0.3
    assert journal.rows[1]["train_loss"] > 3 * metrics["train_loss"]


def test_what_is_reported_and_returned(recipe: Recipe, journal: Any, tmp_path: Path) -> None:
    """One row an epoch, counted from 1; the last row's measurements are the final metrics."""
    metrics = train(recipe, 0, journal, tmp_path)
    assert list(journal.rows) == [1, 2, 3]
    last = journal.rows[3]
    norms = {"gradient_norm", "weight_norm"}
    assert set(last) == {"train_loss", "top1", "top5", "loss", "learning_rate", "images_per_second"} | norms | set(ROW)
    assert metrics.keys() - set(FINAL) == {"train_loss", "top1", "top5", "loss", "parameters", "steps"}
    assert {k: metrics[k] for k in ("train_loss", "top1", "top5", "loss")} == {
        k: last[k] for k in ("train_loss", "top1", "top5", "loss")
    }
    assert metrics["steps"] == 3 * (1346 // 64)
    assert metrics["parameters"] == count_parameters(build(recipe.model, recipe.data))
    assert last["images_per_second"] > 0
    assert last["gradient_norm"] > 0


def test_a_resolved_mapping_is_as_good_as_a_recipe(
    recipe: Recipe, make_journal: Callable[..., Any], tmp_path: Path
) -> None:
    """What a study carries, nested dicts, trains to the same numbers."""
    first = train(recipe, 0, make_journal(), tmp_path / "a")
    second = train(recipe.resolved(), 0, make_journal(), tmp_path / "b")
    assert timeless(second) == timeless(first)


def test_artifacts_hold_weights_and_each_example(recipe: Recipe, journal: Any, tmp_path: Path) -> None:
    """The weights load into the model, and the examples are the held-out set with the accuracy reported."""
    metrics = train(recipe, 0, journal, tmp_path)
    model = build(recipe.model, recipe.data)
    model.load_state_dict(torch.load(tmp_path / "artifacts" / "weights.pt", weights_only=True))
    held_out = load(recipe.data).held_out
    with np.load(tmp_path / "artifacts" / "per_example.npz") as file:
        assert set(file.files) == {"index", "label", "prediction", "correct", "loss"}
        np.testing.assert_array_equal(file["index"], held_out.indices)
        np.testing.assert_array_equal(file["label"], held_out.labels)
        np.testing.assert_array_equal(file["correct"], file["prediction"] == file["label"])
        assert 100 * file["correct"].mean() == pytest.approx(metrics["top1"])
        assert file["loss"].mean(dtype=np.float64) == pytest.approx(metrics["loss"])
    assert sorted(p.name for p in (tmp_path / "artifacts").iterdir()) == ["per_example.npz", "weights.pt"]


def test_seeds_differ(recipe: Recipe, make_journal: Callable[..., Any], tmp_path: Path) -> None:
    """Another seed is another training."""
    first = train(recipe, 0, make_journal(), tmp_path / "0")
    assert train(recipe, 1, make_journal(), tmp_path / "1")["loss"] != first["loss"]


def test_divergence_names_the_place(make_recipe: Callable[..., Recipe], journal: Any, tmp_path: Path) -> None:
    """A learning rate of a million ends in the first epochs with the epoch, the step and the rate."""
    recipe = make_recipe(optimizer__learning_rate=1e6, optimizer__clip_norm="off", schedule__warmup_steps=0)
    place = r"the loss became (nan|inf) in epoch \d at step \d+ of 21, at learning rate \d.*e\+0"
    with pytest.raises(Diverged, match=place):
        train(recipe, 0, journal, tmp_path)
    assert not (tmp_path / "artifacts").exists()


def test_divergence_by_the_last_update_is_seen(
    recipe: Recipe, journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that only the last update of an epoch made NaN are caught by the evaluation."""
    update = vision._Training.update

    def breaking(self: Any, batch: Any, step: int) -> Any:
        outcome = update(self, batch, step)
        if step == 20:
            self.parameters[0].data.fill_(torch.nan)
        return outcome

    monkeypatch.setattr(vision._Training, "update", breaking)
    with pytest.raises(Diverged, match="the loss on held-out images became nan after epoch 1"):
        train(recipe, 0, journal, tmp_path)
    assert journal.rows == {}


def test_the_gradient_is_clipped_as_a_whole(make_recipe: Callable[..., Recipe], journal: Any, tmp_path: Path) -> None:
    """After an update the gradient has the largest norm allowed, in its old direction; without clipping it is whole.

    Torch divides by the norm plus 1e-6, hence a relative tolerance of 1e-4.
    """
    gradients = {}
    for limit in (0.05, "off"):
        recipe = make_recipe(optimizer__clip_norm=limit, schedule__epochs=1)
        training = vision._Training(recipe, 0, journal, tmp_path, torch.device("cpu"), World())
        batch = next(training.batches.epoch(0))
        _, norm = training.update(batch, 0)
        gradients[limit] = torch.cat([p.grad.flatten() for p in training.parameters])
    assert norm > 0.05
    assert gradients["off"].norm() == pytest.approx(norm.item(), rel=1e-5)
    torch.testing.assert_close(gradients[0.05], gradients["off"] * (0.05 / norm), rtol=1e-4, atol=1e-9)


def test_dropout_is_keyed_by_the_update(recipe: Recipe, journal: Any, tmp_path: Path) -> None:
    """The same update has the same dropout whatever was drawn before, and another one has another."""
    training = vision._Training(recipe, 0, journal, tmp_path, torch.device("cpu"), World())
    torch.nn.init.normal_(training.model.head.classifier.weight)
    batch = next(training.batches.epoch(0))
    start = {name: value.clone() for name, value in training.model.state_dict().items()}

    def loss_of(step: int) -> float:
        torch.rand(step + 7)
        training.model.load_state_dict(start)
        return training.update(batch, step)[0].item()

    assert loss_of(4) == loss_of(4)
    assert loss_of(4) != loss_of(5)


def test_dropout_is_keyed_by_the_seed(recipe: Recipe, journal: Any, tmp_path: Path) -> None:
    """The same weights, batch and step give other losses for another seed: its dropout is its own."""
    trainings = [vision._Training(recipe, s, journal, tmp_path / str(s), torch.device("cpu"), World()) for s in (0, 1)]
    batch = next(trainings[0].batches.epoch(0))
    torch.nn.init.normal_(trainings[0].model.head.classifier.weight)
    trainings[1].model.load_state_dict(trainings[0].model.state_dict())
    losses = [training.update(batch, 4)[0].item() for training in trainings]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("look_every", [1, 16])
def test_the_gradients_norm_is_a_mean_over_the_epoch(
    recipe: Recipe, journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look_every: int
) -> None:
    """What a row says of loss and norm is the mean of what the epoch's updates gave, however often one looks."""
    monkeypatch.setattr(vision, "_LOOK_EVERY", {"cpu": look_every})
    update = vision._Training.update
    losses, norms = [], []

    def noting(self: Any, batch: Any, step: int) -> Any:
        loss, norm = update(self, batch, step)
        losses.append(loss.item())
        norms.append(norm.item())
        return loss, norm

    monkeypatch.setattr(vision._Training, "update", noting)
    train(recipe, 0, journal, tmp_path)
    for epoch in (1, 2, 3):
        of_epoch = slice((epoch - 1) * 21, epoch * 21)
        assert journal.rows[epoch]["train_loss"] == pytest.approx(np.mean(losses[of_epoch]), rel=1e-12)
        assert journal.rows[epoch]["gradient_norm"] == pytest.approx(np.mean(norms[of_epoch]), rel=1e-12)


def test_no_pace_is_reported_where_no_update_was_made(
    recipe: Recipe, make_journal: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Trial that died in its first evaluation, after the last update, measures no pace in that epoch."""
    monkeypatch.setenv(vision.INTERVAL_VARIABLE, "0")
    evaluate = vision._Training.evaluate

    def dying(self: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(vision._Training, "evaluate", dying)
    with pytest.raises(MemoryError):
        train(recipe, 0, make_journal(), tmp_path)
    monkeypatch.setattr(vision._Training, "evaluate", evaluate)
    journal = make_journal()
    train(recipe, 0, journal, tmp_path)
    assert "images_per_second" not in journal.rows[1]
    assert journal.rows[2]["images_per_second"] > 0


def test_torchs_generator_is_left_as_it_was(recipe: Recipe, journal: Any, tmp_path: Path) -> None:
    """A caller in the same process draws on as if nothing had been trained, from any of the generators."""
    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    train(recipe, 0, journal, tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    np.testing.assert_array_equal(np.random.get_state()[1], before[2])


def test_half_precision_trains_with_full_precision_weights(
    learning: Recipe, make_journal: Callable[..., Any], tmp_path: Path
) -> None:
    """bfloat16 gives other, but near losses, and weights in float32."""
    fields = learning.resolved() | {"schedule": learning.schedule.model_dump() | {"epochs": 2}}
    full = train(fields, 0, make_journal(), tmp_path / "full")
    half = train(fields | {"precision": "bfloat16"}, 0, make_journal(), tmp_path / "half")
    assert half["train_loss"] != full["train_loss"]
    assert half["train_loss"] == pytest.approx(full["train_loss"], rel=0.05)
    weights = torch.load(tmp_path / "half" / "artifacts" / "weights.pt", weights_only=True)
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_a_batch_larger_than_the_training_set_is_refused(
    make_recipe: Callable[..., Recipe], journal: Any, tmp_path: Path
) -> None:
    """It is an error that says how many images there are."""
    with pytest.raises(ValueError, match="1346"):
        train(make_recipe(schedule__batch_size=2000), 0, journal, tmp_path)


def test_losses_read_late_are_the_same(
    recipe: Recipe, make_journal: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at the loss every 16 updates, as on an accelerator, changes no number."""
    often, seldom = make_journal(), make_journal()
    train(recipe, 0, often, tmp_path / "often")
    monkeypatch.setattr(vision, "_LOOK_EVERY", {"cpu": 16})
    train(recipe, 0, seldom, tmp_path / "seldom")
    assert seldom.timeless() == often.timeless()


def test_a_divergence_read_late_names_the_first_update(
    recipe: Recipe, journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of sixteen losses read together, the first that is not finite is the one named."""
    monkeypatch.setattr(vision, "_LOOK_EVERY", {"cpu": 16})
    epoch = TrainBatches.epoch

    def poisoned(self: TrainBatches, number: int, start: int = 0) -> Any:
        for step, batch in enumerate(epoch(self, number, start), start):
            if step == 6:
                batch.images.fill_(torch.nan)
            yield batch

    monkeypatch.setattr(TrainBatches, "epoch", poisoned)
    with pytest.raises(Diverged, match="became nan in epoch 1 at step 7 of 21"):
        train(recipe, 0, journal, tmp_path)


def test_float16_trains_and_tells_what_it_left_out(
    make_recipe: Callable[..., Recipe], journal: Any, tmp_path: Path
) -> None:
    """With its loss scaled a small model learns in float16 as in float32, to 1 % of the loss; no update is skipped."""
    losses = {}
    for precision in ("float32", "float16"):
        recipe = make_recipe(precision=precision, schedule__epochs=1, model__dropout=0.0)
        metrics = train(recipe, 0, journal, tmp_path / precision)
        losses[precision] = metrics["train_loss"]
    assert metrics["skipped_updates"] == journal.rows[1]["skipped_updates"] == 0.0
    assert losses["float16"] == pytest.approx(losses["float32"], rel=0.01)


def test_a_gradient_that_is_never_finite_is_a_divergence_in_float16(
    make_recipe: Callable[..., Recipe], journal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Updates are left out and the scale halved for a while, and then the Trial is given up with that reason."""
    true = vision.clip_and_step

    def spoilt(parameters: Any, *rest: Any) -> Any:
        parameters[0].grad.fill_(float("nan"))
        return true(parameters, *rest)

    monkeypatch.setattr(vision, "clip_and_step", spoilt)
    with pytest.raises(Diverged, match="the gradient is not finite"):
        train(make_recipe(precision="float16", schedule__epochs=5), 0, journal, tmp_path)
    assert journal.rows[1]["skipped_updates"] == 21
    assert journal.rows[1]["gradient_norm"] == 0.0


@pytest.mark.slow
def test_a_compiled_training_does_not_depend_on_those_before_it(
    make_recipe: Callable[..., Recipe], make_journal: Callable[..., Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """The tenth model in a process is compiled as the first is, and draws what it would uncompiled.

    torch keeps eight compiled forms of a function; here a compiler that only counts makes them.
    """
    import torch._dynamo as dynamo

    graphs = []

    def counting(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def compiler() -> Any:
        dynamo.reset()
        return lambda function: torch.compile(function, backend=counting)

    made = vision.compiler()
    assert made.keywords == {"options": {"fallback_random": True}}
    monkeypatch.setattr(vision, "compiler", compiler)
    plain = train(make_recipe(schedule__epochs=1), 0, make_journal(), tmp_path / "plain")
    for number in range(10):
        recipe = make_recipe(schedule__epochs=1, model__dim=16 + 4 * number, compute={"compile": True})
        metrics = train(recipe, 0, make_journal(), tmp_path / str(number))
        if number == 0:
            assert metrics["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-5)
        assert len(graphs) > number


def test_channels_last_changes_rounding_alone(
    make_recipe: Callable[..., Recipe], make_journal: Callable[..., Any], tmp_path: Path
) -> None:
    """Images go through the model in that format, and the loss of an epoch is the same to 1e-4."""
    seen = []
    losses = []
    for channels_last in (False, True):
        stem = {"name": "image_to_tokens", "kernel": 3, "stride": 1, "conv_channels": 8, "patch_size": 1}
        recipe = make_recipe(schedule__epochs=1, model__stem=stem, compute={"channels_last": channels_last})
        training = vision._Training(
            recipe, 0, make_journal(), tmp_path / str(channels_last), torch.device("cpu"), World()
        )
        training.model.stem.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
        )
        batch = next(training.batches.epoch(0))
        losses.append(training.update(batch, 0)[0].item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert seen[-1]


def test_a_table_made_in_the_first_evaluation_can_be_trained_with(
    make_recipe: Callable[..., Recipe], make_journal: Callable[..., Any], tmp_path: Path, monkeypatch: Any
) -> None:
    """Stopped behind the last update of an epoch, a Trial evaluates first; what a model keeps from that is of use."""
    from ablate.models.vision_transformer import VisionTransformer

    true = VisionTransformer.forward_heads

    def keeping(self: Any, images: Any) -> Any:
        if not hasattr(self, "table"):
            self.table = torch.ones(1)
        return tuple(logits * self.table for logits in true(self, images))

    monkeypatch.setattr(VisionTransformer, "forward_heads", keeping)
    recipe = make_recipe(schedule__epochs=2)
    from ablate.trainable import Stopped

    with pytest.raises(Stopped):
        train(recipe, 0, make_journal(20), tmp_path)
    resumed = make_journal()
    train(recipe, 0, resumed, tmp_path)
    assert list(resumed.rows) == [1, 2]
