"""Accuracy against everything that a budget can be made of, and against labelled images, as SVG."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from intelbench.reporting import formatting
from intelbench.reporting.figures.canvas import as_svg, half, look
from intelbench.reporting.figures.plots import band, with_legend
from intelbench.results.efficiency import UNITS, Curve, Unit, curve
from intelbench.results.label_efficiency import LabelStudy
from intelbench.results.summaries import CohortSummary

_AXES: Mapping[Unit, tuple[str, float]] = {
    "steps": ("training step", 1),
    "images": ("training images", 1),
    "seconds": ("training time (s)", 1),
    "flops": ("training TFLOPs", 1e12),
}
"""Label, and how much of the unit is one on the axis."""
_LOG_FACTOR = 10
"""An axis is logarithmic where the longest curve is this many times as long as the shortest."""
_PANEL = 165
_ROW = 215
"""Height of a panel in points, without and with its label."""
_LABEL_PANEL = 250
"""Height in points of the panel of labelled images."""


@as_svg
def budgets(summary: CohortSummary) -> Figure:
    """Draw the mean over the runs, and the range from least to most, by each unit.

    An axis that no architecture has is left out, and on an axis that some do not have those are left out.
    """
    known = {
        unit: {each.index: drawn for each in summary.finished if (drawn := curve(each.runs, unit)) is not None}
        for unit in UNITS
    }
    panels = {unit: curves for unit, curves in known.items() if curves}
    num_rows = (len(panels) + 1) // 2
    figure, below = with_legend(summary.finished, _ROW * num_rows + 12)
    shared: Axes | None = None
    for place, (unit, curves) in enumerate(panels.items()):
        bottom = below + 2 + _ROW * (num_rows - place // 2) - _PANEL
        axes = half(figure, place, bottom, _PANEL, sharey=shared)
        _panel(axes, unit, curves)
        axes.set(xlabel=_AXES[unit][0], ylabel="validation accuracy (%)")
        shared = shared or axes
    return figure


def _panel(axes: Axes, unit: Unit, curves: Mapping[int, Curve]) -> None:
    scale = _AXES[unit][1]
    for index, each in curves.items():
        band(axes, each.spent / scale, 100 * each.accuracy, look(index))
    ends = [each.spent[-1] for each in curves.values()]
    if max(ends) > _LOG_FACTOR * min(ends) and min(each.spent[0] for each in curves.values()) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.significant(value, 1)))
        axes.xaxis.set_minor_formatter(NullFormatter())  # the usual ones write formulas, which stay text here
    else:
        axes.set_xlim(left=0)


@as_svg
def label_curves(study: LabelStudy) -> Figure:
    """Draw a line for each architecture with its 95 % interval, and the target."""
    shown = [curve.architecture for curve in study.curves]
    figure, below = with_legend(shown, _LABEL_PANEL + 66)
    height = _LABEL_PANEL + 66 + below
    axes = figure.add_axes((0.075, (below + 44) / height, 0.9, _LABEL_PANEL / height))
    for each in study.curves:
        drawn = look(each.architecture.index)
        means = 100 * each.correct.mean(axis=(1, 2))
        axes.plot(each.numbers, means, **drawn, ms=4, zorder=3)
        if each.band:
            low, high = (100 * np.asarray(end) for end in each.band)
            axes.fill_between(each.points, low, high, color=drawn["color"], alpha=0.13, linewidth=0, zorder=2)
    if study.target is not None:
        axes.axhline(100 * study.target, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(study.curves[0].numbers.tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: formatting.count(round(number))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="training images of each class", ylabel="test accuracy (%)")
    axes.set_title("Test accuracy by labelled images", loc="left")
    return figure
