"""Calibration, whether confidence agrees with accuracy: pure functions on logits.

Shapes: N images, C classes. Confidence is the largest softmax probability. A value that cannot be computed is `None`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlog1py, xlogy

from intelbench.statistics.estimates import Softmax

NUM_BINS = 15
"""Number of bins of confidence, as in Guo et al. (2017)."""
TEMPERATURES = (0.05, 20.0)
"""Bounds of the search for a temperature."""


@dataclass(frozen=True)
class Temperature:
    """The result of fitting a temperature."""

    value: float | None
    """`None` if the likelihood has its maximum at a bound of the search, so the fit did not converge."""
    bound: float | None = None
    """The bound of the search with the largest likelihood, if the fit did not converge."""


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy of the predictions of a run, by bin of confidence."""

    num_images: NDArray[np.int64]
    """Number of images in each bin (`NUM_BINS` values)."""
    confidence: NDArray[np.float64]
    """Sum of the confidences of the images in each bin."""
    right: NDArray[np.int64]
    """Number of right predictions in each bin."""
    adaptive_error: float
    brier_score: float

    @property
    def expected_calibration_error(self) -> float:
        """Return the mean over images of |accuracy - confidence| of their bin (ECE; Naeini et al., 2015)."""
        return float(np.abs(self.right - self.confidence).sum() / self.num_images.sum())

    @property
    def expected_calibration_error_if_calibrated(self) -> float:
        """Return the expected ECE of a perfectly calibrated network with the same number of images and confidences.

        It is above 0 because the accuracy of a bin of n images is random, even if its expected value is the confidence
        (Bröcker and Smith, 2007). The number of right predictions in a bin is then binomial with the mean confidence p
        of the bin, and its mean absolute deviation from n p is 2 (1 - p)^(n - v) p^(v + 1) (v + 1) C(n, v + 1) with
        v = floor(n p) (De Moivre, 1730).
        """
        n = self.num_images.astype(np.float64)
        p = np.divide(self.confidence, n, out=np.zeros(len(n)), where=n > 0).clip(0, 1)
        v = np.floor(n * p)
        log_chance = gammaln(n + 1) - gammaln(v + 2) - gammaln(n - v) + xlogy(v + 1, p) + xlog1py(n - v, -p)
        return float((2 * (v + 1) * np.exp(log_chance)).sum() / n.sum())


def reliability(labels: NDArray[np.integer], softmax: Softmax) -> Reliability | None:
    """Compare confidence with accuracy over N images; `None` without images or with logits that are not finite."""
    if len(labels) == 0 or not softmax.finite:
        return None
    confidence, right = softmax.confidence, softmax.shifted.argmax(axis=0) == labels
    bins = bin_of(confidence)
    return Reliability(
        num_images=np.bincount(bins, minlength=NUM_BINS),
        confidence=np.bincount(bins, confidence, NUM_BINS).astype(np.float64),
        right=np.bincount(bins[right], minlength=NUM_BINS),
        adaptive_error=float(adaptive_gaps(confidence, right).mean()),
        brier_score=float(squared_distances(labels, softmax.probabilities).mean()),
    )


def gaps(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of each of N images in the expected calibration error, which is the mean of the shares.

    It is right - confidence, with the sign of the sum of that over the bin of the image. So the error is a mean over
    images, up to the chance that another sample would turn the sign of a bin.
    """
    return _signed(bin_of(confidence), confidence, right)


def bin_of(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the index of the bin of each confidence. Bins have equal width, and the last one includes 1."""
    return np.minimum((confidence * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def adaptive_gaps(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of each of N images in the adaptive calibration error, as `gaps` does for the expected one.

    Its bins have equally many images, sorted by confidence (Nguyen and O'Connor, 2015); the first ones have one more
    where N is no multiple of their number.
    """
    size, larger = divmod(len(confidence), NUM_BINS)
    bins = np.empty(len(confidence), dtype=np.int64)
    bins[np.argsort(confidence, kind="stable")] = np.repeat(
        np.arange(NUM_BINS), [size + (index < larger) for index in range(NUM_BINS)]
    )
    return _signed(bins, confidence, right)


def _signed(bins: NDArray[np.int64], confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return right - confidence of each image, with the sign of its sum over the bin of the image."""
    excess: NDArray[np.float64] = right - confidence.astype(np.float64)
    return excess * np.sign(np.bincount(bins, excess, NUM_BINS))[bins]


def squared_distances(labels: NDArray[np.integer], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of the probabilities (C x N) from the label of each image, 0 to 2 (Brier, 1950)."""
    distances = probabilities.copy()
    distances[labels, np.arange(len(labels))] -= 1
    squares: NDArray[np.float64] = np.einsum("cn,cn->n", distances, distances)
    return squares


def fitted_temperature(labels: NDArray[np.integer], logits: NDArray[np.floating]) -> Temperature | None:
    """Return the temperature T that maximizes the likelihood of softmax(logits / T) (Guo et al., 2017).

    Returns `None` without images or with logits that are not finite. The search is limited to `TEMPERATURES`.

    The log-likelihood is concave in 1 / T, so its derivative, the mean of z_label - sum_c p_c z_c, has one zero. The
    search uses Newton's method, and bisection where a Newton step leaves the interval or is not half as long.
    """
    if len(labels) == 0 or not np.isfinite(logits).all():
        return None
    scores = np.ascontiguousarray(logits.T, dtype=np.float64)  # C x N, as in Softmax
    from_largest = scores - scores.max(axis=0)
    total = np.add.reduce
    of_labels = float(total(from_largest[labels, np.arange(len(labels))]))

    def slopes(sharpness: float) -> tuple[float, float]:
        """Return the first and the second derivative with respect to 1 / T, summed over the images."""
        weights = np.exp(sharpness * from_largest)
        weighted, totals = weights * from_largest, total(weights)
        means = total(weighted) / totals
        return of_labels - float(total(means)), float(means @ means - total(total(weighted * from_largest) / totals))

    coldest, hottest = TEMPERATURES
    low, high = 1 / hottest, 1 / coldest
    if slopes(high)[0] >= 0:
        return Temperature(None, coldest)
    if slopes(low)[0] <= 0:
        return Temperature(None, hottest)
    sharpness, step = 1.0, high - low
    while abs(step) > 1e-6 * sharpness:  # the next step would be of the order of its square
        slope, change = slopes(sharpness)
        low, high = (sharpness, high) if slope > 0 else (low, sharpness)
        newton = -slope / change if change < 0 else np.inf
        converges = low < sharpness + newton < high and abs(newton) < abs(step) / 2
        step = newton if converges else math.sqrt(low * high) - sharpness
        sharpness += step
    return Temperature(1 / sharpness)


def pooled_curve(runs: Sequence[Reliability]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean confidence and the accuracy of each bin with images, over all images of the runs."""
    num_images = np.sum([run.num_images for run in runs], axis=0)
    filled = num_images > 0
    confidence = np.sum([run.confidence for run in runs], axis=0)[filled] / num_images[filled]
    accuracy = np.sum([run.right for run in runs], axis=0)[filled] / num_images[filled]
    return confidence, accuracy
