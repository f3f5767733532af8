"""Constructors followed without torch: what they refuse, and what is known of what they make."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.dry_build import DryPart, dry_build
from ablate.dry_world import NOT_KNOWN
from ablate.parts import PartError, SourceError

#: Every module written here would stop the program if it were imported.
HEAD = """\
NEVER = __import__("sys").exit("imported")
import math
import functools as tools
from collections.abc import Mapping
import torch
from torch import Tensor, nn
import torch.nn.functional as F
from numpy import prod
"""

Dry = Callable[..., DryPart]


@pytest.fixture
def dry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dry:
    """Write a module of this source, and follow the constructor of its class Part."""
    monkeypatch.syspath_prepend(tmp_path)

    def follow(source: str, name: str = "Part", **arguments: Any) -> DryPart:
        (tmp_path / "dry_parts.py").write_text(HEAD + textwrap.dedent(source), encoding="utf-8")
        found = dry_build(f"dry_parts:{name}", arguments)
        assert "dry_parts" not in sys.modules
        return found

    return follow


def body(lines: str, parameters: str = "self, dim, *, heads: int = 4") -> str:
    """A class Part with this constructor."""
    return f"class Part(nn.Module):\n    def __init__({parameters}):\n" + textwrap.indent(
        textwrap.dedent(lines), " " * 8
    )


REFUSE = "raise ValueError(f'{heads} do not divide {dim}')"
GUARDS = {
    "plain": "if dim % heads: REFUSE",
    "behind torch": "super().__init__()\nself.q = nn.Linear(dim, dim)\nif dim % heads: REFUSE",
    "in an else": "if dim % heads == 0:\n    self.x = 1\nelse:\n    REFUSE",
    "in a loop": "for count in (2, 5, heads):\n    if count == heads and dim % count: REFUSE",
    "in a while": "count = 0\nwhile count < heads:\n    count += 1\nif dim % count: REFUSE",
    "in a nested function": "def check(n):\n    if dim % n: REFUSE\ncheck(heads)",
    "in a method": "self._check(dim, heads)",
    "in a function": "check(dim, heads)",
    "in a comprehension": "self.sizes = [share(dim, n) for n in (2, heads)]",
    "in what a module list makes": "self.all = nn.ModuleList(Share(dim, n) for n in (2, heads))",
    "in a part of it": "self.share = Share(dim, heads)",
    "through math": "if math.gcd(dim, heads) < heads: REFUSE",
    "behind an unknown guard": "if torch.cuda.is_available(): raise ValueError('no')\ncheck(dim, heads)",
    "behind an unknown is": "if nn.Linear(2, 2).bias is None: raise ValueError('no')\ncheck(dim, heads)",
    "behind an unknown branch of a guard": "if F.relu(dim) > 2: raise ValueError('no')\nelif dim % heads: REFUSE",
    "from a constant": "if dim % WIDTH: REFUSE",
}
AROUND = """
WIDTH = 3
TABLE = {"a": torch.zeros(3)}

def check(dim: Nowhere, heads) -> Nowhere:
    if dim % heads:
        raise ValueError(f"{heads} do not divide {dim}")

def share(dim, heads):
    check(dim, heads)
    return dim // heads

