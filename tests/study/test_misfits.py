"""Combinations that make no sense are refused when the study is loaded: in one line, with place and reason.

Layer-wise class-token attention without a class token is not among them, since it cannot be written: the readout
`layer_wise_cls` brings its own.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.study.errors import StudyError
from ablate.study.study import Study

Load = Callable[..., Study]

OWN = """
NEVER = __import__("sys").exit("imported")
from torch import nn

class Bag(nn.Module):
    grid = None

    def __init__(self, image_size, channels, dim):
        super().__init__()

class Pair(nn.Module):
    def __init__(self, dim, grid):
        super().__init__()
        if grid[0] % 3:
            raise ValueError(f"pairs need three rows, got {grid[0]}")

class Asks(nn.Module):
    def __init__(self, dim, weather):
        super().__init__()

class Net(nn.Module):
    def __init__(self, image_size, channels, classes, *, width: int = 8):
        super().__init__()
        if width > classes:
            raise ValueError(f"a width of {width} is too much for {classes} classes")
"""


@pytest.fixture(autouse=True)
def _parts(folder: Path) -> None:
    (folder / "my_misfits.py").write_text(textwrap.dedent(OWN), encoding="utf-8")


#: (what is replaced in the example, by what with `¦` before the place to be told, the message)
MISFITS = {
    "LeFF without a grid": (
        ("stem: {name: patches, patch_size: 2}", "stem: my_misfits:Bag"),
        ("    position: sincos2d", "    position: none"),
        ("    feed_forward: {name: mlp, ratio: 2.0}", "    ¦feed_forward: leff"),
        "feed_forward 'leff': leff needs a grid: it convolves over the neighbours of each patch",
    ),
    "token MLP without a grid": (
        ("stem: {name: patches, patch_size: 2}", "stem: my_misfits:Bag"),
        ("    position: sincos2d", "    position: none"),
        ("    mixer: {name: self_attention, heads: 2}", "    ¦mixer: {name: token_mlp, hidden: 4}"),
        "mixer 'token_mlp': token_mlp needs a grid: its layers have one weight for each place of it",
    ),
    "sincos2d of a width that 4 does not divide": (
        ("    dim: 16", "    dim: 18"),
        ("    position: sincos2d", "    ¦position: sincos2d"),
        "position 'sincos2d': sincos2d needs a width that is a multiple of 4 and at least 8, got dim 18",
    ),
    "an image that the patch does not divide": (
        ("    stem: {name: patches, patch_size: 2}", "    ¦stem: {name: patches, patch_size: 3}"),
        "stem 'patches': patches of 3 px do not tile an image of 8 x 8 px",
    ),
    "heads that do not divide the width": (
        ("    mixer: {name: self_attention, heads: 2}", "    ¦mixer: {name: self_attention, heads: 3}"),
        "mixer 'self_attention': 3 attention heads do not divide the width, dim 16",
    ),
    "relative position with a token MLP": (
        ("    position: sincos2d", "    ¦position: relative\n    position_at: every_layer"),
        ("    mixer: {name: self_attention, heads: 2}", "    mixer: {name: token_mlp, hidden: 4}"),
        "position 'relative' is a bias of attention, and mixer 'token_mlp' has no attention",
    ),
    "relative position at the stem": (
        ("    position: sincos2d", "    ¦position: relative"),
        "position 'relative' is a bias of each block's attention: set position_at to every_layer or every_layer_shared",
    ),
    "re-attention in more blocks than there are": (
        ("    mixer: {name: self_attention, heads: 2}", "    ¦mixer: {name: re_attention, heads: 2, last_blocks: 3}"),
        "mixer 're_attention': re_attention cannot stand in the last 3 of 2 blocks",
    ),
    "a guard of the user's own part": (
        ("    feed_forward: {name: mlp, ratio: 2.0}", "    ¦feed_forward: my_misfits:Pair"),
        "feed_forward 'my_misfits:Pair': pairs need three rows, got 4",
    ),
    "context that nobody offers": (
        ("head: mlp", "¦head: my_misfits:Asks"),
        "head 'my_misfits:Asks' asks for 'weather'; this head is offered classes, depth, dim, dropout",
    ),
}


def _read(case: str, example: str) -> tuple[str, str]:
    *changes, message = MISFITS[case]
    for old, new in changes:
        assert old in example
        example = example.replace(old, new, 1)
    return example, message


@pytest.mark.parametrize("case", MISFITS)
def test_a_misfit_in_the_base_is_one_line_with_its_place_and_reason(
    example: str, load: Load, folder: Path, case: str
) -> None:
    """File, line and column of the part that says it, and its own words; the user's module is not imported."""
    text, message = _read(case, example)
    before = text.partition("¦")[0]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    with pytest.raises(StudyError) as caught:
        load(text.replace("¦", ""))
    assert str(caught.value) == f"{folder / 'study.yaml'}:{line}:{column}: {message}"
    assert "my_misfits" not in sys.modules


LEVELS = {
    "{¦model.position: relative}": "set position_at to every_layer or every_layer_shared",
    "{model: {¦mixer: {heads: 3}}}": "3 attention heads do not divide the width, dim 16",
    "{¦model.stem.patch_size: 3}": "patches of 3 px do not tile an image of 8 x 8 px",
    "{model.stem: my_misfits:Bag, ¦model.feed_forward: leff, model.position: none}": "leff needs a grid",
    "{¦model: {name: my_misfits:Net, width: 11}}": "model 'my_misfits:Net': a width of 11 is too much for 10 classes",
    "{¦model: {preset: CSWin-T, dim: 30}}": "model 'cswin': stage 2: stripes of split size 2 do not tile a grid",
}


@pytest.mark.parametrize(("level", "message"), LEVELS.items())
def test_a_misfit_in_a_level_is_told_there(example: str, load: Load, folder: Path, level: str, message: str) -> None:
    """The base is in order: the Level is what does not fit."""
    text = example.replace("{model.position: learned}", level, 1)
    before = text.partition("¦")[0]
    place = f"{folder / 'study.yaml'}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "
    with pytest.raises(StudyError) as caught:
        load(text.replace("¦", ""))
    assert str(caught.value).startswith(place)
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_misfit_on_the_command_line_names_the_option(load: Load) -> None:
    """`--set` is checked like a Level."""
    with pytest.raises(StudyError, match=r"^--set model\.mixer\.heads=3: mixer 'self_attention': 3 attention heads"):
        load(sets=["model.mixer.heads=3"])
