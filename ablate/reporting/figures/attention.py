"""What a trained model attends to on one image, and its features: an overview, and each picture by itself."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import imsave
from numpy.typing import NDArray

from ablate.reporting.figures.style import BLUE, DOUBLE, GREY, RED, SMALL, label, new_figure

Array = NDArray[np.floating[Any]]
COLUMNS = 6
#: A single picture is enlarged, each place to a square of pixels, until its longer side has so many.
ENLARGED_PX = 448
#: Of attention, from none to the map's largest value; and of weights that may be negative, about zero.
SHARES, SIGNED = "magma", "RdBu_r"
_OPACITY = 0.75
_METADATA: dict[str, Any] = {"Software": None}
#: Below this sum of the weights it is said that some lie on prefix tokens.
_ALL = 0.995
#: Between two pictures, and heights of the words above one, a heading, the title and one more line of it, inches.
_GAP, _WORDS, _HEADING, _TITLE, _LINE = 0.08, 0.3, 0.2, 0.36, 0.13


@dataclass(frozen=True)
class Reading:
    """What one query reads."""

    query: str
    """Whose attention it is."""
    heads: Array
    """The weights with which each head reads the places, (A, rows, columns)."""
    rollout: Array | None
    """(rows, columns)."""


@dataclass(frozen=True)
class Seen:
    """All that is drawn of one image."""

    title: str
    subtitle: str
    image: NDArray[np.uint8]
    """As the model saw it, (H, W) or (H, W, 3)."""
    block: int
    """Whose attention it is, counted from 1."""
    readings: tuple[Reading, ...]
    no_rollout: str
    """Why there is no rollout; empty where there is one."""
    features: tuple[Array, ...]
    """(rows, columns, D) after each block or stage."""
    note: str = ""
    """What else the title has to say of the attention; empty where there is nothing."""
    no_attention: str = ""
    """Why there are no readings though they were asked for; empty where there are some, or were not wanted."""


@dataclass(frozen=True)
class _Picture:
    """One panel: a map to be coloured, or colours as they are."""

    file: str
    title: str
    values: NDArray[Any]
    """(rows, columns) to be coloured; an image has (H, W) uint8 or (H, W, 3)."""
    over: bool = False
    """Whether it is laid over the image."""

    @property
    def coloured(self) -> bool:
        """Whether a colour map says what the values are."""
        return self.values.ndim == 2 and self.values.dtype != np.uint8


def draw(seen: Seen, width: float = DOUBLE) -> Figure:
    """The overview. Call within `paper_style`."""
    sections = list(_sections(seen))
    lines = [math.ceil(len(pictures) / COLUMNS) for _, pictures in sections]
    line = (width / COLUMNS - _GAP) * seen.image.shape[0] / seen.image.shape[1] + _WORDS
    heights = [_HEADING + line * count for count in lines]
    if seen.readings:
        heights.append(2 * _HEADING)
    elif seen.no_attention:
        heights.append(_HEADING)
    title = [label(words, 110) for words in (seen.title, seen.subtitle, seen.note) if words]
    figure = new_figure(width, sum(heights) + _TITLE + (_LINE if seen.note else 0))
    figure.suptitle("\n".join(title), x=0.01, ha="left", fontsize=7.5)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (heading, found), count in zip(parts, sections, lines, strict=False):
        part.suptitle(label(heading, 130), x=0.01, ha="left", fontsize=7, color=GREY)
        _draw_section(part, found, count, seen.image)
    if seen.readings:
        _draw_scales(parts[-1], seen)
    elif seen.no_attention:
        parts[-1].text(0.01, 0.5, label(f"no attention: {seen.no_attention}", 130), va="center", fontsize=SMALL)
    return figure


def pictures(seen: Seen) -> dict[str, bytes]:
    """File name -> PNG of one picture alone, without a frame or words, each place a square of pixels."""
    files = {}
    for _, found in _sections(seen):
        for picture in found:
            if not picture.over:
                files[f"{picture.file}.png"] = _png(picture)
    return files


def principal_colours(features: Array) -> Array:
    """The first three principal components over the places as red, green and blue in [0, 1], (rows, columns, 3).

    Each component is scaled to its own range; the place farthest out along it is bright. A component that does not
    vary is 0.5 everywhere. (Oquab et al., arXiv 2304.07193, figure 1, show features so.)
    """
    rows, columns, _ = features.shape
    flat = features.reshape(rows * columns, -1).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    colours = np.full((rows * columns, 3), 0.5)
    for k in range(min(3, len(sizes))):
        if sizes[k] <= 1e-6 * max(sizes[0], np.abs(flat).max()):  # nothing but rounding
            break
        component = left[:, k] * np.sign(left[np.abs(left[:, k]).argmax(), k])
        colours[:, k] = (component - component.min()) / np.ptp(component)
    return colours.reshape(rows, columns, 3)


def _sections(seen: Seen) -> Iterator[tuple[str, list[_Picture]]]:
    """A heading and its pictures, section by section."""
    first = [_Picture("input", "input", seen.image)]
    for number, reading in enumerate(seen.readings):
        stem = "attention" if len(seen.readings) == 1 else f"attention-{reading.query.replace(' ', '-')}"
        mean = reading.heads.mean(axis=0)
        maps = [_Picture(f"{stem}-mean", "mean over heads", mean), _Picture("", "over the input", mean, over=True)]
        heading = f"{reading.query}: attention of block {seen.block}"
        if mean.min() >= 0 and mean.sum() < _ALL:
            heading += f" ({100 * mean.sum():.0f} % of it on the patches)"
        if reading.rollout is not None:
            heading += f", and rollout of blocks 1 to {seen.block}"
            file = stem.replace("attention", "rollout", 1)
            maps.append(_Picture(file, "rollout", reading.rollout))
            maps.append(_Picture("", "over the input", reading.rollout, over=True))
        yield heading, [*(first if number == 0 else []), *maps]
        heads = [_Picture(f"{stem}-head-{a:02d}", f"head {a}", m) for a, m in enumerate(reading.heads, start=1)]
        yield f"{reading.query}: each head of block {seen.block}", heads
    if seen.features:
        colours = [
            _Picture(f"features-{k:02d}", f"{k} ({f.shape[0]} × {f.shape[1]})", principal_colours(f))
            for k, f in enumerate(seen.features, start=1)
        ]
        heading = "features after each block or stage: the first three principal components as red, green and blue"
        yield heading, [*([] if seen.readings else first), *colours]


def _draw_section(part: SubFigure, pictures: list[_Picture], lines: int, image: NDArray[np.uint8]) -> None:
    grid = part.subplots(lines, COLUMNS, squeeze=False).ravel()
    for axes, picture in zip(grid, pictures, strict=False):
        _draw_picture(axes, picture, image)
    for axes in grid[len(pictures) :]:
        axes.set_visible(False)


def _draw_picture(axes: Axes, picture: _Picture, image: NDArray[np.uint8]) -> None:
    place: dict[str, Any] = {"extent": (0, image.shape[1], image.shape[0], 0), "interpolation": "nearest"}
    if picture.over:
        # In grey, so that all colour is the map's.
        grey = image if image.ndim == 2 else image @ np.array([0.299, 0.587, 0.114])
        axes.imshow(grey, cmap="gray", vmin=0, vmax=255, **place)
        axes.imshow(_tint(picture.values), **place)
    elif picture.coloured:
        low, high, colours = _range(picture.values)
        axes.imshow(picture.values, cmap=colours, vmin=low, vmax=high, **place)
    else:
        axes.imshow(picture.values, cmap="gray", vmin=0, vmax=255, **place)
    title = f"{picture.title}\n{_largest(picture.values)}" if picture.coloured and not picture.over else picture.title
    axes.set_title(title, fontsize=SMALL, pad=2, linespacing=1.05)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GREY, linewidth=0.4)


def _tint(values: Array) -> Array:
    """One colour, the more opaque the larger the value (another where it is negative), (rows, columns, 4)."""
    share = values / (np.abs(values).max() or 1.0)
    above, below = (np.array(to_rgb(colour)) for colour in (RED, BLUE))
    colours = np.where(share[..., None] < 0, below, above)
    return np.concatenate([colours, _OPACITY * np.abs(share)[..., None]], axis=-1)


def _range(values: Array) -> tuple[float, float, str]:
    """Lowest and highest value of the colours, and the colour map."""
    largest = float(np.abs(values).max()) or 1.0
    return (-largest, largest, SIGNED) if values.min() < 0 else (0.0, largest, SHARES)


def _largest(values: Array) -> str:
    """The largest value: shares as a multiple of the map's mean, others as they are."""
    mean = float(values.mean())
    if values.min() < 0:
        return f"±{np.abs(values).max():.2g}"
    return f"largest {values.max() / mean:.1f} × mean" if mean > 0 else "0 everywhere"


