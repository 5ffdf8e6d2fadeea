"""The pictures of docs/statistics.md, drawn from simulated studies: `python -m tests.statistics.pictures`."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.statistics.worlds import World

FOLDER = Path(__file__).parents[2] / "docs" / "figures"
_INK, _GREY, _ORANGE = "#1f4e79", "#8a8a8a", "#d95f02"
_WORLD = World("seeds vary by 1.3 points", (0.056,))
_STUDIES = 40


def draw_chance(axes: Axes) -> None:
    """Draw the lead of one architecture over an equal one, in studies with one seed and with five seeds."""
    random = np.random.default_rng(4)
    for row, (num_seeds, colour) in enumerate(((1, _ORANGE), (5, _INK))):
        studies = [_WORLD.study(random, 2, num_seeds).mean(axis=(1, 2)) for _ in range(_STUDIES)]
        leads = [100 * (first - second) for first, second in studies]
        axes.scatter(leads, np.full(len(leads), -row), color=colour, s=40, alpha=0.5, edgecolor="none")
    axes.axvline(0, color=_GREY, linewidth=1)
    axes.set_yticks([0, -1], ["1 seed", "5 seeds"])
    axes.set_ylim(-1.6, 0.6)
    axes.set_xlabel("Lead in test accuracy (points); the two architectures are equally good")


def draw_answers(axes: Axes) -> None:
    """Draw the intervals of four differences against a margin of one point on either side of 0."""
    examples = (("better", 2.6, 1.5), ("worse", -2.3, 1.4), ("equivalent", 0.1, 0.7), ("undecided", 0.9, 2.4))
    axes.axvspan(-1, 1, color=_ORANGE, alpha=0.15, linewidth=0)
    axes.axvline(0, color=_GREY, linewidth=1)
    for row, (_, mean, half) in enumerate(examples):
        axes.errorbar(mean, -row, xerr=half, fmt="o", color=_INK, capsize=4)
    axes.set_yticks([-row for row in range(len(examples))], [name for name, *_ in examples])
    axes.set_ylim(-3.6, 0.6)
    axes.set_xlabel("Difference in test accuracy (points), 95 % interval; shaded: the margin of 1 point")


def main() -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in (("chance", draw_chance), ("answers", draw_answers)):
        figure = Figure(figsize=(7, 2.4), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        draw(axes)
        figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
