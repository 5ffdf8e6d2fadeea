"""What all figures share: one style, one look for each architecture, and SVG that is the same each time."""

import io
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intelbench.reporting.formatting import printable, shortened

Arguments = ParamSpec("Arguments")
MAX_NAME = 28
WIDTH = 720.0
"""Points; as wide as a page on GitHub."""

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva", "Arial", "sans-serif"],  # the first ships with matplotlib
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "figure.dpi": 72,  # one pixel is one typographic point
    "savefig.dpi": 150,  # of images inside the SVG
    "svg.fonttype": "none",
    "svg.hashsalt": "intelbench",
    "text.parse_math": False,  # a class may be called $x_1$
}
_OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")


def look(index: int) -> dict[str, Any]:
    """Return how the architecture at that place is drawn in every figure, as arguments of matplotlib.

    It is recognised by colour and, without colour, by line and marker; 7, 4 and 10 in step give 140 different ones.
    """
    return {
        "color": _OKABE_ITO[index % len(_OKABE_ITO)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "marker": _MARKERS[index % len(_MARKERS)],
    }


def label(name: str) -> str:
    """Return a name as a figure can show it."""
    return shortened(printable(name), MAX_NAME)


def blank(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of that size in points."""
    return Figure(figsize=(width / 72, height / 72))


def half(figure: Figure, place: int, bottom: float, height: float, **settings: Any) -> Axes:
    """Add axes to the left (0) or right (1) half of a figure, with `bottom` and `height` in points."""
    whole = 72 * figure.get_figheight()
    return figure.add_axes((0.065 + 0.5 * (place % 2), bottom / whole, 0.42, height / whole), **settings)


def as_svg(draw: Callable[Arguments, Figure]) -> Callable[Arguments, bytes]:
    """Decorate a function that draws a figure, so that it returns SVG in the style of the report.

    The user's own settings have no influence, and stay as they were. The SVG has neither the date nor the version of
    the library that drew it.
    """

    @wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> bytes:
        with mpl.rc_context(), warnings.catch_warnings():
            # Only the layout uses the fonts found here; the glyphs are the reader's fonts, since text stays text.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
            mpl.rcdefaults()
            mpl.rcParams.update(_STYLE)
            file = io.BytesIO()
            draw(*args, **kwargs).savefig(file, format="svg", metadata={"Date": None, "Creator": "intelbench"})
            return file.getvalue()

    return drawn