def _draw_scales(part: SubFigure, seen: Seen) -> None:
    """What the colours mean, below everything, and why there is no rollout."""
    signed = any(reading.heads.min() < 0 for reading in seen.readings)
    from_0_to_1 = np.linspace(0, 1, 256)[None]
    words = "largest of the map"
    if seen.no_rollout:
        words += f"; no rollout: {label(seen.no_rollout, 120)}"
    coloured = mpl.colormaps[SIGNED if signed else SHARES](from_0_to_1)
    _draw_scale(part, 0.6, coloured, signed, words)
    tint = _tint(2 * from_0_to_1 - 1 if signed else from_0_to_1)
    _draw_scale(part, 0.1, tint, signed, "largest of the map, over the input: the stronger the colour, the more weight")


def _draw_scale(part: SubFigure, bottom: float, colours: Array, signed: bool, words: str) -> None:
    axes = part.add_axes((0.065, bottom, 0.2, 0.25))
    axes.imshow(colours, aspect="auto")
    axes.set_axis_off()
    ends: dict[str, Any] = {"transform": axes.transAxes, "fontsize": SMALL, "va": "center"}
    axes.text(-0.03, 0.5, "−largest" if signed else "0", ha="right", **ends)
    axes.text(1.03, 0.5, words, ha="left", **ends)


def _png(picture: _Picture) -> bytes:
    values = picture.values
    if picture.coloured:
        low, high, colours = _range(values)
        values = mpl.colormaps[colours]((values - low) / (high - low))[..., :3]
    elif values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    times = max(1, ENLARGED_PX // max(values.shape[:2]))
    with io.BytesIO() as stream:
        imsave(stream, values.repeat(times, axis=0).repeat(times, axis=1), format="png", metadata=_METADATA)
        return stream.getvalue()
