"""How steadily a network trains and predicts: pure functions on arrays.

Shapes: S steps, E evaluation points, N images, n seeds. A value that cannot be computed is `None`, never NaN or 0.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

SPIKE_DEVIATIONS = 7.0
"""A loss is a spike if it is more than this number of standard deviations above the mean of the previous steps."""
SPIKE_WINDOW = 20
"""Number of previous steps for mean and deviation."""
VARIANCE_WINDOW = 20
"""Number of last steps for `relative_variance`."""


@dataclass(frozen=True)
class Churn:
    """Shares of images whose prediction changed from one set of predictions to the next, by kind of change.

    After Milani Fard et al., Launch and Iterate: Reducing Prediction Churn (2016).
    """

    wins: float
    """Changes from wrong to right."""
    losses: float
    """Changes from right to wrong."""
    neutral: float
    """Changes from one wrong class to another."""
    unnecessary: float
    """Changes that do not change the accuracy: wins and losses that cancel, and neutral changes."""

    @property
    def total(self) -> float:
        """Return the share of all changed predictions."""
        return self.wins + self.losses + self.neutral


def mean_churn(churns: Sequence[Churn | None]) -> Churn | None:
    """Return the mean of the churns that are not `None`; `None` if there are none."""
    parts = [astuple(churn) for churn in churns if churn is not None]
    return Churn(*np.mean(parts, axis=0).tolist()) if parts else None


def churn_between_evaluations(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> Churn | None:
    """Return the mean churn from one evaluation point to the next (predictions: E x N)."""
    if len(predictions) < 2 or len(labels) == 0:
        return None
    right, changed = predictions == labels, predictions[1:] != predictions[:-1]
    before, after = right[:-1], right[1:]
    wins, losses, neutral = (
        np.count_nonzero(kind, axis=1) / len(labels)
        for kind in (after & ~before, before & ~after, changed & ~before & ~after)
    )
    parts = np.stack((wins, losses, neutral, 2 * np.minimum(wins, losses) + neutral), axis=1)
    return Churn(*(np.add.reduce(parts) / len(parts)).tolist())


def churn_between_seeds(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> Churn | None:
    """Return the mean churn over all ordered pairs of n runs (n x N), so wins and losses are equal.

    It is computed from the number of runs that predict each class of an image, in n steps instead of n squared.
    """
    num_runs = len(predictions)
    if num_runs < 2 or len(labels) == 0:
        return None
    right = predictions == labels
    votes = (np.count_nonzero(predictions == label, axis=0) for label in np.unique(predictions))
    by_image, by_run = np.count_nonzero(right, axis=0), np.sort(np.count_nonzero(right, axis=1))
    # whole numbers, so that what never changes is exactly 0
    pairs = num_runs * (num_runs - 1) * len(labels)
    changed = pairs - sum(int((num_votes * (num_votes - 1)).sum()) for num_votes in votes)
    wins = int((by_image * (num_runs - by_image)).sum())
    required = 2 * int(by_run @ (2 * np.arange(num_runs) - num_runs + 1))
    return Churn(wins / pairs, wins / pairs, (changed - 2 * wins) / pairs, unnecessary=(changed - required) / pairs)


def relative_variance(loss: NDArray[np.floating]) -> float | None:
    """Return the variance of the logarithm of the loss around a straight line, over the last `VARIANCE_WINDOW` steps.

    It is near the squared coefficient of variation, so it depends neither on the level of the loss nor on how long a
    run is. The least-squares line removes the progress and uses two degrees of freedom. Returns `None` for fewer steps
    than the window, and for a loss that is not positive.
    """
    last = np.asarray(loss[-VARIANCE_WINDOW:], dtype=np.float64)
    if len(last) < VARIANCE_WINDOW or not (last > 0).all():
        return None
    logs, step = np.log(last), np.arange(VARIANCE_WINDOW) - (VARIANCE_WINDOW - 1) / 2
    residuals = logs - logs.mean() - step * (step @ logs) / (step @ step)
    return float(residuals @ residuals / (VARIANCE_WINDOW - 2))


def spike_score(loss: NDArray[np.floating]) -> float | None:
    """Return the share of steps whose loss is a spike: far above the mean of the previous `SPIKE_WINDOW` steps.

    After OLMo 2 (2024), which has a window of 1,000 steps and also counts losses far below the mean. Returns `None` for
    S up to `SPIKE_WINDOW`.
    """
    values = np.asarray(loss, dtype=np.float64)
    if len(values) <= SPIKE_WINDOW:
        return None
    start = np.arange(len(values) - SPIKE_WINDOW)
    before = values[start + np.arange(SPIKE_WINDOW)[:, None]]  # SPIKE_WINDOW x (S - SPIKE_WINDOW)
    mean = np.add.reduce(before) / SPIKE_WINDOW
    from_mean = before - mean
    deviation = np.sqrt(np.add.reduce(from_mean * from_mean) / (SPIKE_WINDOW - 1))
    return int(np.count_nonzero(values[SPIKE_WINDOW:] > mean + SPIKE_DEVIATIONS * deviation)) / len(start)
