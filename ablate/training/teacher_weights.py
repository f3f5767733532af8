"""Trained models from where a Recipe says that they are: a Trial's folder, a file of weights, or timm."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ablate.models.build import build
from ablate.models.resize import at_image_size
from ablate.places import data_path
from ablate.recipe import Data, Model, Recipe, Teacher, WholeModel
from ablate.timm_source import takes
from ablate.trainable import NEEDS, RECIPE, WEIGHTS
from ablate.wording import listing

#: Under which names files of weights have them, beside other things; the first that is there counts.
_UNDER = ("model", "state_dict", "model_ema")
_WRAPPER = "module."  # DataParallel and DistributedDataParallel put it before all names
_LISTED = 3


def trained_model(settings: Teacher, data: Data, folder: Path) -> tuple[nn.Module, Data]:
    """The model with its weights, on the CPU, and what it takes images to be: size, mean and std.

    ``data`` are the student's, ``folder`` its Trial's. Raises ValueError as `load_teacher` does.
    """
    kind, _, where = settings.checkpoint.partition(":")
    if kind == "trial":
        return _of_trial(settings, data, folder / NEEDS / where)
    if kind == "file":
        return _of_file(settings, data, data_path(where))
    if kind == "timm":
        return _of_timm(settings, data)
    raise ValueError(f"teacher {settings.checkpoint} is not resolved to a Trial yet")


def _of_trial(settings: Teacher, data: Data, home: Path) -> tuple[nn.Module, Data]:
    recipe = _recipe(home / RECIPE)
    trained_on = recipe.data
    _check_images(settings, data, trained_on.classes, trained_on.channels)
    own = _as_told(settings, trained_on)
    model = build(recipe.model, trained_on)
    _load(model, home / WEIGHTS)
    if own.image_size != trained_on.image_size:
        if isinstance(recipe.model, Model):
            model = at_image_size(model, recipe.model, trained_on, (own.image_size, own.image_size))
        else:
            model = build(recipe.model, own)
            _load(model, home / WEIGHTS)
    return model, own


def _of_file(settings: Teacher, data: Data, file: Path) -> tuple[nn.Module, Data]:
    assert settings.model is not None  # a Teacher from a file has one
    own = _as_told(settings, data)
    model = build(settings.model, own)
    _load(model, file)
    return model, own


def _of_timm(settings: Teacher, data: Data) -> tuple[nn.Module, Data]:
    import timm  # here, so that teachers of the space need no timm

    assert isinstance(settings.model, WholeModel)  # a Teacher from timm has one
    name = str(settings.model.timm_name)
    tagged = name if settings.tag is None else f"{name}.{settings.tag}"
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
    if settings.tag is not None and settings.tag not in tags:
        raise ValueError(f"timm has no weights {settings.tag!r} for {name}; {listing(tags)}")
    known = timm.get_pretrained_cfg(tagged)
    if known is None or not known.has_weights:
        raise ValueError(f"timm has no weights for {name}")
    channels, side, _ = known.input_size
    # With another number timm would draw a classifier, or sum up the first layer's channels, and say nothing.
    _check_images(settings, data, known.num_classes, channels)
    of_weights = data.model_copy(update={"image_size": side, "mean": tuple(known.mean), "std": tuple(known.std)})
    own = _as_told(settings, of_weights)
    options = dict(settings.model.options) | {"num_classes": own.classes, "in_chans": own.channels}
    if own.image_size != side and takes(name, "img_size"):
        options["img_size"] = own.image_size
    try:
        with torch.random.fork_rng(devices=[]):
            return timm.create_model(tagged, pretrained=True, **options), own
    except Exception as error:
        raise ValueError(
            f"timm's weights for {tagged} could not be loaded ({_first_line(error)}); the first time they are "
            "downloaded, which needs the network"
        ) from error


def _as_told(settings: Teacher, data: Data) -> Data:
    """The data with the size, mean and std that the settings give."""
    told = {"image_size": settings.image_size, "mean": settings.mean, "std": settings.std}
    for name, values in told.items():
        if isinstance(values, tuple) and len(values) != data.channels:
            raise ValueError(f"the teacher's {name} has {len(values)} numbers, but its images have {data.channels}")
    return data.model_copy(update={name: value for name, value in told.items() if value is not None})


def _check_images(settings: Teacher, data: Data, classes: int, channels: int) -> None:
    """Raise ValueError for a teacher of other classes, or of images of another kind, than its student."""
    for what, own, students in (("classes", classes, data.classes), ("channels", channels, data.channels)):
        if own != students:
            raise ValueError(f"teacher {settings.checkpoint} was trained with {own} {what}, its student has {students}")


def _recipe(file: Path) -> Recipe:
    try:
        return Recipe.model_validate(json.loads(file.read_bytes()))
    except FileNotFoundError as error:
        raise ValueError(f"the teacher's Recipe is not at {file}: its Trial has to finish first") from error
    except ValidationError as error:
        what = error.errors()[0]
        place = ".".join(map(str, what["loc"]))
        raise ValueError(f"{file} is no Recipe of this version of ablate: {place}: {what['msg']}") from error


def _load(model: nn.Module, file: Path) -> None:
    """Load the weights in a file. Raises ValueError where they are not those of this model."""
    state, own = _weights(file), model.state_dict()
    reshaped = [
        f"{name} of shape {tuple(values.shape)} instead of {tuple(own[name].shape)}"
        for name, values in state.items()
        if name in own and values.shape != own[name].shape
    ]
    if reshaped:
        raise ValueError(f"{file} does not fit the teacher's model: it has {_listed(reshaped)}")
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing:
        raise ValueError(f"{file} does not fit the teacher's model: it has no {_listed(missing)}")
    if unexpected:
        raise ValueError(f"{file} does not fit the teacher's model, which has no {_listed(unexpected)}")


def _weights(file: Path) -> Mapping[str, Tensor]:
    """Parameters and buffers by their names."""
    try:
        content: Any = torch.load(file, weights_only=True, map_location="cpu")
    except FileNotFoundError as error:
        raise ValueError(f"the teacher's weights are not at {file}") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{file} is no file of tensors that can be read safely: {_first_line(error)}") from error
    if isinstance(content, Mapping):
        content = next((content[name] for name in _UNDER if isinstance(content.get(name), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(values, Tensor) for values in content.values()):
        raise ValueError(f"{file} holds no weights, neither by themselves nor under {' or '.join(_UNDER)}")
    if all(name.startswith(_WRAPPER) for name in content):
        return {name.removeprefix(_WRAPPER): values for name, values in content.items()}
    return content


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
