"""Two metrics of the test images in one plug-in file: a mean over images, and a number."""

import numpy as np
from numpy.typing import NDArray

import intelbench


@intelbench.metric(
    "top2_accuracy",
    heading="Top-2 accuracy",
    definition="test images whose class has one of the two largest logits",
    better="higher",
)
def top2_accuracy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each image whether its class is among the two with the largest logits."""
    largest = np.argsort(logits, axis=1)[:, -2:]
    return (largest == labels[:, None]).any(axis=1)


@intelbench.metric(
    "balanced_error",
    heading="Balanced error",
    definition="share of wrong predictions, mean over the classes",
    better="lower",
)
def balanced_error(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return 1 minus the mean recall of the classes that have images."""
    right = logits.argmax(axis=1) == labels
    return 1 - float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))
