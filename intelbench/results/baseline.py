"""The majority baseline: an architecture has learnt something only if it beats answering the largest class every time.

Shapes: A architectures, n seeds, N test images. The baseline is compared like any architecture: image by image, on the
same test images.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

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
    """Return the one-sided p value of a test accuracy that is no higher than that of the majority baseline.

    The test is over seeds and images, as between two architectures; with one seed it is McNemar's exact test (1947) of
    this trained network.
    """
    labels = architecture.runs[0].test_labels
    correct, baseline = np.array([run.correct for run in architecture.runs]), labels == np.bincount(labels).argmax()
    inferred = inference.infer(correct.astype(np.int8) - baseline)
    assert inferred is not None
    p_value = inferred.p_above(inferred.location, 0.0)
    if p_value is not None:
        return p_value
    own_only = np.count_nonzero(correct & ~baseline, axis=1)
    baseline_only = np.count_nonzero(~correct & baseline, axis=1)
    return float(inference.sign_p_values(baseline_only, own_only)[0]) / 2 if own_only > baseline_only else 1.0


def single_class_runs(architecture: ArchitectureSummary) -> dict[int, int]:
    """Return the number of runs that predict one class for all test images, at least two, by that class."""
    predicted = [np.unique(run.test_predictions) for run in architecture.runs if len(run.test_labels) > 1]
    return dict(sorted(Counter(int(classes[0]) for classes in predicted if len(classes) == 1).items()))
