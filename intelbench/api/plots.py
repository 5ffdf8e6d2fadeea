"""Plots of results with matplotlib: each draws into the given axes, or into new ones, and returns them."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from intelbench.config.requests import text
from intelbench.errors import UserError, kind_of, one_of, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from intelbench.api.results import Results


class Plots:
    """Plots of the largest cohort of results, or of the one that `cohort` names."""

    def __init__(self, results: "Results") -> None:
        self._results = results

    def accuracy_cost(
        self, cost: str = "step_seconds", *, ax: "Axes | None" = None, cohort: str | None = None
    ) -> "Axes":
        """Plot test accuracy with its 95 % interval against a cost, for each architecture whose cost is known.

        Args:
            cost: A column of `Results.table` with numbers, such as `step_seconds` or `num_parameters`.
            ax: Axes to draw into; `None` creates a figure.
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: the table has no such column of numbers, or no value in it.
        """
        from intelbench.reporting.figures.canvas import look

        cost = text("cost", cost)
        axes, summary, table = _axes(ax), self._results.cohort(cohort), self._results.table()
        costs = [name for name in table if pd.api.types.is_numeric_dtype(table[name])]
        if cost not in costs:
            raise UserError(
                f"cost {shortened(repr(cost))} is no column of numbers in the table. {one_of(cost, map(str, costs))}"
            )
        columns = ["architecture", cost, "test_accuracy", "test_accuracy_low", "test_accuracy_high"]
        shown = table.loc[table["cohort"] == summary.cohort.key, columns].dropna(subset=[cost, "test_accuracy"])
        if shown.empty:
            raise UserError(
                f"cost {cost!r}: no architecture has a value, as after runs that are shorter than the warm-up of the "
                "step time. Try 'num_parameters'"
            )
        looks = {architecture.name: look(architecture.index) for architecture in summary.finished}
        for name, x, *accuracies in shown.itertuples(index=False):
            mean, low, high = (100 * (accuracies[0] if pd.isna(value) else value) for value in accuracies)
            axes.errorbar(
                [x], [mean], yerr=[[mean - low], [high - mean]], label=name,
                **(looks[name] | {"linestyle": "none"}), capsize=2.5,
            )  # fmt: skip
        axes.set(xlabel=cost, ylabel="test accuracy (%)")
        axes.legend()
        return axes

    def confusion(self, architecture: str, *, ax: "Axes | None" = None, cohort: str | None = None) -> "Axes":
        """Plot the confusion matrix of an architecture, as shares of the images of each true class.

        Args:
            architecture: Name of an architecture with a finished run, as `Results.architecture` takes it.
            ax: Axes to draw into; `None` creates a figure.
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: no such architecture or cohort.
        """
        name = self._results.architecture(architecture, cohort).name
        axes, counts = _axes(ax), self._results.confusion(name, cohort)
        shares = counts.div(counts.sum(axis=1), axis=0).fillna(0).to_numpy()  # a class without images has none
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts.to_numpy()):
            color = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
        places = range(len(counts))
        axes.set_xticks(places, [*counts.columns], rotation=45, ha="right")
        axes.set_yticks(places, [*counts.index])
        axes.set(xlabel="predicted class", ylabel="true class", title=name)
        return axes

    def curves(self, name: str = "step_loss", *, ax: "Axes | None" = None, cohort: str | None = None) -> "Axes":
        """Plot an array of the runs by training step: the mean of each architecture, and its range over seeds.

        Args:
            name: An array with one value for each step or evaluation point; see `Results.trace`.
            ax: Axes to draw into; `None` creates a figure.
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: as `Results.trace`.
        """
        from intelbench.reporting.figures.canvas import look

        axes, trace = _axes(ax), self._results.trace(name, cohort).astype({name: float})
        for architecture in self._results.cohort(cohort).finished:
            values = trace[trace["architecture"] == architecture.name].groupby("step")[name]
            mean, style = values.mean(), look(architecture.index)
            axes.plot(mean.index, mean, **(style | {"marker": ""}), label=architecture.name)
            axes.fill_between(mean.index, values.min(), values.max(), color=style["color"], alpha=0.15, linewidth=0)
        axes.set(xlabel="training step", ylabel=name)
        axes.legend()
        return axes


def _axes(ax: "Axes | None") -> "Axes":
    """Return the axes to draw into.

    Raises:
        UserError: the argument is something else, such as the array that `pyplot.subplots(1, 2)` returns.
    """
    from matplotlib import axes, pyplot

    if ax is None:
        return pyplot.subplots()[1]
    if not isinstance(ax, axes.Axes):
        raise UserError(f"ax: {kind_of(ax)} is not accepted. Expected the axes of one plot. Try ax=pyplot.gca()")
    return ax
