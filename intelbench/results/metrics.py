"""The one list of metrics. Tables, definitions, JSON, CSV, claims, gates and costs read it.

To add a metric, add a `Metric` to one of the tuples below, of `class_metrics` or of `cost_metrics`, in the order in
which tables show it.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from operator import attrgetter
from typing import Any

import numpy as np

from intelbench.errors import UserError, one_of, shortened
from intelbench.plugins.registry import Registry
from intelbench.results.class_metrics import CLASS_METRICS, log_frequencies, majority_answers
from intelbench.results.cost_metrics import COST_METRICS
from intelbench.results.metric import Metric, Table
from intelbench.results.runs import RunSummary
from intelbench.statistics.calibration import squared_distances
from intelbench.statistics.estimates import Softmax
from intelbench.statistics.scores import log_losses
from intelbench.statistics.stability import VARIANCE_WINDOW


def _of_part(part: str, field: str) -> Callable[[RunSummary], Any]:
    """Return a function that reads a field of a part of a run; `None` where the run does not have the part."""
    part_of = attrgetter(part)
    return lambda run: None if part_of(run) is None else getattr(part_of(run), field)


def _filters_without_gradient(run: RunSummary) -> float | None:
    gradients = run.measurements.filter_gradients
    return gradients.num_without_gradient / gradients.num_filters if gradients and gradients.num_filters else None


def _scaling_calibration_change(run: RunSummary) -> float | None:
    after = run.scaled_calibration_error
    return None if run.reliability is None or after is None else after - run.reliability.expected_calibration_error


_ACCURACY = (
    Metric(
        name="test_accuracy", heading="Test accuracy", unit="share", better="higher", compared="images",
        definition="of the test images",
        note="mean over seeds [95 % interval over seeds and test images]; the test images are read once, after "
        "training. Validation and training accuracy: of the same weights, without augmentation, with an interval over "
        "seeds and these images; training accuracy on as many of the training images as the heading says, the same "
        "for all runs. **Majority baseline**: the share of the largest class, which is the accuracy of answering that "
        "class for every image.",
        of_run=attrgetter("test_accuracy"), per_image=attrgetter("correct"), alias="accuracy", ranks=True,
        synonyms=("top1", "acc", "accuracy_score", "micro_f1", "weighted_recall"),
        baseline=lambda labels: majority_answers(labels) == labels,
        over_runs=lambda _, architecture: architecture.test_accuracy, tables=("main", "export", "runs", "diff"),
    ),
    Metric(
        name="validation_accuracy", heading="Validation accuracy", unit="share", better="higher", compared="images",
        definition="at the last evaluation point, or at the best if the recipe keeps that", split="validation",
        per_image=attrgetter("images.kept_right"), tables=("main", "export", "runs"),
    ),
    Metric(
        name="training_accuracy", heading="Training accuracy", unit="share", better="higher", compared="images",
        definition="on a sample of the training images, the same for all runs, after training, without augmentation",
        split="training", per_image=attrgetter("images.training_right"),
        tables=("main", "export", "runs"),
    ),
    Metric(
        name="test_cross_entropy", heading="Test NLL (nats)", unit="nats", better="lower", compared="images",
        definition="mean over the test images",
        of_run=attrgetter("test_cross_entropy"), per_image=attrgetter("images.test_losses"), alias="log_loss",
        synonyms=("cross_entropy", "nll", "negative_log_likelihood", "test_loss"), ranks=True,
        baseline=lambda labels: log_losses(labels, log_frequencies(labels)),
        tables=("export", "runs", "diff"),
    ),
    Metric(
        name="training_cross_entropy", heading="Training NLL (nats)", unit="nats", better="lower", compared="images",
        definition="on a sample of the training images, the same for all runs, after training, without augmentation",
        split="training", of_run=attrgetter("training_cross_entropy"), per_image=attrgetter("images.training_losses"),
        tables=("export", "runs"),
    ),
    Metric(
        name="expected_calibration_error", heading="ECE", unit="share", better="lower", compared="images",
        synonyms=("ece", "calibration_error"),
        definition="of the test images, 15 bins", of_run=_of_part("reliability", "expected_calibration_error"),
        per_image=lambda run: run.images.calibration_gaps(run.correct), tables=("diff",),
    ),
    Metric(
        name="expected_calibration_error_if_calibrated", heading="ECE if calibrated", unit="share", interval=False,
        definition="what a perfectly calibrated network with the same confidences is expected to show on the test "
        "images",
        of_run=_of_part("reliability", "expected_calibration_error_if_calibrated"),
    ),
    Metric(
        name="adaptive_calibration_error", heading="Adaptive ECE", unit="share", better="lower", compared="images",
        synonyms=("ace", "adaptive_ece"),
        definition="of the test images, with bins of equally many images",
        of_run=_of_part("reliability", "adaptive_error"),
        per_image=lambda run: run.images.adaptive_gaps(run.correct),
    ),
    Metric(
        name="brier_score", heading="Brier score", unit="number", better="lower", compared="images",
        synonyms=("brier", "brier_score_loss"),
        definition="squared distance of the probabilities from the truth", bounds=(0, 2), phrase="Brier score",
        of_run=_of_part("reliability", "brier_score"), per_image=attrgetter("images.squared_distances"), ranks=True,
        baseline=lambda labels: squared_distances(labels, Softmax.of(log_frequencies(labels)).probabilities),
    ),
    Metric(
        name="fitted_temperature", heading="Temperature", unit="number", synonyms=("temperature",),
        definition="fitted to the validation images; absent where the fit did not converge",
        of_run=_of_part("temperature", "value"),
    ),
    Metric(
        name="scaled_calibration_error", heading="ECE, scaled", unit="share", better="lower", compared="images",
        definition="of the test images, with the logits divided by the temperature",
        of_run=attrgetter("scaled_calibration_error"), per_image=attrgetter("images.scaled_gaps"),
    ),
    Metric(
        name="scaled_cross_entropy", heading="NLL, scaled (nats)", unit="nats", better="lower", compared="images",
        definition="mean over the test images, with the logits divided by the temperature",
        of_run=attrgetter("scaled_cross_entropy"), per_image=attrgetter("images.scaled_losses"),
    ),
    Metric(
        name="scaling_calibration_change", heading="Change of ECE by scaling", unit="share", better="lower",
        compared="images", definition="expected calibration error with scaled logits minus that without",
        bounds=(-1, 1), of_run=_scaling_calibration_change,
        per_image=lambda run: run.images.scaling_change(run.correct),
    ),
)  # fmt: skip

_STABILITY = (
    Metric(
        name="relative_loss_variance", heading="Relative loss variance", unit="number", better="lower",
        compared="ratio",
        definition=f"of the logarithm of the training loss about a line, last {VARIANCE_WINDOW} steps",
        note=f"of the logarithm of the training loss about its least-squares line over the last {VARIANCE_WINDOW} "
        "steps of each run, so that neither the level of the loss nor the number of steps counts; mean over runs "
        "[95 % interval over seeds].",
        of_run=attrgetter("relative_loss_variance"), tables=("main", "export", "runs", "diff"),
    ),
    Metric(
        name="spike_score", heading="Spikes", unit="share", better="lower",
        definition="training steps whose loss was a spike", of_run=attrgetter("spike_score"),
    ),
    Metric(
        name="accuracy_swing", heading="Swing", unit="share", better="lower", compared="images",
        definition="mean change of validation accuracy between evaluation points", split="validation",
        per_image=attrgetter("images.swing"),
    ),
    Metric(
        name="accuracy_setback", heading="Setback", unit="share", better="lower", compared="images",
        definition="mean fall of validation accuracy between evaluation points, rises as 0", split="validation",
        per_image=attrgetter("images.setback"),
    ),
    Metric(
        name="churn", heading="Churn", unit="share", better="lower", compared="images",
        definition="validation images predicted otherwise at the next evaluation point", split="validation",
        per_image=attrgetter("images.churn"),
    ),
    Metric(
        name="churn_unnecessary", heading="Unnecessary churn", unit="share", better="lower", compared="images",
        definition="churn that the change in accuracy does not require", split="validation",
        per_image=attrgetter("images.unnecessary_churn"),
    ),
    Metric(
        name="forgetting_events", heading="Forgetting events an image", unit="number", better="lower",
        compared="images", definition="right, then wrong at the next evaluation point, by image", split="validation",
        per_image=attrgetter("images.forgetting_events"),
    ),
    Metric(
        name="dead_share", heading="Never positive, last evaluation", unit="share", better="lower",
        definition="units of ReLU or LeakyReLU above 0 for no validation image",
        of_run=_of_part("rectifiers", "last_dead_share"),
    ),
    Metric(
        name="first_dead_share", heading="Never positive, first evaluation", unit="share", better="lower",
        definition="units of ReLU or LeakyReLU above 0 for no validation image, at the first evaluation point",
        of_run=_of_part("rectifiers", "first_dead_share"),
    ),
    Metric(
        name="positive_share", heading="Positive outputs", unit="share",
        definition="outputs of ReLU or LeakyReLU above 0, at the last evaluation point",
        of_run=_of_part("rectifiers", "positive_share"),
    ),
    Metric(
        name="filters_without_gradient", heading="Filters without gradient", unit="share", better="lower",
        definition="convolution filters with a gradient of exactly 0", of_run=_filters_without_gradient,
    ),
    Metric(
        name="mean_activation", heading="Mean activation", unit="number",
        definition="output of ReLU or LeakyReLU on validation images",
        of_run=_of_part("rectifiers", "mean"), bounds=(-np.inf, np.inf),
    ),
    Metric(
        name="confusion", heading="Confusion", unit="share", compared="confusion",
        definition="test images of two classes predicted as each other, of all test images",
    ),
)  # fmt: skip

METRICS: Registry[Metric] = Registry(
    "metric", {metric.name: metric for metric in (*_ACCURACY, *CLASS_METRICS, *_STABILITY, *COST_METRICS)}
)
"""Every metric by name, in the order of tables."""


def metrics_in(table: Table) -> list[Metric]:
    """Return the metrics of a table, in its order."""
    return [entry.value for entry in METRICS.entries.values() if table in entry.value.tables]


def ranking_metrics() -> dict[str, Metric]:
    """Return the metrics by which architectures can be ranked, by the name that suites and `--metric` have for them."""
    metrics = [entry.value for entry in METRICS.entries.values() if entry.value.ranks]
    return {metric.short_name: metric for metric in metrics}


def ranking_metric(name: str) -> Metric:
    """Return a metric by which architectures can be ranked, by its name or its short name.

    Raises:
        UserError: no such metric, or one that ranks nothing.
    """
    METRICS.find(name)  # loads the entry point of that name
    accepted = ranking_metrics()
    by_name = accepted | {metric.name: metric for metric in accepted.values()}
    if name not in by_name:
        what = "architectures cannot be ranked by it" if name in METRICS.entries else "not known"
        raise UserError(f"metric {shortened(repr(name))}: {what}. {one_of_metrics(name, by_name)}")
    return by_name[name]


def named_metric(name: str) -> Metric:
    """Return the metric of that name.

    Raises:
        UserError: there is none.
    """
    entry = METRICS.find(name)
    if entry is None:
        raise UserError(f"metric {shortened(repr(name))} is not known. {one_of_metrics(name)}")
    return entry.value


def one_of_metrics(name: str, accepted: Mapping[str, Metric] | None = None, listed: Iterable[str] = ()) -> str:
    """List names of metrics, and suggest the metric that has a name near `name`.

    Args:
        name: Name that is not known, or not accepted.
        accepted: Metrics by accepted name; `None` for every metric.
        listed: Names to list; all accepted ones if there are none.
    """
    if accepted is None:
        accepted = {each.name: each.value for each in METRICS.entries.values()}
    spellings = {
        spelling: known
        for known, metric in reversed(list(accepted.items()))  # of two names of a metric the first one is suggested
        for spelling in (metric.name, metric.short_name, *metric.synonyms)
    }
    spellings |= {known: known for known in accepted}
    near = get_close_matches(name.lower().replace("-", "_"), spellings, n=1)
    return one_of(name, listed or accepted, f"`{spellings[near[0]]}`" if near else "")


def require_classes(metric: Metric, num_classes: int) -> None:
    """Check that a metric can rank architectures on data with this number of classes.

    Raises:
        UserError: the metric is defined only for more classes.
    """
    if num_classes < metric.min_classes:
        accepted = [name for name, each in ranking_metrics().items() if each.min_classes <= num_classes]
        raise UserError(
            f"metric {metric.short_name!r}: not defined for {num_classes} classes, it needs at least "
            f"{metric.min_classes}. {one_of('', accepted)}"
        )
