"""Names beside points, where there is room for them: none covers a point, another name, or the edge of the panel, and
none stands nearer to another point than to its own.

Each stands as near to its point as it can; one that had to go farther has a thin line to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from ablate.reporting.figures.style import GREY, SMALL

#: Boxes are (left, bottom, right, top), px.
_Box = NDArray[np.float64]
#: Half of a marker and the air around it, and the distances from point to name that are tried, points.
_MARKER, _AWAY = 2.8, (4.0, 8.0, 13.0, 19.0)
#: To stand farther away is as bad as to cover so many lines.
_A_RING = 1.5
#: What it costs to stand where a name may not, more than any place that it may have.
_NOT_FREE = 1000.0
#: Where a name stands as seen from its point, the best place first.
_SIDES = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))


class Labels:
    """The names in one panel, whose layout is done and whose limits are set."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        figure = axes.get_figure(root=True)
        assert figure is not None
        FigureCanvasAgg(figure)  # what can measure text
        self._points = figure.dpi / 72
        box = axes.get_window_extent()
        self._room = np.array([box.x0, box.y0, box.x1 + 6 * self._points, box.y1 + 6 * self._points])
        self._taken = np.empty((0, 4))
        self._centres = np.empty((0, 2))
        self._better_free = np.empty((0, 4))

    def keep_free(self, x: Iterable[float], y: Iterable[float]) -> None:
        """No name may cover these points."""
        centres, half = self._pixels(x, y), _MARKER * self._points
        self._taken = np.vstack([self._taken, np.hstack([centres - half, centres + half])])
        self._centres = np.vstack([self._centres, centres])

    def avoid(self, x: Iterable[float], y: Iterable[float], other_x: Iterable[float], other_y: Iterable[float]) -> None:
        """Names stand beside these upright or level lines where they can; NaN is no line."""
        ends = np.stack([self._pixels(x, y), self._pixels(other_x, other_y)])
        boxes = np.hstack([ends.min(axis=0), ends.max(axis=0)])
        self._better_free = np.vstack([self._better_free, boxes[np.isfinite(boxes).all(axis=1)]])

    def place(self, text: str, x: float, y: float, colour: str, *, always: bool = False) -> bool:
        """Write a name beside its point; whether there was room for it.

        With ``always`` it is written in any case, where it covers least, and a line leads to its point.
        """
        look: dict[str, Any] = {"fontsize": SMALL, "color": colour, "zorder": 4, "annotation_clip": False}
        shown = self._axes.annotate(text, (x, y), (0, 0), textcoords="offset points", **look)
        shown.set_in_layout(False)
        extent = shown.get_window_extent()
        best: tuple[float, _Box, tuple[float, float], float] | None = None
        for ring, away in enumerate(_AWAY):
            for side in _SIDES:
                box, offset = self._box(x, y, (extent.width, extent.height), side, away)
                cost = _A_RING * ring + int(_overlaps(box, self._better_free).sum())
                free = self._is_free(box) and not self._is_astray(box, x, y)
                if always and not free:
                    cost += _NOT_FREE * (1 + int(_overlaps(box, self._taken).sum()) + 2 * (not self._is_inside(box)))
                if (best is None or cost < best[0]) and (free or always):
                    best = cost, box, offset, away
        shown.remove()
        if best is None:
            return False
        _, box, (right, up), away = best
        self._taken = np.vstack([self._taken, box])
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0.5, "shrinkB": _MARKER}
        place = right / self._points, up / self._points
        arrow = line if away > _AWAY[0] or best[0] >= _NOT_FREE else None
        shown = self._axes.annotate(text, (x, y), place, textcoords="offset points", arrowprops=arrow, **look)
        shown.set_in_layout(False)
        return True

    def _box(
        self, x: float, y: float, size: tuple[float, float], side: tuple[int, int], away: float
    ) -> tuple[_Box, tuple[float, float]]:
        """Where a name would stand, and its lower left corner as seen from the point, px."""
        across, up = side
        distance = away * self._points * (0.75 if across and up else 1.0)
        left = across * distance - (0 if across > 0 else size[0] if across < 0 else size[0] / 2)
        bottom = up * distance - (0 if up > 0 else size[1] if up < 0 else size[1] / 2)
        [centre] = self._pixels([x], [y])
        corner = centre + np.array([left, bottom])
        return np.hstack([corner, corner + np.array(size)]), (left, bottom)

    def _is_astray(self, box: _Box, x: float, y: float) -> bool:
        """Whether the name would stand about as near to another point as to its own."""
        [own] = self._pixels([x], [y])
        others = self._centres[np.abs(self._centres - own).max(axis=1) > 1]
        return bool(_distances(box, others).min(initial=np.inf) < 1.3 * _distances(box, own[None])[0])

    def _is_free(self, box: _Box) -> bool:
        return self._is_inside(box) and not _overlaps(box, self._taken).any()

    def _is_inside(self, box: _Box) -> bool:
        return bool((box[:2] >= self._room[:2]).all() and (box[2:] <= self._room[2:]).all())

    def _pixels(self, x: Iterable[float], y: Iterable[float]) -> NDArray[np.float64]:
        points: Any = np.column_stack([np.asarray(list(x), dtype=float), np.asarray(list(y), dtype=float)])
        return np.asarray(self._axes.transData.transform(points), dtype=float).reshape(-1, 2)


def _overlaps(box: _Box, others: _Box) -> NDArray[np.bool_]:
    return np.asarray(((box[:2] < others[:, 2:]) & (others[:, :2] < box[2:])).all(axis=1))


def _distances(box: _Box, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """From a box to each point, px."""
    away = np.maximum(np.maximum(box[:2] - points, points - box[2:]), 0.0)
    return np.asarray(np.hypot(away[:, 0], away[:, 1]))
