"""Figures as SVG: text stays text, the same numbers give the same bytes, and nothing global is left changed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.figures.canvas import WIDTH, as_svg, blank, half, label, look
from intelbench.reporting.figures.labels import Box, place, text_width
from intelbench.results import usage
from intelbench.results.metrics import METRICS
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.results.usage import PART_NAMES
from intelbench.statistics.calibration import pooled_curve
from intelbench.statistics.estimates import Estimate

MAX_ANNOTATED_CLASSES = 20
_MAX_TICK_LABELS = 40
_MAX_SIDE = 800.0
"""Points of a confusion matrix, however many classes it has: its picture takes time and memory with their square."""
_MAX_NAMED_POINTS = 10
_TIMES = {"step_seconds": "median step time (ms)", "extraction_seconds": "extraction of features (ms an image)"}
_GRID_POINTS = 200
_SHADES = "Blues"
_SMALL = 7.5
_PART_COLORS = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#999999")
_PART_HATCHES = ("//", "..", "", "", "\\\\", "")


@as_svg
def confusion(architecture: ArchitectureSummary, class_names: Sequence[str]) -> Figure:
    """Draw the confusion matrix of the test images, summed over the runs; each row is one true class."""
    counts = architecture.confusion
    assert counts is not None
    names = [label(name) for name in class_names]
    widest = max(text_width(name, 8) for name in names)
    cell = 50.0 if len(names) <= 8 else 42.0 if len(names) <= MAX_ANNOTATED_CLASSES else max(420 / len(names), 4.0)
    cell = min(cell, _MAX_SIDE / len(names))
    rotated = widest > cell - 3
    left, side, below = widest + 30, cell * len(names), (widest if rotated else 10.0) + 28
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    title = f"{label(architecture.name)}: test images by class"
    runs, images = len(architecture.runs), int(counts.sum()) // len(architecture.runs)
    note = f"{plural(runs, 'run')} × {plural(images, 'image')}; each row sums to 100 %"
    width = max(left + side + 12, text_width(title, 10) + 45, text_width(note, 8) + 20)
    height = below + side + 40
    figure = blank(height, width)
    axes = figure.add_axes((left / width, below / height, side / width, side / height))
    figure.text(10 / width, 1 - 15 / height, title, fontsize=10, weight="bold")
    figure.text(10 / width, 1 - 29 / height, note, fontsize=8, color="#444444")
    if len(names) <= MAX_ANNOTATED_CLASSES:
        axes.pcolormesh(shares, cmap=_SHADES, vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
        axes.invert_yaxis()
        _annotate(axes, counts, shares)
    else:
        extent = (0, len(names), len(names), 0)
        axes.imshow(shares, cmap=_SHADES, vmin=0, vmax=1, interpolation="nearest", aspect="auto", extent=extent)
    _class_axes(axes, names, rotated)
    return figure


@as_svg
def curves(summary: CohortSummary) -> Figure:
    """Draw the training loss by step and by time: mean over the runs, and the range from least to most."""
    window = summary.smoothing_window
    smoothing = f", moving mean of {window} steps" if window > 1 else ""
    figure, below = with_legend(summary.finished, 290)
    first: Axes | None = None
    for position, x_label in enumerate(("training step", "training time (s)")):
        axes = half(figure, position, below + 46, 220, sharey=first)
        for architecture in summary.finished:
            x, losses = _loss_curves(architecture.runs, window, by_time=position == 1)
            band(axes, x, losses, look(architecture.index) | {"marker": ""})
        axes.set(xlabel=x_label, ylabel="loss")
        axes.set_xlim(left=0)
        first = first or axes
    assert first is not None
    first.set_title(f"Training loss{smoothing}", loc="left")
    return figure


@as_svg
def cost(summary: CohortSummary) -> Figure:
    """Draw the metric that ranks against what it costs, a panel for each of the cohort's `cost_panels`."""
    metric = METRICS.get(summary.ranking.metric)
    reached = {a.name: estimate for a in summary.finished if (estimate := metric.of(a)) is not None}
    costly = {name for values in summary.cost_panels.values() for name in values}
    shown = [a for a in summary.finished if a.name in costly and a.name in reached]
    is_share = metric.unit == "share"
    y_label = f"{metric.noun} (%)" if is_share else f"{metric.noun}{' (nats)' if metric.unit == 'nats' else ''}"
    numbered = len(shown) > _MAX_NAMED_POINTS
    figure, below = with_legend(shown, 284, numbered) if numbered else (blank(280), -4)
    for position, (field, values) in enumerate(summary.cost_panels.items()):
        axes = half(figure, position, below + 48, 220)
        points = [(a, values[a.name], reached[a.name]) for a in shown if a.name in values]
        if points:
            _cost_panel(axes, points, is_share, numbered)
        x_label = _TIMES.get(field) or f"peak {formatting.MEMORY_NAMES[field]} (MiB)"
        axes.set(xlabel=x_label, ylabel=label(y_label))
    return figure


