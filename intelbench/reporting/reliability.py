"""Whether a network is as sure as it is right: pure functions on logits.

Shapes: N images, C classes. Confidence is the largest softmax probability. What cannot be computed is `None`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

NUM_BINS = 15
"""As in Guo et al. (2017)."""


@dataclass(frozen=True)
class Reliability:
    """Of the predictions of one run, or of several together."""

    num_images: NDArray[np.int64]
    """By bin of confidence (`NUM_BINS` values), as the next two."""
    confidence: NDArray[np.float64]
    """Sum over the images."""
    right: NDArray[np.int64]
    adaptive_error: float
    brier_score: float

    @property
    def expected_calibration_error(self) -> float:
        """Mean over images of |accuracy - confidence| of their bin (ECE; Naeini et al., 2015)."""
        return float(np.abs(self.right - self.confidence).sum() / self.num_images.sum())


def reliability(labels: NDArray[np.integer], logits: NDArray[np.floating]) -> Reliability | None:
    """Compare confidence with accuracy (labels: N, logits: N x C); `None` without images or with logits not finite."""
    if len(labels) == 0 or not np.isfinite(logits).all():
        return None
    probabilities = softmax(logits.astype(np.float64), axis=1)
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(labels)), predicted]
    right = predicted == labels
    bins = bin_of(confidence)
    return Reliability(
        num_images=np.bincount(bins, minlength=NUM_BINS).astype(np.int64),
        confidence=np.bincount(bins, confidence, NUM_BINS).astype(np.float64),
        right=np.bincount(bins, right, NUM_BINS).astype(np.int64),
        adaptive_error=adaptive_calibration_error(confidence, right),
        brier_score=brier_score(labels, probabilities),
    )


def bin_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of `NUM_BINS` bins of equal width each confidence is in; the last one includes 1."""
    return np.minimum((confidence * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def adaptive_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The same error with bins that hold equally many images, in order of confidence (Nguyen and O'Connor, 2015)."""
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(NUM_BINS, len(order)))
    gaps = [abs(float(right[each].sum()) - float(confidence[each].sum())) for each in bins]
    return sum(gaps) / len(order)


def brier_score(labels: NDArray[np.integer], probabilities: NDArray[np.float64]) -> float:
    """Mean over images of the squared distance to the true class's one-hot vector, 0 to 2 (Brier, 1950)."""
    distances = probabilities.copy()
    distances[np.arange(len(labels)), labels] -= 1
    return float((distances**2).sum(axis=1).mean())


def pooled_curve(found: Sequence[Reliability]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean confidence and accuracy of each bin that holds images, over several runs together."""
    num_images = np.sum([each.num_images for each in found], axis=0)
    held = num_images > 0
    confidence = np.sum([each.confidence for each in found], axis=0)[held] / num_images[held]
    accuracy = np.sum([each.right for each in found], axis=0)[held] / num_images[held]
    return confidence, accuracy
