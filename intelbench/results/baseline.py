"""The baseline: an architecture has learnt something only if it beats answers that do not look at the image.

By accuracy that is the majority baseline, which answers the largest class every time. By other metrics it is the same
answer, or probabilities that say how frequent the classes are.

Shapes: A architectures, n seeds, N test images. The baseline is compared like any architecture: image by image, on the
same test images.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from intelbench.results.metrics import METRICS
from intelbench.results.ranking import Ranking
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
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


def not_above_baseline(summary: CohortSummary) -> list[ArchitectureSummary]:
    """Return the finished architectures that are not significantly better than the baseline by the metric that ranks.

    One-sided at the 5 % level, Holm-corrected over the architectures. There are none where no baseline is known, as for
    the metrics of plug-ins.
    """
    if summary.ranking.is_accuracy:
        return not_above_majority(summary.finished)
    known = [(each, p) for each in summary.finished if (p := _p_above_baseline(each, summary.ranking)) is not None]
    if not known:
        return []
    corrected = inference.holm(np.array([p for _, p in known]))
    return [architecture for (architecture, _), p in zip(known, corrected, strict=True) if p > SIGNIFICANCE]


def baseline_value(summary: CohortSummary) -> float | None:
    """Return the value of the baseline by the metric that ranks; `None` where it is not known."""
    if summary.ranking.is_accuracy:
        shares = (architecture.majority_share("test") for architecture in summary.finished)
        return max((share for share in shares if share is not None), default=None)
    baseline = METRICS.get(summary.ranking.metric).baseline
    labels = next((run.test_labels for run in summary.runs if len(run.test_labels)), None)
    values = baseline(labels) if baseline and labels is not None else None
    return None if values is None else round(float(values.mean()), 12) + 0.0  # a kappa of 0 is not -4e-17


def _p_above_baseline(architecture: ArchitectureSummary, ranking: Ranking) -> float | None:
    """Return the one-sided p value of "no better than the baseline"; with one seed it is over the test images alone."""
    metric = METRICS.get(ranking.metric)
    table = metric.table([run for run in architecture.runs if metric.value(run) is not None])
    baseline = metric.baseline(architecture.runs[0].test_labels) if metric.baseline else None
    if table is None or baseline is None:
        return None
    lead = ranking.sign * (table.astype(np.float64) - baseline)
    inferred = inference.infer(lead)
    p_value = inferred.p_above(inferred.location, 0.0) if inferred else None
    if p_value is not None or lead.size < 2:
        return p_value
    of_images = inference.infer_from_seeds(lead[0])  # one value for each image: Student's test over them
    return None if of_images is None else of_images.p_above(of_images.location, 0.0)


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
