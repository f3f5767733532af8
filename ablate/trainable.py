"""The seam between the harness and training code: what a Trainable is given, and how it ends.

A Trainable is any function ``train(recipe, seed, report, folder) -> metrics``:

* ``recipe``: the built-in trainer's `Recipe`, or the nested mapping which the study's base spells out;
* ``seed``: an int, the only source of randomness that it should use;
* ``report(step, metrics)``: called as often as there is something to plot, each step once and rising;
* ``folder``: its own, kept between attempts. A checkpoint written there lets it be resumed; what it puts
  into ``folder / "artifacts"`` is kept with the Trial;
* the return value: final metrics, a mapping of name to number.

Report first and checkpoint then: a step that is reported twice counts once, one that is never reported is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

#: In the folder of a Trial that needs others: ``needs/<id>/recipe.json``, the resolved Recipe of such a one, and
#: ``needs/<id>/weights.pt``, its final weights.
NEEDS, RECIPE = "needs", "recipe.json"
#: Among the artifacts of a Trial of the built-in trainer: its final weights.
WEIGHTS = "weights.pt"
#: How many processes train one Trial on this machine, for a Trainable that can (the built-in one).
PROCESSES_VARIABLE = "ABLATE_PROCESSES"


class Report(Protocol):
    """What a Trainable calls with its measurements."""

    @property
    def stop_requested(self) -> bool:
        """Whether the Trial should checkpoint and raise `Stopped` soon; cheap enough to ask every step."""
        ...

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        """Journal the metrics of a step. Raises `Stopped`, after journaling, when a stop was requested and
        the Trainable has not looked at `stop_requested` itself.
        """
        ...


class Trainable(Protocol):
    """A function that trains one Trial; see the module's docstring."""

    def __call__(self, recipe: Any, seed: int, report: Report, folder: Path) -> Mapping[str, float]:
        """Train, and return the final metrics."""
        ...


class Stopped(Exception):  # noqa: N818 - not an error: the Trial goes on when the command is given again
    """The Trial was asked to stop and can be resumed from its folder."""


class Diverged(Exception):  # noqa: N818 - an outcome of the Recipe, shown as a row with its cause
    """The loss or a weight became NaN or infinite."""