@as_svg
def reliability(summary: CohortSummary) -> Figure:
    """Draw accuracy against confidence on the test images, all runs together."""
    shown = [a for a in summary.finished if any(run.reliability for run in a.runs)]
    figure, below = with_legend(shown, 300)
    height, side = 300 + below, 230
    axes = figure.add_axes(((WIDTH - side) / 2 / WIDTH, (below + 46) / height, side / WIDTH, side / height))
    axes.plot((0, 100), (0, 100), color="#999999", linewidth=0.8, zorder=1)
    for architecture in shown:
        confidence, accuracy = pooled_curve([run.reliability for run in architecture.runs if run.reliability])
        axes.plot(100 * confidence, 100 * accuracy, **look(architecture.index), ms=4)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence (%)", ylabel="accuracy (%)")
    axes.set_title("Above the line: less sure than right", loc="left")
    return figure


@as_svg
def step_breakdown(summary: CohortSummary) -> Figure:
    """Draw a bar for each architecture, as long as the median parts of its step."""
    records = list(usage.step_breakdown(summary))
    names = [label(row["architecture"]) for row in records]
    left, height = max(text_width(name, 8) for name in names) + 14, 24.0 * len(records)
    whole = height + 74
    figure = blank(whole)
    axes = figure.add_axes((left / WIDTH, 58 / whole, (WIDTH - left - 16) / WIDTH, height / whole))
    start = np.zeros(len(records))
    for (part, heading), color, hatch in zip(PART_NAMES.items(), _PART_COLORS, _PART_HATCHES, strict=True):
        lengths = np.array([1000 * (row[f"{part}_seconds"] or 0.0) for row in records])
        name = heading.lower()
        axes.barh(names, lengths, 0.68, start, color=color, hatch=hatch, edgecolor="white", linewidth=0.5, label=name)
        start += lengths
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    axes.set(xlabel="milliseconds")
    axes.set_title("A training step, by median parts", loc="left")
    figure.legend(loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=len(PART_NAMES), frameon=False)
    return figure


def _cost_panel(
    axes: Axes, points: Sequence[tuple[ArchitectureSummary, float, Estimate]], is_share: bool, numbered: bool
) -> None:
    """Draw costs and values with their intervals, each with its name or number next to it; shares in percent."""
    places: list[tuple[float, float, float, float]] = []
    scale = 100 if is_share else 1
    for architecture, x, estimate in points:
        y = scale * estimate.mean
        low = y if estimate.low is None else scale * estimate.low
        high = y if estimate.high is None else scale * estimate.high
        drawn = look(architecture.index)
        if high > low:
            bars = [[y - low], [high - y]]
            axes.errorbar([x], [y], yerr=bars, color=drawn["color"], linewidth=1, capsize=2.5, capthick=1, zorder=2)
        axes.plot([x], [y], **(drawn | {"linestyle": "none"}), markersize=6, zorder=3)
        places.append((x, y, low, high))
    axes.margins(0.12, 0.12)
    if is_share:
        axes.set_ylim(max(axes.get_ylim()[0], -3), min(axes.get_ylim()[1], 106))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    widest = max(x for x, *_ in places)
    if widest > 10 * min(x for x, *_ in places) > 0:
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, 1.15 * widest if widest > 0 else 1)
    names = [str(each.index + 1) if numbered else label(each.name) for each, _, _ in points]
    _name_points(axes, names, places)


