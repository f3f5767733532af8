"""The Recipe and its sections: everything that decides the outcome of one training. Torch-free."""

from ablate.recipe.any_model import AnyModel
from ablate.recipe.augment import Augment, ColorJitter, CutMix, Erasing, InceptionCrop, MixUp, RandAugment
from ablate.recipe.data import SOURCE_PATTERN, Data
from ablate.recipe.distillation import CHECKPOINT_PATTERN, Distillation, Teacher
from ablate.recipe.model import Model
from ablate.recipe.neutral import decisive
from ablate.recipe.part import Part, resolve_part
from ablate.recipe.recipe import Recipe
from ablate.recipe.section import Section
from ablate.recipe.training import Compute, Ema, LinearScaling, Loss, Optimizer, Schedule
from ablate.recipe.whole import WholeModel, resolve_whole

__all__ = [
    "CHECKPOINT_PATTERN",
    "SOURCE_PATTERN",
    "AnyModel",
    "Augment",
    "ColorJitter",
    "Compute",
    "CutMix",
    "Data",
    "Distillation",
    "Ema",
    "Erasing",
    "InceptionCrop",
    "LinearScaling",
    "Loss",
    "MixUp",
    "Model",
    "Optimizer",
    "Part",
    "RandAugment",
    "Recipe",
    "Schedule",
    "Section",
    "Teacher",
    "WholeModel",
    "decisive",
    "resolve_part",
    "resolve_whole",
]
