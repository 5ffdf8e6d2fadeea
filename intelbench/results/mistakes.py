"""Which test images were misclassified, as what, how often and how surely: by cell of a matrix, and by all."""

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
    """A test image that runs of one architecture took for the same wrong class."""

    image_id: str
    num_runs: int
    """Runs that did."""
    confidence: float | None
    """Mean over them; `None` where it is not finite."""


@dataclass(frozen=True)
class SharedMistake:
    """A test image that each architecture gets wrong in more than half of its runs."""

    image_id: str
    label: int
    taken_for: tuple[tuple[int, int], ...]
    """Wrong class and number of runs, of all architectures together; the most frequent first."""
    num_runs: int
    """Runs that got it wrong."""
    confidence: float | None
    """Mean over them; `None` where it is not finite."""


def by_cell(architecture: ArchitectureSummary) -> dict[Cell, list[Mistake]]:
    """The misclassified images of each cell of the confusion matrix, the most confident first."""
    found: dict[Cell, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in architecture.runs:
        wrong = np.flatnonzero(~run.correct)
        columns = (run.test_labels, run.test_predictions, run.test_ids, run.test_confidence)
        for label, taken_for, image_id, confidence in zip(*(each[wrong].tolist() for each in columns), strict=True):
            found[label, taken_for][image_id].append(confidence)
    return {
        cell: sorted(
            (Mistake(image_id, len(each), _mean(each)) for image_id, each in images.items()),
            key=lambda mistake: (-(mistake.confidence or 0), mistake.image_id),
        )
        for cell, images in sorted(found.items())
    }


def shared(summary: CohortSummary) -> list[SharedMistake] | None:
    """The images that every architecture gets wrong, the most often wrong first; `None` where test images differ."""
    runs = [run for architecture in summary.finished for run in architecture.runs]
    if not runs or not same_images(runs):
        return None
    shares = [np.mean([~run.correct for run in a.runs], axis=0) for a in summary.finished]
    places = np.flatnonzero((np.array(shares) > 0.5).all(axis=0)).tolist()
    found = [_shared_mistake(place, runs) for place in places]
    return sorted(found, key=lambda mistake: (-mistake.num_runs, -(mistake.confidence or 0), mistake.image_id))


def times_wrong(summary: CohortSummary) -> Counter[str]:
    """In how many runs each test image was misclassified."""
    runs = (run for architecture in summary.finished for run in architecture.runs)
    return Counter(image_id for run in runs for image_id in run.test_ids[~run.correct].tolist())


def _shared_mistake(place: int, runs: Sequence[RunSummary]) -> SharedMistake:
    wrong = [run for run in runs if not run.correct[place]]
    taken_for = Counter(int(run.test_predictions[place]) for run in wrong)
    return SharedMistake(
        image_id=str(runs[0].test_ids[place]),
        label=int(runs[0].test_labels[place]),
        taken_for=tuple(sorted(taken_for.items(), key=lambda pair: (-pair[1], pair[0]))),
        num_runs=len(wrong),
        confidence=_mean([float(run.test_confidence[place]) for run in wrong]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.finite(np.mean(values))
