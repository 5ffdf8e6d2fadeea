"""The baseline: an architecture has learnt something only if it beats answers that do not look at the image.

By accuracy that is the majority baseline, which answers the largest class every time. By other metrics it is the same
answer, or probabilities that say how frequent the classes are.

Shapes: A architectures, n seeds, N test images. The baseline is compared like any architecture: image by image, on the
same test images.
"""

from collections import Counter

import numpy as np

from intelbench.results.metrics import METRICS
from intelbench.results.ranking import BY_ACCURACY, Ranking
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.inference import holm_known


def not_above_baseline(summary: CohortSummary) -> list[ArchitectureSummary]:
    """Return the finished architectures that are not significantly better than the baseline by the metric that ranks.

    One-sided at the 5 % level, Holm-corrected over the architectures. There are none where no baseline is known, as for
    the metrics of plug-ins.
    """
    p_values = holm_known([p_above_baseline(architecture, summary.ranking) for architecture in summary.finished])
    tested = zip(summary.finished, p_values, strict=True)
    return [architecture for architecture, p_value in tested if p_value is not None and p_value > SIGNIFICANCE]


def baseline_value(summary: CohortSummary) -> float | None:
    """Return the value of the baseline by the metric that ranks; `None` where it is not known."""
    baseline = METRICS.get(summary.ranking.metric).baseline
    labels = next((run.test_labels for run in summary.runs if len(run.test_labels)), None)
    values = baseline(labels) if baseline and labels is not None else None
    return None if values is None else round(float(values.mean()), 12) + 0.0  # a kappa of 0 is not -4e-17


def p_above_baseline(architecture: ArchitectureSummary, ranking: Ranking = BY_ACCURACY) -> float | None:
    """Return the one-sided p value of "no better than the baseline"; `None` where that is not known.

    The test is over seeds and images, as between two architectures. With one seed it is over the test images alone:
    Student's test, or of accuracies McNemar's exact test (1947) of this trained network.
    """
    metric = METRICS.get(ranking.metric)
    table = metric.table([run for run in architecture.runs if metric.value(run) is not None])
    if table is None or not metric.baseline:
        return None
    baseline = metric.baseline(architecture.runs[0].test_labels)
    if baseline is None:
        return None
    lead = ranking.sign * (table.astype(np.float64) - baseline)
    inferred = inference.infer(lead)
    p_value = inferred.p_above(inferred.location, 0.0)
    if p_value is not None:
        return p_value
    if ranking.is_accuracy:
        better, worse = np.count_nonzero(lead > 0), np.count_nonzero(lead < 0)
        return float(inference.sign_p_values(np.array(worse), np.array(better))) / 2 if better > worse else 1.0
    of_images = inference.infer_from_seeds(lead[0])  # one value for each image: Student's test over them
    return None if of_images is None else of_images.p_above(of_images.location, 0.0)


def single_class_runs(architecture: ArchitectureSummary) -> dict[int, int]:
    """Return the number of runs that predict one class for all test images, at least two, by that class."""
    predicted = [np.unique(run.test_predictions) for run in architecture.runs if len(run.test_labels) > 1]
    return dict(sorted(Counter(int(classes[0]) for classes in predicted if len(classes) == 1).items()))