def _name_points(axes: Axes, names: Sequence[str], places: Sequence[tuple[float, float, float, float]]) -> None:
    """Write names where they cover no point, interval or other name; a thin line leads to those farther away."""
    to_page, to_data = axes.transData, axes.transData.inverted()
    centres = to_page.transform([(x, y) for x, y, _, _ in places]).tolist()
    obstacles = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in centres]
    for x, _, low, high in places:
        (left, bottom), (_, top) = to_page.transform([(x, low), (x, high)]).tolist()
        obstacles.append(Box(left - 2.5, bottom, left + 2.5, top))
    frame = axes.get_window_extent()
    area = Box(frame.x0 + 2, frame.y0 + 2, frame.x1 + 4, frame.y1 + 8)
    boxes = place([(x, y) for x, y in centres], names, obstacles, area, _SMALL)
    for name, (x, y), box in zip(names, centres, boxes, strict=True):
        if box is None:
            continue
        nearest = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        if math.dist(nearest, (x, y)) > 12:
            ends = to_data.transform([(x, y), nearest])
            axes.add_line(Line2D(ends[:, 0], ends[:, 1], color="#999999", linewidth=0.6, zorder=1))
        left, middle = to_data.transform((box.left, (box.bottom + box.top) / 2))
        axes.text(left, middle, name, fontsize=_SMALL, verticalalignment="center")


def with_legend(
    architectures: Sequence[ArchitectureSummary], height: float, numbered: bool = False
) -> tuple[Figure, float]:
    """Return a figure with `height` points above a legend, and the height of the legend.

    The legend shows markers, and lines where the figure draws lines.
    """
    handles = []
    for architecture in sorted(architectures, key=lambda architecture: architecture.index):
        drawn, name = look(architecture.index), label(architecture.name)
        if numbered:
            drawn, name = drawn | {"linestyle": "none"}, f"{architecture.index + 1}  {name}"
        handles.append(Line2D([], [], **drawn, markersize=4, label=name))
    widest = max(text_width(str(handle.get_label()), 8) for handle in handles)
    columns = max(1, min(len(handles), int(WIDTH // (widest + 50))))
    below = 13 * math.ceil(len(handles) / columns)
    figure = blank(height + below)
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, handlelength=3.2)
    return figure, below


def _class_axes(axes: Axes, names: Sequence[str], rotated: bool) -> None:
    """Write the names of the classes on both axes, every k-th where there are too many to read."""
    ticks = list(range(0, len(names), math.ceil(len(names) / _MAX_TICK_LABELS)))
    shown = [names[tick] for tick in ticks]
    middles = [tick + 0.5 for tick in ticks]
    axes.set_xticks(middles, shown, rotation=90 if rotated else 0, fontsize=8)
    axes.set_yticks(middles, shown, fontsize=8)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.set(xlabel="predicted class", ylabel="true class")


def _annotate(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Write share and count in each cell that holds an image, in black or white, whichever stands out more."""
    shade = colormaps[_SHADES]
    for row, column in np.argwhere(counts).tolist():
        share = float(shares[row, column])
        linear = [(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in shade(share)[:3]]
        luminance = np.dot((0.2126, 0.7152, 0.0722), linear)  # WCAG 2: at 0.18 both have the same contrast
        text = f"{formatting.percent(share, 0)}\n{formatting.count(counts[row, column])}"
        color = "white" if luminance < 0.18 else "black"
        axes.text(
            column + 0.5, row + 0.5, text, color=color, fontsize=_SMALL, ha="center", va="center", linespacing=1.25
        )


def _loss_curves(
    runs: Sequence[RunSummary], window: int, by_time: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the moving mean of the training loss: x (P) and one row for each run (runs x P)."""
    kernel = np.ones(window) / window
    smooth = [np.convolve(run.step_loss, kernel, mode="valid") for run in runs]
    if not by_time:
        length = min(len(loss) for loss in smooth)
        return np.arange(window, window + length, dtype=np.float64), np.array([loss[:length] for loss in smooth])
    seconds = [np.cumsum(run.total_seconds)[window - 1 :] for run in runs]
    x = np.linspace(max(elapsed[0] for elapsed in seconds), min(elapsed[-1] for elapsed in seconds), _GRID_POINTS)
    return x, np.array([np.interp(x, elapsed, loss) for elapsed, loss in zip(seconds, smooth, strict=True)])


def band(axes: Axes, x: NDArray[np.float64], values: NDArray[np.float64], style: dict[str, Any]) -> None:
    """Draw the mean over the runs as a line, and least to most as a band behind it."""
    axes.plot(x, values.mean(axis=0), **style, markersize=4, zorder=3)
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(x, low, high, color=style["color"], alpha=0.13, linewidth=0, zorder=2)
