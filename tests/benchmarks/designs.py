"""How long it takes to count, filter and validate a study of 2^16 Variants.

    python tests/benchmarks/designs.py

Prints processor seconds, which other processes on the machine do not change: each step alone, then `load_study` as a
whole, which reads the file, applies every Level once, goes through all combinations, and resolves those that `--only`
chooses. Shared fields are the dearest case: then Variants may mean the same, and each one's key is made.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ablate.study.axes import Axes, Axis
from ablate.study.enumerations import Crossing
from ablate.study.errors import StudyError
from ablate.study.load import load_study
from ablate.study.rules import Rule, Rules
from ablate.study.space import Space
from ablate.study.study import Factor, Level

FACTORS = 16
#: One field for each Factor; with shared fields each sets the next one's, too, to the same value.
LEVELS = [f"field{i}" for i in range(FACTORS)]


def main() -> None:
    """Print a table."""
    space = _space()
    _timed(f"count {2**FACTORS:,} combinations with two constraints", lambda: sum(1 for _ in space))
    _timed("name all that are left", lambda: len([space.axes.name(point) for point in space]))
    _timed("ask of all that are left whether they belong", lambda: sum(point in space for point in space))
    constraints = "exclude: [{f0: b, f1: b}]\nonly_if: [{levels: {f2: b}, requires: {f3: b}}]\n"
    with tempfile.TemporaryDirectory() as folder:
        for shared in (False, True):
            kind = ", shared fields" if shared else ""
            for added, told in (("", ""), (constraints, ", constraints")):
                path = _study(Path(folder), shared, added)
                _timed(f"load_study, all{told}{kind}", lambda path=path: _loaded(path))
                _timed(f"load_study, --only{told}{kind}", lambda path=path: _loaded(path, "f0=b,f?=b"))


def _space() -> Space:
    factors = {f"f{i}": Factor(f"f{i}", "a", {"b": Level("b", {})}) for i in range(FACTORS)}
    axes = Axes(tuple(Axis((name,), (("a",), ("b",))) for name in factors), factors)
    rules = (
        Rule(((0, frozenset({1})), (1, frozenset({1}))), None, "", ()),
        Rule(((2, frozenset({1})),), ((3, frozenset({1})),), "", ()),
    )
    return Space(axes, [Crossing(axes.sizes, tuple(range(FACTORS)))], Rules(rules))


def _study(folder: Path, shared: bool, added: str) -> Path:
    """A study file of a Trainable that is never called."""
    (folder / "benched.py").write_text("def train(recipe, seed, report, folder):\n    return {}\n")
    levels = []
    for index, field in enumerate(LEVELS):
        others = [LEVELS[(index + 1) % FACTORS]] if shared else []
        levels.append("{" + ", ".join(f"{name}: 1" for name in (field, *others)) + "}")
    factors = "".join(f"  f{i}: {{reference: a, levels: {{b: {level}}}}}\n" for i, level in enumerate(levels))
    base = ", ".join(f"{field}: 0" for field in LEVELS)
    path = folder / "study.yaml"
    path.write_text(
        "study: benched\nquestion: How long?\ntrainable: benched:train\nmetric: {name: m, direction: maximize}\n"
        f"seeds: 1\nbase: {{{base}}}\nfactors:\n{factors}design: factorial\n{added}"
    )
    return path


def _loaded(path: Path, *only: str) -> str:
    try:
        return f"{len(load_study(path, only=only).variants)} Variants"
    except StudyError as error:
        return str(error).partition(": ")[2]


def _timed(what: str, call: Callable[[], object]) -> None:
    begun = time.process_time()
    result = call()
    print(f"{time.process_time() - begun:6.2f} s  {what}: {result}")


if __name__ == "__main__":
    main()
