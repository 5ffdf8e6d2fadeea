"""The majority baseline: an architecture has learnt something only if it beats answering the largest class every time.

Shapes: A architectures, n seeds, N test images. The baseline is compared like any architecture: image by image, on the
same test images.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from intelbench.results.summaries import ArchitectureSummary
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE


def not_above_majority(architectures: Sequence[ArchitectureSummary]) -> list[ArchitectureSummary]:
    """Return the architectures whose test accuracy is not significantly above that of the majority baseline.

    One-sided at the 5 % level, Holm-corrected over the architectures. Those without a test accuracy are left out.
    """
    tested = [architecture for architecture in architectures if architecture.test_accuracy is not None]
    if not tested:
        return []
    p_values = inference.holm(np.array([p_above_majority(architecture) for architecture in tested]))
    return [architecture for architecture, p in zip(tested, p_values, strict=True) if p > SIGNIFICANCE]


def p_above_majority(architecture: ArchitectureSummary) -> float:
    """One-sided p value of a test accuracy that is no higher than that of the majority baseline.

    Over seeds and images, as two architectures are compared; with one seed McNemar's exact test (1947) of this network
    as it was trained.
    """
    labels = architecture.runs[0].test_labels
    right, baseline = np.array([run.correct for run in architecture.runs]), labels == np.bincount(labels).argmax()
    inferred = inference.infer(right.astype(np.int8) - baseline)
    assert inferred is not None
    p_value = inferred.p_above(inferred.location, 0.0)
    if p_value is not None:
        return p_value
    (first_only, second_only) = (np.count_nonzero(each, axis=1) for each in (right & ~baseline, ~right & baseline))
    return float(inference.sign_p_values(second_only, first_only)[0]) / 2 if first_only > second_only else 1.0


def single_class_runs(architecture: ArchitectureSummary) -> dict[int, int]:
    """Return how many runs predict one class for every test image, by that class; of at least two test images."""
    predicted: list[NDArray[np.int16]] = [np.unique(run.test_predictions) for run in architecture.runs]
    only = [int(classes[0]) for classes in predicted if len(classes) == 1]
    if len(architecture.runs[0].test_labels if architecture.runs else ()) < 2:
        return {}
    return {label: only.count(label) for label in sorted(set(only))}