class Share(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        check(dim, heads)

"""
METHOD = "\n    def _check(self, dim, heads):\n        check(dim, heads)\n"


#: Parts that are right, and what a careless reading would refuse in them.
RIGHT = {
    "a match on what is not known": "match torch.zeros(2).shape:\n    case (2,): pass\n"
    "    case _: raise ValueError('no')",
    "an import that may fail": "try:\n    import nowhere_at_all\n    fast = True\n"
    "except ImportError:\n    fast = False\nif fast: raise ValueError('no')",
    "an error that is passed over": "import contextlib\nwith contextlib.suppress(ValueError): [].index(1)",
    "a list that is filled out of sight": "out = []\nfill(out)\nif not out: raise ValueError('no')",
    "a name bound in a guard": "n = 0\nif (n := heads) > 9: raise ValueError('no')\nif n < 1: raise ValueError('no')",
    "a constant that changes": "if WIDTHS != [1, 2]: raise ValueError('no')",
}
BESIDE = """
WIDTHS = [1]
WIDTHS += [2]

def fill(out):
    if torch.cuda.is_available():
        return
    out.append(1)

"""


@pytest.mark.parametrize("case", RIGHT)
def test_a_part_that_is_right_is_not_refused(dry: Dry, case: str) -> None:
    """What hangs on more than can be told is left to the building of the model."""
    plain = "" if case.startswith("a list") else "fill = None\n"
    source = BESIDE if case.startswith(("a list", "a constant")) else ""
    assert dry(plain + source + body(RIGHT[case]), dim=16, heads=4).refusal is None


def test_a_list_of_options_stays_as_it_is(dry: Dry) -> None:
    """A constructor that appends to its option does so to a copy."""
    widths = [64]
    dry(body("widths.append(dim)", "self, dim, *, widths: list[int]"), dim=16, widths=widths)
    assert widths == [64]


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_is_found_wherever_it_stands(dry: Dry, guard: str) -> None:
    """With 3 heads the part is refused in the guard's own words, with 4 it is not."""
    source = AROUND + body(GUARDS[guard].replace("REFUSE", REFUSE)) + METHOD
    assert dry(source, dim=16, heads=3).refusal == "3 do not divide 16"
    if guard != "from a constant":
        assert dry(source, dim=16).refusal is None


UNDECIDED = {
    "a condition": "if torch.get_num_threads() > 1:\n    dim = 15\nif dim % heads: raise ValueError('no')",
    "a loop": "count = 1\nfor _ in nn.ModuleList():\n    count = 4\nif dim % count == 0: raise ValueError('no')",
    "a with": "with torch.no_grad() as found:\n    if found is None: raise ValueError('no')",
    "an augmented value": "n = 0\nn += len(nn.ModuleList([1]))\nif n == 0: raise ValueError('no')",
    "a list that torch fills": "n = []\nn.extend(torch.zeros(3))\nif not n: raise ValueError('no')",
    "an early return": "if torch.is_tensor(dim): return\nif dim: raise ValueError('no')",
    "a return": "if dim: return\nraise ValueError('no')",
    "a broken loop": "for n in range(9):\n    if n == 3: break\n    continue\nif n != 3: raise ValueError('no')",
    "a text": "if str(torch.zeros(3)) != 'zeros': raise ValueError('no')",
    "a type": "if not isinstance(nn.Linear(2, 2), nn.Module): raise ValueError('no')",
    "an attribute": "if hasattr(self, 'weather'): raise ValueError('no')",
    "a membership": "if nn.Linear not in {1, 2}: raise ValueError('no')",
    "a handler": "try:\n    if torch.zeros(3): pass\nexcept Exception: raise ValueError('no')",
    "a caught refusal": "try:\n    raise ValueError('no')\nexcept ValueError:\n    self.width = 3",
    "another error": "raise TypeError('no')",
    "a mistake": "self.x = 1 / 0\nraise ValueError('no')",
    "a function elsewhere": "if prod((2, 3)) != 6: raise ValueError('no')",
    "what is not given": "if grid is None: raise ValueError('no')",
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_what_cannot_be_told_refuses_nothing(dry: Dry, case: str) -> None:
    """Where a decision hangs on torch, or the guard is not reached, the part is left to be built."""
    assert dry(body(UNDECIDED[case], "self, dim, grid, *, heads: int = 4"), dim=16, grid=NOT_KNOWN).refusal is None


def test_what_is_known_of_the_object_is_told(dry: Dry) -> None:
    """Plain values of the object, its class, its properties and its base; nothing that torch would make."""
    source = """
    class Base(nn.Module):
        prefix_tokens = 2
        reads_blocks = False
        roles: Mapping[str, str] = {"token": "token"}

        def __init__(self, image_size, step):
            super().__init__()
            self.grid = tuple(side // step for side in image_size)

    class Part(Base):
        reads_blocks = True

        def __init__(self, image_size, *, patch_size: int = 4):
            super().__init__(image_size, step=patch_size)
            self.weight, self.pair = torch.zeros(3), (1, nn.Linear(2, 2))
            self.inner = Base(image_size, patch_size // 2)
            self.finer = self.inner.grid

        @property
        def places(self):
            return math.prod(self.grid)

        @property
        def norm(self):
            return float(self.weight.sum())
    """
    found = dry(source, image_size=(8, 12))
    assert found == DryPart(
        None, {"prefix_tokens": 2, "reads_blocks": True, "grid": (2, 3), "finer": (4, 6), "places": 6}, ()
    )


def test_of_a_constructor_that_is_left_early_nothing_is_known(dry: Dry) -> None:
    """What stands behind the undecided loop might have changed what was set before."""
    source = """
    class Part(nn.Module):
        prefix_tokens = 1

        def __init__(self, dim):
            self.width = dim
            for parameter in self.parameters():
                self.prefix_tokens = 2
            self.after = 3
    """
    assert dry(source, dim=4) == DryPart(None, {}, ())


def test_context_that_nobody_offers_is_told(dry: Dry) -> None:
    """Positional parameters are asked for by name; options, defaults and a value that is not known are not missing."""
    found = dry(body("pass", "self, dim, weather, grid, mood=1, *, heads: int = 4"), dim=4, grid=NOT_KNOWN)
    assert found.asks == ("weather",)


def test_a_base_of_ours_is_followed_into_its_file(dry: Dry) -> None:
    """A part that extends one of ours has the guards of ours, and what ours exposes."""
    source = """
    from ablate.models.mixers.self_attention import SelfAttention
    from ablate.models.stems import patches

    class Part(SelfAttention):
        def __init__(self, dim, dropout, *, heads: int):
            super().__init__(dim, dropout, heads=heads)
            self.twice = 2 * self.heads
    """
    assert dry(source, dim=6, dropout=0.0, heads=4).refusal == "4 attention heads do not divide the width, dim 6"
    assert dry(source, dim=8, dropout=0.0, heads=4).attributes["twice"] == 8


@pytest.mark.parametrize(
    "source",
    [
        "class Part:\n    def __init__(self, dim):\n        raise ValueError('no')",
        "class Part(nn.Module):\n    @torch.no_grad()\n    def __init__(self, dim):\n        raise ValueError('no')",
        "@torch.compile\nclass Part(nn.Module):\n    def __init__(self, dim):\n        raise ValueError('no')",
        "class Part(nn.Module):\n    width = undefined\n    def __init__(self, dim):\n        raise ValueError('no')",
        "class Part(nn.Module):\n    width = int('x')\n    def __init__(self, dim):\n        raise ValueError('no')",
        "class Part(nn.Module):\n    '''Without a constructor.'''",
    ],
)
def test_a_class_that_cannot_be_followed_is_left_to_be_built(dry: Dry, source: str) -> None:
    """No module, a wrapped constructor or class, a class whose body fails: nothing is refused."""
    assert dry(source, dim=4).refusal is None


def test_nothing_of_the_machine_can_be_reached(dry: Dry, tmp_path: Path) -> None:
    """A constructor, a constant and a class body that would write a file write none while they are followed."""
    target = str(tmp_path / "written")
    write = f"open({target!r}, 'w').write('x')"
    source = f"""
    import os, pathlib, subprocess
    CONSTANT = {write}
    MORE = os.system("touch {target}")

    class Part(nn.Module):
        constant = pathlib.Path({target!r}).touch()

        def __init__(self, dim):
            {write}
            subprocess.run(["touch", {target!r}])
            __import__("pathlib").Path({target!r}).touch()
            if dim: raise ValueError("reached")
    """
    assert dry(source, dim=4).refusal == "reached"
    assert not (tmp_path / "written").exists()


def test_an_edited_source_is_followed_anew(dry: Dry) -> None:
    """A user edits a part between two checks in one process."""
    assert dry(body("raise ValueError('first')"), dim=4).refusal == "first"
    assert dry(body("raise ValueError('second')"), dim=4).refusal == "second"


def test_a_part_that_is_not_there_is_an_error(dry: Dry) -> None:
    """No class of that name, and no module."""
    with pytest.raises(PartError, match=r"dry_parts defines no class 'Missing'"):
        dry("class Part: pass", name="Missing")
    with pytest.raises(SourceError, match="no_such_module"):
        dry_build("no_such_module:Part", {})
