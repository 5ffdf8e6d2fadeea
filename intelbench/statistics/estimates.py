"""Statistics of runs: pure functions on arrays.

Shapes: S steps, N images, C classes, n seeds. What cannot be computed is `None`, never NaN or 0.
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
    """A mean over `n` runs and its 95 % interval; one run has no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int

    def __neg__(self) -> "Estimate":
        low, high = (None if bound is None else -bound for bound in (self.high, self.low))
        return Estimate(-self.mean, low, high, self.n)


@dataclass(frozen=True)
class Confusion:
    """Images of one class that were predicted as another."""

    true: int
    """Index of the true class."""
    predicted: int
    """Index of the predicted class."""
    count: int
    total: int
    """Images of the true class."""

    @property
    def share(self) -> float:
        """Share of the true class's images."""
        return self.count / self.total


@dataclass(frozen=True)
class Softmax:
    """Softmax of N x C logits, in the parts that probabilities and likelihoods are both made of.

    The classes come first in them (C x N), since numpy adds many images several times as fast as a few classes.
    """

    shifted: NDArray[np.float64]
    """Logits minus the largest of their image, C x N."""
    exponentials: NDArray[np.float64]
    """Of those."""
    totals: NDArray[np.float64]
    """Their sums over the classes (N)."""
    finite: bool
    """Whether all logits are."""

    @classmethod
    def of(cls, logits: NDArray[np.generic]) -> "Softmax":
        """Logits that are not finite give values that are not."""
        scores = np.ascontiguousarray(logits.T, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            shifted = scores - scores.max(axis=0)
        exponentials = np.exp(shifted)
        return cls(shifted, exponentials, exponentials.sum(axis=0), bool(np.isfinite(scores).all()))

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """C x N."""
        return self.exponentials / self.totals

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Largest probability of each image (N), whose exponential is 1."""
        return 1 / self.totals

    def right(self, labels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether the largest logit of each image is its label's (N)."""
        right: NDArray[np.bool_] = self.shifted.argmax(axis=0) == labels
        return right

    def cross_entropy(self, labels: NDArray[np.integer]) -> float | None:
        """Mean of -log softmax(logits)[label] over N images, in nats."""
        if len(labels) == 0:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            losses = np.log(self.totals) - self.shifted[labels, np.arange(len(labels))]
        return finite(losses.mean())


def mean_interval(values: ArrayLike, lower: float = -np.inf, upper: float = np.inf) -> Estimate | None:
    """Mean of n values and Student's interval mean ± t(0.975, n - 1) s / sqrt(n), cut to [lower, upper].

    The interval presumes roughly normal values, as means over seeds are (Student, 1908); `None` for no values.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        return None
    mean = float(array.mean())
    if array.size == 1:
        return Estimate(mean, None, None, 1)
    half = float(stdtrit(array.size - 1, (1 + CONFIDENCE) / 2) * array.std(ddof=1) / np.sqrt(array.size))
    return Estimate(mean, max(mean - half, lower), min(mean + half, upper), array.size)


def predictions(logits: NDArray[np.generic]) -> NDArray[np.int64]:
    """Class of the largest logit (N x C -> N); the first one where several are largest."""
    return np.asarray(np.argmax(logits, axis=1), dtype=np.int64)


def accuracy(labels: NDArray[np.generic], predicted: NDArray[np.generic]) -> float | None:
    """Share of N predictions that are right."""
    return np.count_nonzero(labels == predicted) / len(labels) if len(labels) else None


def majority_share(labels: NDArray[np.integer]) -> float | None:
    """Share of the most frequent label among N: the accuracy of answering it for every image."""
    return int(np.bincount(labels).max()) / len(labels) if len(labels) else None


def cross_entropy(labels: NDArray[np.integer], logits: NDArray[np.floating]) -> float | None:
    """Mean of -log softmax(logits)[label] over N images, in nats."""
    return Softmax.of(logits).cross_entropy(labels) if len(labels) else None


def confusion_matrix(
    labels: NDArray[np.integer], predicted: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Counts, C x C: a row for each true class, a column for each predicted one."""
    cells = labels.astype(np.int64) * num_classes + predicted
    return np.bincount(cells, minlength=num_classes**2).astype(np.int64).reshape(num_classes, num_classes)


def precision(confusions: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return TP / (TP + FP) by class, from the confusion matrices of n runs (n x C x C).

    A run without predictions of a class has no value for it.
    """
    return _ratios(confusions.diagonal(axis1=1, axis2=2), confusions.sum(axis=1))


def f1(confusions: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), by class (van Rijsbergen, 1979).

    0 where no image of the class was recognised; no value for a class without images.
    """
    totals = confusions.sum(axis=2)
    taken = np.where(totals > 0, confusions.sum(axis=1), 0)
    return _ratios(2 * confusions.diagonal(axis1=1, axis2=2), totals + taken)


def _ratios(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """By column, where the whole is not 0 (both n x C)."""
    return [part[whole > 0] / whole[whole > 0] for part, whole in zip(parts.T, wholes.T, strict=True)]


def confused_pairs(confusion: NDArray[np.int64], limit: int) -> list[Confusion]:
    """The `limit` most frequent confusions, by count, then by share of the true class."""
    totals = confusion.sum(axis=1)
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    found = [Confusion(int(t), int(p), int(wrong[t, p]), int(totals[t])) for t, p in np.argwhere(wrong)]
    return sorted(found, key=lambda pair: (-pair.count, -pair.share, pair.true, pair.predicted))[:limit]


def residual_variance(loss: NDArray[np.floating]) -> float | None:
    """Variance of the training loss about a straight line, over the last half of the steps.

    The least-squares line takes the progress out, so what is left is instability: sum of squared residuals / (m - 2),
    m = S - S // 2, two degrees of freedom spent on the line. `None` below three steps in that half.
    """
    late = np.asarray(loss, dtype=np.float64)[len(loss) // 2 :]
    if len(late) < 3:
        return None
    step = np.arange(len(late)) - (len(late) - 1) / 2
    residuals = late - late.mean() - step * (step @ late) / (step @ step)
    return finite(residuals @ residuals / (len(late) - 2))


def quantile(values: NDArray[np.floating], share: float) -> float | None:
    """The value below which `share` of the values lie, on a line between the two next to it; 0.5 is the median.

    What `np.quantile` gives, bit for bit, in a twentieth of the time for the few values of a run.
    """
    if not len(values):
        return None
    ordered = np.sort(values)
    place = share * (len(ordered) - 1)
    before = int(place)
    low, high = float(ordered[before]), float(ordered[min(before + 1, len(ordered) - 1)])
    weight = place - before
    value = low + (high - low) * weight if weight < 0.5 else high - (high - low) * (1 - weight)
    return None if np.isnan(ordered[-1]) else finite(value)


def images_per_second(batch_size: int, seconds: NDArray[np.floating]) -> float | None:
    """`batch_size` over the median of the steps' seconds, data wait included."""
    median = quantile(seconds, 0.5)
    return batch_size / median if median else None


def finite(value: float | np.floating | None) -> float | None:
    """The value as a float, or `None` where it is not a finite number."""
    return float(value) if value is not None and np.isfinite(value) else None
