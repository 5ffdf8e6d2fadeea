"""Statistics of runs: pure functions on arrays.

Shapes: S steps, N images, C classes, n seeds. A value that cannot be computed is `None`, never NaN or 0.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` runs and its 95 % interval; a single run has no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def __neg__(self) -> "Estimate":
        low, high = (None if bound is None else -bound for bound in (self.high, self.low))
        return Estimate(-self.mean, low, high, self.n)


@dataclass(frozen=True)
class Softmax:
    """Softmax of N x C logits: the parts from which both probabilities and likelihoods are computed.

    The arrays are C x N, because numpy sums along the long axis of images several times as fast.
    """

    shifted: NDArray[np.float64]
    """Logits minus the largest logit of their image (C x N)."""
    exponentials: NDArray[np.float64]
    """Exponentials of `shifted` (C x N)."""
    totals: NDArray[np.float64]
    """Sums of `exponentials` over the classes (N)."""
    finite: bool
    """Whether all logits are finite."""

    @classmethod
    def of(cls, logits: NDArray[np.generic]) -> "Softmax":
        """Return the softmax of logits; values are not finite for images with logits that are not."""
        scores = np.ascontiguousarray(logits.T, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            shifted = scores - scores.max(axis=0)
        exponentials = np.exp(shifted)
        return cls(shifted, exponentials, exponentials.sum(axis=0), bool(np.isfinite(scores).all()))

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Return the probability of each class (C x N)."""
        return self.exponentials / self.totals

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Return the largest probability of each image (N), 1 / total because its exponential is 1."""
        return 1 / self.totals

    def losses(self, labels: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return -log softmax(logits)[label] of N images, in nats."""
        with np.errstate(invalid="ignore", divide="ignore"):
            losses: NDArray[np.float64] = np.log(self.totals) - self.shifted[labels, np.arange(len(labels))]
        return losses


def mean_interval(values: ArrayLike, lower: float = -np.inf, upper: float = np.inf) -> Estimate | None:
    """Return the mean of n values and Student's interval mean ± t(0.975, n - 1) s / sqrt(n), cut to [lower, upper].

    The interval assumes roughly normal values, which means over seeds are (Student, 1908). Returns `None` without
    values or with values that are not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        return None
    mean = float(array.mean())
    if array.size == 1:
        return Estimate(mean, None, None, 1)
    half = float(stdtrit(array.size - 1, (1 + CONFIDENCE) / 2) * array.std(ddof=1) / np.sqrt(array.size))
    return Estimate(mean, max(mean - half, lower), min(mean + half, upper), array.size)


def positive_mean_interval(values: ArrayLike) -> Estimate | None:
    """Return the mean of n positive values, such as times, and an interval that does not reach 0.

    It is Student's for the logarithm of the mean, which by the delta method has the standard error
    s / (mean sqrt(n)): mean * exp(±t(0.975, n - 1) s / (mean sqrt(n))). With a value of 0, and where `mean_interval`
    has no interval, it returns the same as that, cut to [0, infinity).
    """
    estimate, array = mean_interval(values, 0), np.asarray(values, dtype=np.float64)
    if estimate is None or estimate.low is None or array.min() <= 0:
        return estimate
    half = stdtrit(array.size - 1, (1 + CONFIDENCE) / 2) * array.std(ddof=1) / np.sqrt(array.size)
    factor = float(np.exp(half / estimate.mean))
    return Estimate(estimate.mean, estimate.mean / factor, estimate.mean * factor, array.size)


def majority_share(labels: NDArray[np.integer]) -> float | None:
    """Return the share of the most frequent of N labels: the accuracy of predicting it for every image."""
    return int(np.bincount(labels).max()) / len(labels) if len(labels) else None


def mean(values: NDArray[np.generic]) -> float | None:
    """Return the mean; `None` without values, or if it is not finite."""
    return finite(values.mean(dtype=np.float64)) if values.size else None


def confusion_matrix(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Return the counts of predictions (C x C): a row for each true class, a column for each predicted class."""
    cells = labels.astype(np.int64) * num_classes + predicted
    return np.bincount(cells, minlength=num_classes**2).astype(np.int64).reshape(num_classes, num_classes)


def quantile(values: NDArray[np.floating], share: float) -> float | None:
    """Return the quantile of the values, with linear interpolation; a `share` of 0.5 gives the median."""
    return finite(np.quantile(values, share)) if len(values) else None


def finite(value: float | np.floating | None) -> float | None:
    """Return the value as a float, or `None` if it is not finite."""
    return float(value) if value is not None and np.isfinite(value) else None
