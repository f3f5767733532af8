from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from ablate.data.batches import Batch, TrainBatches
from ablate.data.sources import load
from ablate.models.build import make_model
from ablate.recipe import Augment, Data, Recipe, Teacher
from ablate.training.teacher import KeptLogits, StandInTeacher, TeacherModel, caches, load_teacher, make_teacher

CPU = torch.device("cpu")
ID = "0123456789abcdef"
PLAIN: dict[str, Any] = {"crop": "off", "flip": False, "randaug": "off", "mixup": "off"}


def photographs(count: int = 3, channels: int = 1, side: int = 8, seed: int = 0) -> Tensor:
    """Pixels in [0, 1]."""
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def trial(recipe: Recipe, folder: Path, seed: int = 5) -> nn.Module:
    """A Trial's model in eval mode, handed over as a finished one is; every parameter is moved off its first value."""
    model = scrambled(make_model(recipe.model, recipe.data, seed))
    home = folder / "needs" / ID
    home.mkdir(parents=True, exist_ok=True)
    (home / "recipe.json").write_text(json.dumps(recipe.resolved()))
    torch.save(model.state_dict(), home / "weights.pt")
    return model


def scrambled(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def of_trial(**settings: Any) -> Teacher:
    return Teacher(checkpoint=f"trial:{ID}", **settings)


def a_batch(images: Tensor) -> Batch:
    labels = torch.zeros(len(images), dtype=torch.int64)
    return Batch(images, torch.zeros(len(images), 10), labels, torch.arange(len(images)))


@pytest.fixture
def data(recipe: Recipe) -> Data:
    """The student's: digits of 8 x 8 px, mean and std .5."""
    return recipe.data


# What the teacher sees


def test_a_trial_teaches_with_its_own_weights(recipe: Recipe, tmp_path: Path) -> None:
    """Its logits are those of the model itself, without dropout or gradient, in float32, to the last bit."""
    model = trial(recipe, tmp_path)
    teacher = load_teacher(of_trial(), recipe.data, tmp_path, CPU)
    images = photographs()
    with torch.no_grad():
        expected = model(images)
    logits = teacher.logits(a_batch(images))
    assert torch.equal(logits, expected)
    assert not logits.requires_grad
    assert torch.equal(teacher.ask(images), expected)


def test_half_precision_is_the_teachers_way_and_not_its_answer(recipe: Recipe, tmp_path: Path) -> None:
    """In bfloat16 its logits come in float32, differ from the exact ones, and by less than 2 % of their size."""
    trial(recipe, tmp_path)
    exact = load_teacher(of_trial(), recipe.data, tmp_path, CPU).ask(photographs())
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    rounded = load_teacher(of_trial(), recipe.data, tmp_path, CPU, autocast).ask(photographs())
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.0, atol=0.02 * exact.abs().max().item())


def test_images_are_normalised_and_resized_for_the_teacher(
    make_recipe: Callable[..., Recipe], data: Data, tmp_path: Path
) -> None:
    """A teacher of 6 x 6 px with another mean and std sees what PIL's bicubic resizing and its own normalisation make
    of the student's pixels, to 1e-5.
    """
    recipe = make_recipe(data__image_size=6, data__mean=0.2, data__std=0.7)
    model = trial(recipe, tmp_path)
    pixels = photographs()
    small = [
        np.asarray(Image.fromarray(p.numpy()[0], mode=None).resize((6, 6), Image.Resampling.BICUBIC)) for p in pixels
    ]
    own = (torch.from_numpy(np.stack(small))[:, None] - 0.2) / 0.7
    with torch.no_grad():
        expected = model(own)
    teacher = load_teacher(of_trial(), data, tmp_path, CPU)
    torch.testing.assert_close(teacher.ask((pixels - 0.5) / 0.5), expected, rtol=0.0, atol=1e-5)


def test_means_for_each_channel_are_undone_for_each_channel(data: Data, tmp_path: Path) -> None:
    """One number for the student and three for the teacher, and the other way round, to 1e-6."""
    three, one = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}, {"mean": 0.5, "std": 0.25}
    pixels = photographs(channels=3)

    def normalised(values: dict[str, Any]) -> Tensor:
        mean, std = (torch.tensor(v).expand(3).view(3, 1, 1) for v in values.values())
        return (pixels - mean) / std

    for students, own in ((one, three), (three, one)):
        coloured = data.model_copy(update={"channels": 3, **students})
        teacher = TeacherModel(nn.Identity(), coloured.model_copy(update=own), coloured, CPU)
        torch.testing.assert_close(teacher.ask(normalised(students)), normalised(own), rtol=0.0, atol=1e-6)


