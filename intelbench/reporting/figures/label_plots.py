"""Test accuracy against labelled images, as one SVG."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from intelbench.reporting import formatting
from intelbench.reporting.figures.canvas import as_svg, look
from intelbench.reporting.figures.plots import with_legend
from intelbench.results.label_efficiency import LabelStudy

_PANEL = 250
"""Height in points."""


@as_svg
def label_curves(study: LabelStudy) -> Figure:
    """Draw a line for each architecture with its 95 % interval, and the target."""
    shown = [curve.architecture for curve in study.curves]
    figure, below = with_legend(shown, _PANEL + 66)
    height = _PANEL + 66 + below
    axes = figure.add_axes((0.075, (below + 44) / height, 0.9, _PANEL / height))
    for curve in study.curves:
        drawn = look(curve.architecture.index)
        means = 100 * curve.correct.mean(axis=(1, 2))
        axes.plot(curve.numbers, means, **drawn, ms=4, zorder=3)
        if curve.band:
            low, high = (100 * np.asarray(end) for end in curve.band)
            axes.fill_between(curve.points, low, high, color=drawn["color"], alpha=0.13, linewidth=0, zorder=2)
    if study.target is not None:
        axes.axhline(100 * study.target, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(study.curves[0].numbers.tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: formatting.count(round(number))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="training images of each class", ylabel="test accuracy (%)")
    axes.set_title("Test accuracy by labelled images", loc="left")
    return figure
