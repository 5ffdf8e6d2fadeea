"""Precision and F1 of each class, as shares of totals that vary with the seed and the images.

Shapes: n seeds, N test images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics import shares
from intelbench.statistics.estimates import Estimate
from intelbench.statistics.inference import SeedVariance

Counts = NDArray[np.int8]


@dataclass(frozen=True)
class ClassShare:
    """A share of the images of a class: those that count, and their total, by seed and image (n x N each)."""

    part: Counts
    total: Counts
    images_per_total: float
    """Independent images for each unit of the total."""

    def seeds(self) -> NDArray[np.float64] | None:
        """Return values of the seeds (n) that vary as the share does; `None` of a total of 0 or one seed."""
        table = shares.share_table(self.part, self.total)
        return None if table is None or len(table) < 2 else table.mean(axis=1)

    def estimate(self, prior: SeedVariance) -> Estimate | None:
        """Return the share with its interval over seeds and images; `None` of a total of 0."""
        num_images = self.images_per_total * float(self.total.sum()) / len(self.total)
        return shares.infer_share_of_total(self.part, self.total, num_images, prior)


def precision(labels: NDArray[np.integer], predicted: NDArray[np.integer], label: int) -> ClassShare:
    """Return the images predicted as a class (n x N) and those of them that belong to it."""
    is_predicted = predicted == label
    return ClassShare((is_predicted & (labels == label)).astype(np.int8), is_predicted.astype(np.int8), 1.0)


def f1(labels: NDArray[np.integer], predicted: NDArray[np.integer], label: int) -> ClassShare:
    """Return twice the recognised images of a class, and those predicted as it plus those that belong to it."""
    is_predicted, is_of_class = (predicted == label).astype(np.int8), (labels == label).astype(np.int8)
    if not is_of_class.any():  # without images of the class there is no recall, and so no F1
        return ClassShare(0 * is_predicted, 0 * is_predicted, 0.5)
    return ClassShare(2 * is_predicted * is_of_class, is_predicted + is_of_class, 0.5)


Score = Callable[[NDArray[np.integer], NDArray[np.integer], int], ClassShare]
SCORES: Mapping[str, Score] = {"precision": precision, "f1": f1}


def class_scores(summary: CohortSummary) -> Mapping[str, Mapping[str, Sequence[Estimate | None]]]:
    """Return the estimate of each class by score and architecture; `None` where the runs have different images.

    The variances between seeds are moderated over all architectures and classes, as those of recalls are.
    """
    labels = range(len(summary.data.class_names))
    comparable = [architecture for architecture in summary.finished if architecture.same_images]
    unknown: dict[str, Sequence[Estimate | None]] = {each.name: [None] * len(labels) for each in summary.finished}

    def scored(score: Score, architecture: ArchitectureSummary) -> Iterator[ClassShare]:
        for label in labels:
            yield score(architecture.runs[0].test_labels, architecture.test_predictions, label)

    estimates = {}
    for name, score in SCORES.items():
        of_seeds = [share.seeds() for each in comparable for share in scored(score, each)]
        prior = shares.dispersion_prior([seeds for seeds in of_seeds if seeds is not None])
        known = {each.name: [share.estimate(prior) for share in scored(score, each)] for each in comparable}
        estimates[name] = {**unknown, **known}
    return estimates
