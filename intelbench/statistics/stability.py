"""How steadily a network trains and predicts: pure functions on arrays.

Shapes: S steps, E evaluation points, N images, n seeds. What cannot be computed is `None`, never NaN or 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPIKE_DEVIATIONS = 7.0
"""Standard deviations above the mean of the previous steps from which on a loss is a spike."""
SPIKE_WINDOW = 20
"""Number of previous steps for mean and deviation."""


@dataclass(frozen=True)
class Churn:
    """Share of the same images whose prediction changed from one set of predictions to another.

    After Milani Fard et al., Launch and Iterate: Reducing Prediction Churn (2016).
    """

    wins: float
    """From wrong to right."""
    losses: float
    """From right to wrong."""
    neutral: float
    """From wrong to wrong otherwise."""
    unnecessary: float
    """Changes beyond the difference in accuracy: wins and losses that cancel, and neutral changes."""

    @property
    def total(self) -> float:
        """Return the share of all changed predictions."""
        return self.wins + self.losses + self.neutral


@dataclass(frozen=True)
class Stability:
    """How steadily a run trained, and predicted the validation images from one evaluation point to the next."""

    spike_score: float | None
    """Share of training steps whose loss was a spike."""
    accuracy_swing: float | None
    """Mean absolute change of validation accuracy between evaluation points."""
    churn: Churn | None
    """Mean over the steps from one evaluation point to the next."""
    forgetting_events: float | None
    """By image."""


def stability(
    step_loss: NDArray[np.floating], labels: NDArray[np.integer], predictions: NDArray[np.integer]
) -> Stability:
    """Of a run with S losses and the predictions of N validation images at E evaluation points (E x N)."""
    return Stability(
        spike_score=spike_score(step_loss),
        accuracy_swing=accuracy_swing(labels, predictions),
        churn=churn_between_evaluations(labels, predictions),
        forgetting_events=forgetting_events(labels, predictions),
    )


def churn(labels: NDArray[np.integer], before: NDArray[np.integer], after: NDArray[np.integer]) -> Churn | None:
    """Churn between two sets of N predictions; `None` without images."""
    if len(labels) == 0:
        return None
    right_before, right_after, changed = before == labels, after == labels, before != after
    wins, losses, neutral = (
        float(np.mean(share))
        for share in (~right_before & right_after, right_before & ~right_after, ~right_before & ~right_after & changed)
    )
    return Churn(wins, losses, neutral, unnecessary=2 * min(wins, losses) + neutral)


def mean_churn(churns: Sequence[Churn | None]) -> Churn | None:
    """Return the mean, part by part, of the churns that are not `None`; `None` without any."""
    known = [churn for churn in churns if churn is not None]
    if not known:
        return None
    parts = [(each.wins, each.losses, each.neutral, each.unnecessary) for each in known]
    return Churn(*np.mean(parts, axis=0).tolist())


def churn_between_evaluations(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> Churn | None:
    """Mean churn from each evaluation point to the next (predictions: E x N)."""
    if len(predictions) < 2 or len(labels) == 0:
        return None
    right, changed = predictions == labels, predictions[1:] != predictions[:-1]
    before, after = right[:-1], right[1:]
    wins, losses, neutral = (
        np.count_nonzero(each, axis=1) / len(labels)
        for each in (after & ~before, before & ~after, changed & ~before & ~after)
    )
    parts = np.stack((wins, losses, neutral, 2 * np.minimum(wins, losses) + neutral), axis=1)
    return Churn(*(np.add.reduce(parts) / len(parts)).tolist())


def churn_between_seeds(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> Churn | None:
    """Mean churn over all pairs of n runs (n x N), in both directions: wins and losses are the same then.

    From how many runs gave an image each class, which takes n steps instead of n squared.
    """
    num_runs = len(predictions)
    if num_runs < 2 or len(labels) == 0:
        return None
    pairs = num_runs * (num_runs - 1)
    votes = (np.count_nonzero(predictions == name, axis=0) for name in np.unique(predictions))
    total = 1 - float(np.mean(sum(given * (given - 1) for given in votes))) / pairs
    right = np.count_nonzero(predictions == labels, axis=0)
    wins = float(np.mean(right * (num_runs - right))) / pairs
    accuracy = np.sort((predictions == labels).mean(axis=1))
    differences = 2 * float(accuracy @ (2 * np.arange(num_runs) - num_runs + 1)) / pairs
    return Churn(wins, wins, total - 2 * wins, unnecessary=total - differences)


def accuracy_swing(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> float | None:
    """Mean absolute change of accuracy from one evaluation point to the next (predictions: E x N)."""
    if len(predictions) < 2 or len(labels) == 0:
        return None
    accuracy = np.count_nonzero(predictions == labels, axis=1) / len(labels)
    return float(np.add.reduce(np.abs(accuracy[1:] - accuracy[:-1]))) / (len(accuracy) - 1)


def forgetting_events(labels: NDArray[np.integer], predictions: NDArray[np.integer]) -> float | None:
    """How often an image was right at one evaluation point and wrong at the next; mean over N images.

    After Toneva et al. (An Empirical Study of Example Forgetting, 2019), who count over the presentations of training
    images; here it is over evaluation points and validation images (predictions: E x N).
    """
    if len(predictions) < 2 or len(labels) == 0:
        return None
    right = predictions == labels
    return int(np.count_nonzero(right[:-1] & ~right[1:])) / len(labels)


def spike_score(loss: NDArray[np.floating]) -> float | None:
    """Share of steps whose loss lies over `SPIKE_DEVIATIONS` above the mean of the `SPIKE_WINDOW` steps before.

    After OLMo 2 (2024), which has a window of 1,000 steps and counts what lies below too. `None` for S up to
    `SPIKE_WINDOW`.
    """
    values = np.asarray(loss, dtype=np.float64)
    if len(values) <= SPIKE_WINDOW:
        return None
    place = np.arange(len(values) - SPIKE_WINDOW)
    before = values[place + np.arange(SPIKE_WINDOW)[:, None]]  # SPIKE_WINDOW x (S - SPIKE_WINDOW)
    mean = np.add.reduce(before) / SPIKE_WINDOW
    from_mean = before - mean
    deviation = np.sqrt(np.add.reduce(from_mean * from_mean) / (SPIKE_WINDOW - 1))
    return int(np.count_nonzero(values[SPIKE_WINDOW:] > mean + SPIKE_DEVIATIONS * deviation)) / len(place)
