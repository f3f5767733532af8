"""The Recipe and its sections: everything that decides the outcome of one training. Torch-free."""

from ablate.recipe.augment import Augment, InceptionCrop, MixUp, RandAugment
from ablate.recipe.data import SOURCE_PATTERN, Data
from ablate.recipe.model import Model
from ablate.recipe.part import Part, resolve_part
from ablate.recipe.recipe import Recipe
from ablate.recipe.section import Section
from ablate.recipe.training import Optimizer, Schedule
from ablate.recipe.whole import WholeModel, resolve_whole

__all__ = [
    "SOURCE_PATTERN",
    "Augment",
    "Data",
    "InceptionCrop",
    "MixUp",
    "Model",
    "Optimizer",
    "Part",
    "RandAugment",
    "Recipe",
    "Schedule",
    "Section",
    "WholeModel",
    "resolve_part",
    "resolve_whole",
]
