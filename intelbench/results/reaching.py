"""When runs reach a validation accuracy: between two evaluation points, on a straight line.

Evaluation points are at shares of the budget, so under a budget in seconds a faster network is evaluated at later
steps. Without the line it would seem to need more steps than an equal network.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from intelbench.results.runs import RunSummary

Values = NDArray[np.float64]


def spent_until(spent: Values, accuracy: Values, targets: Sequence[float]) -> Values:
    """Return what was spent when accuracy first reached each target, given both at the evaluation points of a run.

    Infinite where the target was not reached. Where it was reached at the first evaluation point, what had been spent
    there is an upper bound.
    """
    values = np.full(len(targets), np.inf)
    for index, target in enumerate(targets):
        reached = np.flatnonzero(accuracy >= target)[:1]
        if len(reached):  # the straight line from the point before, if there is one
            part = slice(max(int(reached[0]) - 1, 0), int(reached[0]) + 1)
            values[index] = np.interp(target, accuracy[part], spent[part])
    return values


def steps_to_accuracy(run: RunSummary, accuracy: float) -> float:
    """Return the steps to a validation accuracy: infinite where it was not reached, -infinite before the first point.

    Before the first evaluation point nothing is known but that the accuracy was reached.
    """
    if len(run.evaluation_accuracy) and run.evaluation_accuracy[0] >= accuracy:
        return -np.inf
    return float(spent_until(run.evaluation_step, run.evaluation_accuracy, [accuracy])[0])


def points_decide(first: Sequence[RunSummary], second: Sequence[RunSummary], accuracy: float) -> bool:
    """Return whether the evaluation points may decide which of two architectures needs fewer steps to an accuracy.

    They may where runs of a seed were evaluated at different steps, and the mean difference in steps is smaller than
    the distance of the evaluation points around the accuracy. Where a run reached the accuracy before its first
    evaluation point or not at all, the order within each seed must be certain.
    """
    if all(np.array_equal(a.evaluation_step, b.evaluation_step) for a, b in zip(first, second, strict=True)):
        return False
    around = np.array([[_around(run, accuracy) for run in runs] for runs in (first, second)])  # 2 x n x 2
    steps = np.array([[steps_to_accuracy(run, accuracy) for run in runs] for runs in (first, second)])
    if not np.isfinite(steps).all():
        later = (around[0, :, 0] >= around[1, :, 1]) | (around[1, :, 0] >= around[0, :, 1])
        return not later.all()
    return bool(abs(np.diff(steps.mean(axis=1))[0]) < np.diff(around, axis=2).max())


def _around(run: RunSummary, accuracy: float) -> tuple[float, float]:
    """Return the steps of the evaluation points before and after a run reached an accuracy."""
    reached = int(np.maximum.accumulate(run.evaluation_accuracy).searchsorted(accuracy))
    steps = [0.0, *run.evaluation_step.tolist(), np.inf]
    return steps[reached], steps[reached + 1]