def test_settings_go_before_what_a_trial_was_trained_with(recipe: Recipe, tmp_path: Path) -> None:
    """Mean, std and size as told: a model of the space is resampled to that size."""
    trial(recipe, tmp_path)
    images = photographs()
    told = load_teacher(of_trial(mean=0.0, std=1.0), recipe.data, tmp_path, CPU).ask((images - 0.5) / 0.5)
    plain = load_teacher(of_trial(), recipe.data, tmp_path, CPU)
    torch.testing.assert_close(told, plain.ask(images), rtol=0.0, atol=1e-5)
    larger = load_teacher(of_trial(image_size=12), recipe.data, tmp_path, CPU)
    seen: list[tuple[int, ...]] = []
    larger._model.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    assert larger.ask(images).shape == (3, 10)
    assert seen == [(3, 1, 12, 12)]


@pytest.mark.parametrize(
    "model",
    [
        "timm/test_vit",
        "timm/test_resnet",
        {"name": "cswin", "dim": 8, "depths": [1, 1, 1, 1], "split_sizes": [1, 1, 1, 1], "heads": [2, 2, 4, 8]},
        {"name": "pvt", "dims": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2], "ratios": [2, 2, 2, 2]},
    ],
    ids=["vit of timm", "resnet of timm", "cswin", "pvt"],
)
def test_any_model_teaches(make_recipe: Callable[..., Recipe], tmp_path: Path, model: Any) -> None:
    """A Trial of a whole model, of timm's or beside the space, says what the model says, to the last bit."""
    recipe = make_recipe(model=model, data__image_size=32)
    own = trial(recipe, tmp_path)
    images = photographs(side=32)
    with torch.no_grad():
        expected = own(images)
    assert torch.equal(load_teacher(of_trial(), recipe.data, tmp_path, CPU).ask(images), expected)


def test_two_heads_answer_with_their_mean(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """A distilled model of the space teaches with the mean of its heads, to 1e-6."""
    recipe = make_recipe(model__readout="cls_distilled")
    model: Any = trial(recipe, tmp_path)
    images = photographs()
    with torch.no_grad():
        of_class, of_distillation = model.forward_heads(images)
    logits = load_teacher(of_trial(), recipe.data, tmp_path, CPU).ask(images)
    torch.testing.assert_close(logits, (of_class + of_distillation) / 2, rtol=0.0, atol=1e-6)
    assert not torch.allclose(of_class, of_distillation, atol=1e-3)


# Where its weights come from


@pytest.mark.parametrize("under", [None, "model", "state_dict", "model_ema"])
@pytest.mark.parametrize("wrapper", ["", "module."])
@pytest.mark.parametrize("relative", [True, False])
def test_a_file_of_weights_is_read(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, under: str | None, wrapper: str, relative: bool
) -> None:
    """A bare state_dict, or one beside other things, with DistributedDataParallel's names or without; a relative path
    starts at $ABLATE_DATA.
    """
    model = trial(recipe, tmp_path)
    state = {f"{wrapper}{name}": values for name, values in model.state_dict().items()}
    torch.save(state if under is None else {"epoch": 3, under: state}, tmp_path / "weights.pth")
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))
    path = "weights.pth" if relative else tmp_path / "weights.pth"
    settings = Teacher(checkpoint=f"file:{path}", model=recipe.model)
    images = photographs()
    with torch.no_grad():
        expected = model(images)
    assert torch.equal(load_teacher(settings, recipe.data, tmp_path / "elsewhere", CPU).ask(images), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("norm.weight"), "it has no norm.weight$"),
        (lambda s: s.update(x=torch.ones(1)), "model, which has no x$"),
        (
            lambda s: [s.pop(n) for n in list(s) if n.startswith("blocks.0.mixer")],
            r"it has no (\S+, ){2}\S+ and \d more",
        ),
        (
            lambda s: s.update({n: torch.ones(100, 16) for n, v in s.items() if v.shape == (10, 16)}),
            "shape .100, 16. inst",
        ),
        (lambda s: s.update(x=3), "holds no weights, neither by themselves nor under model or state_dict"),
    ],
    ids=["missing", "unexpected", "many", "classes", "number"],
)
def test_a_file_that_does_not_fit_is_refused(
    recipe: Recipe, tmp_path: Path, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    """Names that are missing or unknown, other shapes and other things than tensors are told in one line."""
    state = dict(trial(recipe, tmp_path).state_dict())
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=words) as error:
        load_teacher(Teacher(checkpoint=f"file:{tmp_path}/w.pt", model=recipe.model), recipe.data, tmp_path, CPU)
    assert "\n" not in str(error.value)


