"""The look of every figure, and how it becomes bytes: the same bytes for the same numbers, anywhere.

Figures are built without pyplot's global state. Line styles and markers carry the meaning; the colours
(Okabe and Ito's, safe for colour blindness) only help, and differ in lightness when printed in grey.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.patheffects import Normal
from matplotlib.text import Text

from ablate.reporting.escaping import one_line

#: Widths of one and of two columns of a paper, inches.
SINGLE, DOUBLE = 3.3, 6.8
BLACK, GREY, PALE = "#000000", "#666666", "#e9e9e9"
BLUE, RED, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#8a3b74"
#: Colour, dash pattern and marker of the Levels in one panel.
LINES = (
    (BLUE, (0, (5, 1.5)), "o"),
    (RED, (0, (1.2, 1.2)), "s"),
    (GREEN, (0, (5, 1.2, 1.2, 1.2)), "^"),
    (PURPLE, (0, (8, 2, 2, 2, 2, 2)), "D"),
)
SEED_MARKERS = "osD^v<>Ph*"
SMALL = 6.3
_FONT = "DejaVu Sans"
_RC: dict[Any, Any] = {
    "font.family": _FONT,
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.dpi": 200,
    # The layout is measured at 72 dots per inch, where hinted text is narrower than the outlines that are drawn.
    "text.hinting": "none",
    # Names come from study files: a `$` in one is no formula.
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "ablate",
    "pdf.compression": 1,
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Matplotlib's defaults with the style above, whatever the user's matplotlibrc says; restored at the end."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that lays itself out. Call within `paper_style`."""
    # 72 dots per inch, at which SVG and PDF are drawn: text that is laid out at another size is a little wider there.
    return Figure(figsize=(width, height), dpi=72, layout="constrained")


def lay_out(figure: Figure) -> Figure:
    """The same figure with everything in its place for good: to be drawn several times, but laid out once."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    return figure


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG: text as outlines, no date, identifiers that depend on the content alone."""
    with io.BytesIO() as stream:
        # Not `print_figure`, which draws everything twice, the first time for a layout that is done.
        FigureCanvasSVG(lay_out(figure)).print_svg(  # type: ignore[no-untyped-call]
            stream, metadata={"Date": None, "Creator": None}
        )
        return stream.getvalue()


def to_pdf(figure: Figure) -> bytes:
    """The figure as PDF for a paper: text as outlines, no date and no version.

    Outlines, because journals refuse the Type 3 fonts that matplotlib embeds, and its TrueType subsets take longer
    than all the rest of a figure.
    """
    for text in figure.findobj(Text):
        text.set_path_effects([Normal()])
    with io.BytesIO() as stream:
        nothing = {"Creator": None, "Producer": None, "CreationDate": None}
        FigureCanvasPdf(lay_out(figure)).print_pdf(stream, metadata=nothing)  # type: ignore[no-untyped-call]
        return stream.getvalue()


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, 200 dots per inch, without a note of the program's version."""
    with io.BytesIO() as stream:
        FigureCanvasAgg(lay_out(figure)).print_figure(stream, format="png", metadata={"Software": None})
        return stream.getvalue()


@lru_cache(maxsize=1)
def _drawable() -> frozenset[int]:
    return frozenset(FT2Font(font_manager.findfont(_FONT)).get_charmap())


def label(text: str, longest: int = 40) -> str:
    """`text` for a figure: one line, cut in the middle to `longest`, a box for what the font cannot draw."""
    line = "".join(c if ord(c) in _drawable() else "□" for c in one_line(text))
    if len(line) <= longest:
        return line
    keep = longest - 1
    return line[: keep - keep // 2] + "…" + line[len(line) - keep // 2 :]


def row_label(text: str, width: float) -> str:
    """`text` beside a row: one line at the width of two columns, otherwise up to two."""
    return label(text, 42) if width >= DOUBLE else folded(text, 23)


def folded(text: str, longest: int) -> str:
    """`text` in one line of at most `longest` characters, or in two, of which the second may lose its middle.

    Broken where a name is joined, rather at a blank or `+` than at a dash or `=`; inside a word only where it has
    neither.
    """
    line = label(text, len(text) + 1)
    if len(line) <= longest:
        return line
    strong, weak = ([i + 1 for i, c in enumerate(line[:longest]) if c in joints] for joints in ("+ ,;/", "-_=:."))
    enough = [[cut for cut in cuts if len(line) - cut <= longest] for cuts in (strong, weak)]
    cut = max(next((cuts for cuts in (*enough, strong, weak) if cuts), [longest]))
    return line[:cut].rstrip() + "\n" + label(line[cut:], longest)
