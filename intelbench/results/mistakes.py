"""Misclassified test images: predicted class, frequency and confidence, by cell of a confusion matrix or shared."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary, same_images
from intelbench.statistics import estimates as statistics

Cell = tuple[int, int]
"""True class and predicted class."""


@dataclass(frozen=True)
class Mistake:
    """A test image with the same wrong predicted class in runs of one architecture."""

    image_id: str
    num_runs: int
    """Number of those runs."""
    confidence: float | None
    """Mean confidence of those runs; `None` where it is not finite."""


@dataclass(frozen=True)
class SharedMistake:
    """A test image that each architecture gets wrong in more than half of its runs."""

    image_id: str
    label: int
    predicted: tuple[tuple[int, int], ...]
    """Wrong class and number of runs, of all architectures together; the most frequent first."""
    num_runs: int
    """Number of runs that got it wrong."""
    confidence: float | None
    """Mean confidence of those runs; `None` where it is not finite."""


def by_cell(architecture: ArchitectureSummary) -> dict[Cell, list[Mistake]]:
    """Return the misclassified images of each cell of the confusion matrix, the most confident first."""
    confidences: dict[Cell, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in architecture.runs:
        columns = (run.test_labels, run.test_predictions, run.test_ids, run.images.confidence)
        for label, predicted, image_id, confidence in zip(*(c[~run.correct].tolist() for c in columns), strict=True):
            confidences[label, predicted][image_id].append(confidence)
    return {
        cell: sorted(
            (Mistake(image_id, len(of_image), _mean(of_image)) for image_id, of_image in images.items()),
            key=lambda mistake: (-(mistake.confidence or 0), mistake.image_id),
        )
        for cell, images in sorted(confidences.items())
    }


def shared(summary: CohortSummary) -> list[SharedMistake] | None:
    """Return the images that every architecture gets wrong, the most frequent first; `None` if test images differ."""
    if not summary.runs or not same_images(summary.runs):
        return None
    shares = [np.mean([~run.correct for run in architecture.runs], axis=0) for architecture in summary.finished]
    indices = np.flatnonzero((np.array(shares) > 0.5).all(axis=0)).tolist()
    mistakes = [_shared_mistake(index, summary.runs) for index in indices]
    return sorted(mistakes, key=lambda mistake: (-mistake.num_runs, -(mistake.confidence or 0), mistake.image_id))


def times_wrong(summary: CohortSummary) -> Counter[str]:
    """Return the number of runs in which each test image was misclassified."""
    return Counter(image_id for run in summary.runs for image_id in run.test_ids[~run.correct].tolist())


def _shared_mistake(index: int, runs: Sequence[RunSummary]) -> SharedMistake:
    wrong = [run for run in runs if not run.correct[index]]
    counts = Counter(int(run.test_predictions[index]) for run in wrong)
    return SharedMistake(
        image_id=str(runs[0].test_ids[index]),
        label=int(runs[0].test_labels[index]),
        predicted=tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        num_runs=len(wrong),
        confidence=_mean([float(run.images.confidence[index]) for run in wrong]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.finite(np.mean(values))