class Malicious:
    def __reduce__(self) -> Any:
        return (print, ("code in a file of weights was run",))


@pytest.mark.parametrize("content", ["missing", "text", "pickle", "folder"])
def test_only_tensors_are_read(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """A file that is not there, is no torch file, or would run code is an error in words, and runs nothing."""
    file = tmp_path / "w.pt"
    if content == "text":
        file.write_text("weights")
    elif content == "pickle":
        torch.save({"model": Malicious()}, file)
    elif content == "folder":
        file.mkdir()
    words = "weights are not at" if content == "missing" else "no file of tensors that can be read safely"
    with pytest.raises(ValueError, match=words) as error:
        load_teacher(Teacher(checkpoint=f"file:{file}", model=recipe.model), recipe.data, tmp_path, CPU)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("field", "word"), [("classes", "classes"), ("channels", "channels")])
def test_other_classes_or_channels_are_refused(recipe: Recipe, tmp_path: Path, field: str, word: str) -> None:
    """What the teacher was trained with and what the student has are both told."""
    trial(recipe, tmp_path)
    own = getattr(recipe.data, field)
    data = recipe.data.model_copy(update={field: 3})
    with pytest.raises(ValueError, match=f"trial:{ID} was trained with {own} {word}, its student has 3"):
        load_teacher(of_trial(), data, tmp_path, CPU)


def test_what_does_not_fit_a_student_is_told(recipe: Recipe, tmp_path: Path) -> None:
    """Two means for one channel, a size that patches do not tile, a Trial that is not there or not known."""
    data = recipe.data
    with pytest.raises(ValueError, match=r"Recipe is not at .*: its Trial has to finish first"):
        load_teacher(of_trial(), data, tmp_path, CPU)
    trial(recipe, tmp_path)
    with pytest.raises(ValueError, match="the teacher's mean has 2 numbers, but its images have 1"):
        load_teacher(of_trial(mean=(0.1, 0.2)), data, tmp_path, CPU)
    with pytest.raises(ValueError, match="7"):
        load_teacher(of_trial(image_size=7), data, tmp_path, CPU)
    with pytest.raises(ValueError, match="study:large is not resolved"):
        load_teacher(Teacher(checkpoint="study:large"), data, tmp_path, CPU)
    (tmp_path / "needs" / ID / "recipe.json").write_text('{"model": "simplevit-s16"}')
    with pytest.raises(ValueError, match=r"recipe\.json is no Recipe of this version of ablate: \S+: ") as error:
        load_teacher(of_trial(), data, tmp_path, CPU)
    assert "\n" not in str(error.value)


