"""Values of single images of a run: with them an interval holds for other images as well as for other seeds.

Shapes: T training, V validation and N test images, E evaluation points. Values are in single or half precision, and
answers at evaluation points are packed into bits, because a report may hold 10,000 runs of 3,000 test images in a
gigabyte. What half precision adds to a mean over images is a thousandth of its standard error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.statistics import calibration

Values = NDArray[np.float32]
Half = NDArray[np.float16]


@dataclass(frozen=True)
class ImageValues:
    """Values of the images of each split; `None` without images, or where a value is not finite."""

    training_ids: NDArray[np.str_]
    """Ids of the T training images on which the trained network was evaluated."""
    training_right: NDArray[np.bool_]
    training_losses: Values | None
    validation_ids: NDArray[np.str_]
    validation_right: NDArray[np.uint8]
    """Whether each validation image was recognised at each evaluation point (E x V / 8)."""
    validation_changed: NDArray[np.uint8]
    """Whether the prediction was another one at the next evaluation point (E - 1 x V / 8)."""
    confidence: Values
    """Largest softmax probability of each test image, which may be no number."""
    test_losses: Values | None
    """-log of the probability of the class of each test image, in nats."""
    squared_distances: Half | None
    """Squared distance of the probabilities from the class of each test image."""
    scaled_losses: Half | None
    """As `test_losses`, with the logits divided by the temperature; `None` unless its fit converged."""
    scaled_gaps: Half | None
    """Share of each test image in the ECE with the logits divided by the temperature; `None` as `scaled_losses`."""
    top5_right: NDArray[np.bool_] | None = None
    """Whether the class of each test image is among the five with the largest logits; `None` for few classes."""
    kept_point: int = -1
    """Position of the evaluation point whose weights are evaluated on test images; -1 for the last one."""

    @property
    def _is_finite(self) -> bool:
        return bool(np.isfinite(self.confidence).all())

    @property
    def kept_right(self) -> NDArray[np.bool_] | None:
        """Return whether each validation image was recognised at the evaluation point `kept_point`."""
        right = self._unpacked(self.validation_right)
        return right[self.kept_point] if right.size else None

    def right_at(self, points: Sequence[int]) -> NDArray[np.bool_]:
        """Return whether each validation image was recognised at P of the evaluation points (P x V)."""
        return self._unpacked(self.validation_right[list(points)])

    def calibration_gaps(self, right: NDArray[np.bool_]) -> Values | None:
        """Return the share of each test image in the ECE, given which were recognised."""
        return single(calibration.gaps(self.confidence, right)) if self._is_finite else None

    def adaptive_gaps(self, right: NDArray[np.bool_]) -> Values | None:
        """Return the share of each test image in the adaptive ECE, given which were recognised."""
        return single(calibration.adaptive_gaps(self.confidence, right)) if self._is_finite else None

    def scaling_change(self, right: NDArray[np.bool_]) -> Values | None:
        """Return the share of each test image in what scaling adds to the ECE."""
        before = self.calibration_gaps(right)
        return None if self.scaled_gaps is None or before is None else self.scaled_gaps - before

    @property
    def churn(self) -> Values | None:
        """Return how often the prediction of each validation image changed, for each step to the next evaluation."""
        changed = self._unpacked(self.validation_changed)
        return single(changed.mean(axis=0)) if changed.size else None

    @property
    def swing(self) -> Values | None:
        """Return the share of each validation image in the mean absolute change of accuracy between evaluations."""
        gains = self._gains()
        return single((gains * np.sign(gains.sum(axis=1, keepdims=True))).mean(axis=0)) if gains.size else None

    @property
    def setback(self) -> Values | None:
        """Return the share of each validation image in the mean fall of accuracy between evaluations."""
        gains = self._gains()
        return single(-(gains * (gains.sum(axis=1, keepdims=True) < 0)).mean(axis=0)) if gains.size else None

    @property
    def unnecessary_churn(self) -> Values | None:
        """Return the share of each validation image in the churn that the change of accuracy does not require."""
        churn, swing = self.churn, self.swing
        return None if churn is None or swing is None else churn - swing

    @property
    def forgetting_events(self) -> Values | None:
        """Return how often each validation image was right at an evaluation point and wrong at the next."""
        gains = self._gains()
        return single((gains < 0).sum(axis=0)) if gains.size else None

    def _gains(self) -> NDArray[np.int8]:
        """Return 1 where an image was recognised only at the later of two evaluation points, -1 for the earlier."""
        right = self._unpacked(self.validation_right).astype(np.int8)
        gains: NDArray[np.int8] = right[1:] - right[:-1]
        return gains

    def _unpacked(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.unpackbits(bits, axis=1, count=len(self.validation_ids)).astype(np.bool_)


def single(values: NDArray[np.generic]) -> Values | None:
    """Return values in single precision; `None` without values, or where one is not finite in it."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    return rounded if rounded.size and np.isfinite(rounded).all() else None


def half(values: NDArray[np.generic]) -> Half | None:
    """Return values in half precision; `None` without values, or where one is not finite in it."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    return rounded if rounded.size and np.isfinite(rounded).all() else None