def test_a_convolution_takes_images_of_a_size_and_a_network_for_one_size_does_not(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    """A ResNet's weights teach at another size than they were trained at; a ViT of timm's says what does not fit."""
    recipe = make_recipe(model="timm/test_resnet", data__image_size=32)
    model = trial(recipe, tmp_path)
    images = photographs(side=48)
    with torch.no_grad():
        expected = model(images)
    data = recipe.data.model_copy(update={"image_size": 48})
    assert torch.equal(load_teacher(of_trial(image_size=48), data, tmp_path, CPU).ask(images), expected)
    trial(make_recipe(model="timm/test_vit", data__image_size=32), tmp_path)
    with pytest.raises(ValueError, match=r"it has pos_embed of shape \(1, 5, 64\) instead of \(1, 10, 64\)"):
        load_teacher(of_trial(image_size=48), data, tmp_path, CPU)


# timm's weights


@pytest.fixture
def photos(data: Data) -> Data:
    """A student of 1,000 classes of colour images, 32 x 32 px."""
    return data.model_copy(update={"channels": 3, "classes": 1000, "image_size": 32, "mean": 0.4, "std": 0.25})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """In place of the network: for every name the weights of one ViT of timm's, which it returns."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = scrambled(timm.create_model("test_vit", pretrained=False))
    asked = timm.models._builder
    monkeypatch.setattr(asked, "load_state_dict_from_hf", lambda *_, **__: dict(model.state_dict()))
    return model


def test_timms_weights_see_what_timm_says(hub: nn.Module, photos: Data, tmp_path: Path) -> None:
    """Without other settings, timm's size (160 px), mean and std (.5) of the weights hold; to 1e-4."""
    teacher = load_teacher(Teacher(checkpoint="timm", model="timm/test_vit"), photos, tmp_path, CPU)
    pixels = photographs(channels=3, side=32)
    planes = [[Image.fromarray(c.numpy()).resize((160, 160), Image.Resampling.BICUBIC) for c in p] for p in pixels]
    large = torch.from_numpy(np.stack([[np.asarray(plane) for plane in image] for image in planes]))
    with torch.no_grad():
        expected = hub((large - 0.5) / 0.5)
    torch.testing.assert_close(teacher.ask((pixels - 0.4) / 0.25), expected, rtol=0.0, atol=1e-4)


def test_settings_go_before_timms(hub: nn.Module, photos: Data, tmp_path: Path) -> None:
    """At another size timm itself resamples the weights for it, and the given mean and std count; to 1e-5."""
    settings = Teacher(checkpoint="timm", model="timm/test_vit", image_size=32, mean=0.4, std=(0.25, 0.25, 0.25))
    state = torch.get_rng_state()
    teacher = load_teacher(settings, photos, tmp_path, CPU)
    assert torch.equal(state, torch.get_rng_state())
    resampled = timm.create_model("test_vit", pretrained=True, img_size=32).eval()
    images = photographs(channels=3, side=32)
    with torch.no_grad():
        expected = resampled(images)
    torch.testing.assert_close(teacher.ask(images), expected, rtol=0.0, atol=1e-5)


@pytest.mark.usefixtures("hub")
def test_timm_would_draw_another_classifier_and_is_not_let(photos: Data, tmp_path: Path) -> None:
    """A student of other classes or channels than the weights', for whom timm would make up layers, is refused."""
    settings = Teacher(checkpoint="timm", model="timm/test_vit")
    with pytest.raises(ValueError, match=r"timm was trained with 1000 classes, its student has 10$"):
        load_teacher(settings, photos.model_copy(update={"classes": 10}), tmp_path, CPU)
    with pytest.raises(ValueError, match=r"timm was trained with 3 channels, its student has 1$"):
        load_teacher(settings, photos.model_copy(update={"channels": 1}), tmp_path, CPU)


def without_weights() -> str:
    """A model for which timm has none."""
    return min(set(timm.list_models()) - {name.partition(".")[0] for name in timm.list_pretrained()})


def test_one_of_timms_weights_is_chosen_by_its_tag(
    photos: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DeiT's teacher is `regnety_160` with the tag `deit_in1k`; another tag is timm's to know, and so is a name."""
    asked: list[tuple[str, dict[str, Any]]] = []
    stand_in = timm.create_model("test_resnet", pretrained=False)

    def create(name: str, **options: Any) -> nn.Module:
        asked.append((name, options))
        return stand_in

    monkeypatch.setattr(timm, "create_model", create)
    settings = Teacher(checkpoint="timm", model="timm/regnety_160", tag="deit_in1k")
    load_teacher(settings, photos, tmp_path, CPU)
    assert asked == [("regnety_160.deit_in1k", {"pretrained": True, "num_classes": 1000, "in_chans": 3})]
    with pytest.raises(ValueError, match=r"timm has no weights 'deit' for regnety_160; allowed: .*deit_in1k"):
        load_teacher(settings.model_copy(update={"tag": "deit"}), photos, tmp_path, CPU)
    untrained = Teacher(checkpoint="timm", model=f"timm/{without_weights()}")
    with pytest.raises(ValueError, match="timm has no weights for "):
        load_teacher(untrained, photos, tmp_path, CPU)


def test_without_a_network_there_is_a_sentence(photos: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong, for which weights, and that they have to be downloaded once; in one line."""

    def away(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("An error happened while trying to locate the file on the Hub.\nMore of it.")

    monkeypatch.setattr(timm.models._builder, "load_state_dict_from_hf", away)
    settings = Teacher(checkpoint="timm", model="timm/test_vit")
    words = r"timm's weights for test_vit could not be loaded \(An error .* Hub\.\); .* needs the network$"
    with pytest.raises(ValueError, match=words) as error:
        load_teacher(settings, photos, tmp_path, CPU)
    assert "\n" not in str(error.value)


# When its answers are kept


AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "repeats": {"repeats": 2},
    "crop": {"crop": {}},
    "padding": {"padding": 2},
    "flip": {"flip": True},
    "jitter": {"jitter": {}},
    "autoaugment": {"autoaugment": "original"},
    "randaug": {"randaug": {}},
    "trivialaugment": {"trivialaugment": "wide"},
    "erasing": {"erasing": {"probability": 1.0}},
    "mixup": {"mixup": {}},
    "cutmix": {"cutmix": {}},
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_answers_are_kept_where_images_look_the_same_in_every_epoch(
    make_recipe: Callable[..., Recipe], name: str
) -> None:
    """`caches` says what three epochs of digits show, for each augmentation by itself."""
    recipe = make_recipe(augment=PLAIN | AUGMENTATIONS[name])
    batches = TrainBatches(load(recipe.data).train, recipe.augment, recipe.data, 0, 64)
    seen: dict[int, Tensor] = {}
    same = True
    for epoch in range(3):
        for batch in batches.epoch(epoch):
            for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
                same = same and torch.equal(seen.setdefault(index, image), image)
    assert caches(recipe.augment) == same


def test_every_augmentation_is_asked_about() -> None:
    """What a Recipe may do to images is in the test above, but for what acts only beside another one."""
    assert Augment.model_fields.keys() - {"cutmix_share", "mixing_probability"} == AUGMENTATIONS.keys() - {"none"}


def test_kept_answers_are_the_teachers(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """Without augmentation the teacher is asked once for each training image, before training; its answers then are
    those that it would give to each batch, to 1e-5, and the same bits in every batch, epoch and attempt.
    """
    distillation = {"teacher": {"checkpoint": f"trial:{ID}"}}
    recipe = make_recipe(augment=PLAIN, distillation=distillation)
    model = trial(recipe.model_copy(update={"distillation": "off"}), tmp_path)
    train_set = load(recipe.data).train
    kept, again = (make_teacher(recipe, train_set, tmp_path, CPU) for _ in range(2))
    assert isinstance(kept, KeptLogits)
    assert isinstance(again, KeptLogits)
    batches = TrainBatches(train_set, recipe.augment, recipe.data, 0, 64)
    answers: dict[int, Tensor] = {}
    for epoch in range(2):
        for batch in batches.epoch(epoch):
            with torch.no_grad():
                torch.testing.assert_close(kept.logits(batch), model(batch.images), rtol=0.0, atol=1e-5)
            assert torch.equal(kept.logits(batch), again.logits(batch))
            half = kept.logits(batch.rows(slice(32)))
            for index, logits in zip(batch.indices.tolist(), half, strict=False):
                assert torch.equal(answers.setdefault(index, logits), logits)


def test_an_image_that_was_not_asked_for_does_not_go_unnoticed(recipe: Recipe, tmp_path: Path) -> None:
    """Its kept logits are NaN."""
    trial(recipe, tmp_path)
    teacher = load_teacher(of_trial(), recipe.data, tmp_path, CPU)
    batch = a_batch(photographs(4))
    kept = KeptLogits(teacher, [batch.rows(slice(0, 1)), batch.rows(slice(2, 4))])
    assert kept.logits(batch).isnan().all(dim=1).tolist() == [False, True, False, False]


def test_with_augmentation_the_teacher_is_asked_each_time(recipe: Recipe, tmp_path: Path) -> None:
    """It sees the images as they are augmented; a Recipe without a teacher has none."""
    trial(recipe, tmp_path)
    with_teacher = Recipe.model_validate(
        recipe.resolved() | {"distillation": {"teacher": {"checkpoint": f"trial:{ID}"}}}
    )
    train_set = load(recipe.data).train
    teacher = make_teacher(with_teacher, train_set, tmp_path, CPU)
    assert isinstance(teacher, TeacherModel)
    assert make_teacher(recipe, train_set, tmp_path, CPU) is None


# In place of a teacher that is not trained yet


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stand_in_tells_images_and_teachers_apart(dtype: torch.dtype) -> None:
    """The same logits for the same image in whichever batch, others for others and for another seed; of unit size."""
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)
    batch = a_batch(images)
    logits = StandInTeacher(10, 1).logits(batch)
    assert logits.shape == (64, 10)
    assert logits.dtype == dtype
    assert logits.std().item() == pytest.approx(1.0, abs=0.15)
    torch.testing.assert_close(StandInTeacher(10, 1).logits(batch.rows(slice(3, 5))), logits[3:5])
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    assert not torch.allclose(StandInTeacher(10, 2).logits(batch), logits, atol=1e-3)


def test_a_stand_in_for_large_images_is_small() -> None:
    """224 x 224 px in colour and 1,000 classes: a change in one pixel still changes what it says."""
    images = torch.zeros(2, 3, 224, 224)
    images[1, 2, 100, 50] = 1.0
    logits = StandInTeacher(1000, 0).logits(a_batch(images))
    assert logits.shape == (2, 1000)
    assert not torch.equal(logits[0], logits[1])
