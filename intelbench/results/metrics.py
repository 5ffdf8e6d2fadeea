"""The one list of metrics. Tables, definitions, JSON, CSV, claims, gates and costs read it.

To add a metric, add a `Metric` to one of the tuples below, in the order in which tables show it.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from intelbench.errors import UserError, one_of, shortened
from intelbench.plugins.registry import Registry
from intelbench.records.profiles import ArchitectureProfile
from intelbench.results.class_metrics import CLASS_METRICS, log_frequencies, majority_answers
from intelbench.results.metric import Metric, Table, first_run, largest_run
from intelbench.results.reaching import steps_to_accuracy
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.calibration import squared_distances
from intelbench.statistics.estimates import Estimate, Softmax, images_per_second
from intelbench.statistics.scores import log_losses
from intelbench.statistics.stability import VARIANCE_WINDOW

_FLOAT32_BYTES = 4


def _of_part(part: str, field: str) -> Callable[[RunSummary], Any]:
    """Return a function that reads a field of a part of a run; `None` where the run does not have the part."""
    part_of = attrgetter(part)
    return lambda run: None if part_of(run) is None else getattr(part_of(run), field)


def _images_per_second(_: Metric, architecture: ArchitectureSummary) -> Estimate | None:
    runs = architecture.runs
    if not runs or runs[0].measurements.features:
        return None
    rate = images_per_second(runs[0].record.spec.conditions.recipe.batch_size, architecture.total_seconds)
    return None if rate is None else Estimate(rate, None, None, len(runs))


def _head_epoch_seconds(run: RunSummary) -> float | None:
    seconds, recipe = run.median_total_seconds, run.record.spec.conditions.recipe
    if run.measurements.features is None or seconds is None:
        return None
    return seconds * (run.record.spec.num_train // recipe.batch_size)


def _seconds_per_image(run: RunSummary) -> float | None:
    seconds = run.median_total_seconds
    return None if seconds is None else seconds / run.record.spec.conditions.recipe.batch_size


def _images_per_second_of_run(run: RunSummary) -> float | None:
    seconds = _seconds_per_image(run)
    return 1 / seconds if seconds and not run.measurements.features else None


def _training_flops(run: RunSummary) -> float | None:
    flops = run.measurements.training_flops_per_image
    num_images = run.measurements.num_steps * run.record.spec.conditions.recipe.batch_size
    return None if flops is None else flops * num_images


def _filters_without_gradient(run: RunSummary) -> float | None:
    gradients = run.measurements.filter_gradients
    return gradients.num_without_gradient / gradients.num_filters if gradients and gradients.num_filters else None


def _scaling_calibration_change(run: RunSummary) -> float | None:
    after = run.scaled_calibration_error
    return None if run.reliability is None or after is None else after - run.reliability.expected_calibration_error


def _accuracy_setback(run: RunSummary) -> float | None:
    falls = np.maximum(-np.diff(run.evaluation_accuracy), 0)
    return float(falls.mean()) if len(falls) else None


def _parameters_1000_classes(profile: ArchitectureProfile) -> float | None:
    if profile.published:
        return profile.published.parameters_bytes // _FLOAT32_BYTES
    return profile.num_parameters_1000_classes


def _has_frozen_parameters(summary: CohortSummary) -> bool:
    runs = [run.measurements for architecture in summary.finished for run in architecture.runs[:1]]
    return any(run.num_parameters != run.num_trainable_parameters for run in runs)


def _has_features(summary: CohortSummary) -> bool:
    return any(run.measurements.features for run in summary.runs)


def _has_other_budget_than_steps(summary: CohortSummary) -> bool:
    budgets = summary.cohort.budgets
    return len(budgets) > 1 or budgets[0].unit != "steps"


def _peak_memory(field: str, heading: str, meaning: str) -> Metric:
    """Return the metric of one field of `PeakMemory`; `meaning` is Markdown."""
    return Metric(
        name=f"peak_{field}", heading=heading, unit="bytes", better="lower", compared="ratio",
        definition=meaning.replace("`", ""), note=f"{meaning}; the largest of the runs{{extraction}}.",
        value=attrgetter(f"measurements.peak_memory.{field}"), over_runs=largest_run, interval=False,
        tables=("main", "export", "runs"),
    )  # fmt: skip


_ACCURACY = (
    Metric(
        name="test_accuracy", heading="Test accuracy", unit="share", better="higher", compared="images",
        definition="of the test images",
        note="mean over seeds [95 % interval over seeds and test images]; the test images are read once, after "
        "training. Validation and training accuracy: of the same weights, without augmentation, with an interval over "
        "seeds and these images; training accuracy on as many of the training images as the heading says, the same "
        "for all runs. **Majority baseline**: the share of the largest class, which is the accuracy of answering that "
        "class for every image.",
        value=attrgetter("test_accuracy"), per_image=attrgetter("correct"), alias="accuracy", ranks=True,
        baseline=lambda labels: majority_answers(labels) == labels,
        over_runs=lambda _, architecture: architecture.test_accuracy, tables=("main", "export", "runs", "diff"),
    ),
    Metric(
        name="validation_accuracy", heading="Validation accuracy", unit="share", better="higher", compared="images",
        definition="at the last evaluation point, or at the best if the recipe keeps that", split="validation",
        value=attrgetter("validation_accuracy"),
        per_image=attrgetter("images.kept_right"), tables=("main", "export", "runs"),
    ),
    Metric(
        name="training_accuracy", heading="Training accuracy", unit="share", better="higher", compared="images",
        definition="on a sample of the training images, the same for all runs, after training, without augmentation",
        split="training", value=attrgetter("training_accuracy"), per_image=attrgetter("images.training_right"),
        tables=("main", "export", "runs"),
    ),
    Metric(
        name="test_cross_entropy", heading="Test NLL (nats)", unit="nats", better="lower", compared="images",
        definition="mean over the test images",
        value=attrgetter("test_cross_entropy"), per_image=attrgetter("images.test_losses"), alias="log_loss",
        ranks=True, baseline=lambda labels: log_losses(labels, log_frequencies(labels)),
        tables=("export", "runs", "diff"),
    ),
    Metric(
        name="training_cross_entropy", heading="Training NLL (nats)", unit="nats", better="lower", compared="images",
        definition="on a sample of the training images, the same for all runs, after training, without augmentation",
        split="training", value=attrgetter("training_cross_entropy"), per_image=attrgetter("images.training_losses"),
        tables=("export", "runs"),
    ),
    Metric(
        name="expected_calibration_error", heading="ECE", unit="share", better="lower", compared="images",
        definition="of the test images, 15 bins", value=_of_part("reliability", "expected_calibration_error"),
        per_image=lambda run: run.images.calibration_gaps(run.correct), tables=("diff",),
    ),
    Metric(
        name="expected_calibration_error_if_calibrated", heading="ECE if calibrated", unit="share", interval=False,
        definition="what a perfectly calibrated network with the same confidences is expected to show on the test "
        "images",
        value=_of_part("reliability", "expected_calibration_error_if_calibrated"),
    ),
    Metric(
        name="adaptive_calibration_error", heading="Adaptive ECE", unit="share", better="lower", compared="images",
        definition="of the test images, with bins of equally many images",
        value=_of_part("reliability", "adaptive_error"),
        per_image=lambda run: run.images.adaptive_gaps(run.correct),
    ),
    Metric(
        name="brier_score", heading="Brier score", unit="number", better="lower", compared="images",
        definition="squared distance of the probabilities from the truth", bounds=(0, 2), phrase="Brier score",
        value=_of_part("reliability", "brier_score"), per_image=attrgetter("images.squared_distances"), ranks=True,
        baseline=lambda labels: squared_distances(labels, Softmax.of(log_frequencies(labels)).probabilities),
    ),
    Metric(
        name="fitted_temperature", heading="Temperature", unit="number",
        definition="fitted to the validation images; absent where the fit did not converge",
        value=_of_part("temperature", "value"),
    ),
    Metric(
        name="scaled_calibration_error", heading="ECE, scaled", unit="share", better="lower", compared="images",
        definition="of the test images, with the logits divided by the temperature",
        value=attrgetter("scaled_calibration_error"), per_image=attrgetter("images.scaled_gaps"),
    ),
    Metric(
        name="scaled_cross_entropy", heading="NLL, scaled (nats)", unit="nats", better="lower", compared="images",
        definition="mean over the test images, with the logits divided by the temperature",
        value=attrgetter("scaled_cross_entropy"), per_image=attrgetter("images.scaled_losses"),
    ),
    Metric(
        name="scaling_calibration_change", heading="Change of ECE by scaling", unit="share", better="lower",
        compared="images", definition="expected calibration error with scaled logits minus that without",
        bounds=(-1, 1), value=_scaling_calibration_change,
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
        value=attrgetter("relative_loss_variance"), tables=("main", "export", "runs", "diff"),
    ),
    Metric(
        name="spike_score", heading="Spikes", unit="share", better="lower",
        definition="training steps whose loss was a spike", value=attrgetter("stability.spike_score"),
    ),
    Metric(
        name="accuracy_swing", heading="Swing", unit="share", better="lower", compared="images",
        definition="mean change of validation accuracy between evaluation points", split="validation",
        value=attrgetter("stability.accuracy_swing"), per_image=attrgetter("images.swing"),
    ),
    Metric(
        name="accuracy_setback", heading="Setback", unit="share", better="lower", compared="images",
        definition="mean fall of validation accuracy between evaluation points, rises as 0", split="validation",
        value=_accuracy_setback, per_image=attrgetter("images.setback"),
    ),
    Metric(
        name="churn", heading="Churn", unit="share", better="lower", compared="images",
        definition="validation images predicted otherwise at the next evaluation point", split="validation",
        value=_of_part("stability.churn", "total"), per_image=attrgetter("images.churn"),
    ),
    Metric(
        name="churn_unnecessary", heading="Unnecessary churn", unit="share", better="lower", compared="images",
        definition="churn that the change in accuracy does not require", split="validation",
        value=_of_part("stability.churn", "unnecessary"), per_image=attrgetter("images.unnecessary_churn"),
    ),
    Metric(
        name="forgetting_events", heading="Forgetting events an image", unit="number", better="lower",
        compared="images", definition="right, then wrong at the next evaluation point, by image", split="validation",
        value=attrgetter("stability.forgetting_events"), per_image=attrgetter("images.forgetting_events"),
    ),
    Metric(
        name="dead_share", heading="Never positive, last evaluation", unit="share", better="lower",
        definition="units of ReLU or LeakyReLU above 0 for no validation image",
        value=_of_part("rectifiers", "last_dead_share"),
    ),
    Metric(
        name="first_dead_share", heading="Never positive, first evaluation", unit="share", better="lower",
        definition="units of ReLU or LeakyReLU above 0 for no validation image, at the first evaluation point",
        value=_of_part("rectifiers", "first_dead_share"),
    ),
    Metric(
        name="positive_share", heading="Positive outputs", unit="share",
        definition="outputs of ReLU or LeakyReLU above 0, at the last evaluation point",
        value=_of_part("rectifiers", "positive_share"),
    ),
    Metric(
        name="filters_without_gradient", heading="Filters without gradient", unit="share", better="lower",
        definition="convolution filters with a gradient of exactly 0", value=_filters_without_gradient,
    ),
    Metric(
        name="mean_activation", heading="Mean activation", unit="number",
        definition="output of ReLU or LeakyReLU on validation images",
        value=_of_part("rectifiers", "mean"), bounds=(-np.inf, np.inf),
    ),
    Metric(
        name="confusion", heading="Confusion", unit="share", compared="confusion",
        definition="test images of two classes predicted as each other, of all test images",
    ),
)  # fmt: skip

_NETWORK = (
    Metric(
        name="num_parameters", heading="Parameters", unit="parameters", better="lower", compared="exact",
        definition="of the network as trained", note="all of them{trained}.",
        value=attrgetter("measurements.num_parameters"), of_profile=attrgetter("num_parameters"),
        over_runs=first_run, interval=False, tables=("main", "export"),
    ),
    Metric(
        name="num_trainable_parameters", heading="Trainable", unit="parameters", better="lower", compared="exact",
        definition="of the network as trained, those that training changes",
        value=attrgetter("measurements.num_trainable_parameters"), of_profile=attrgetter("num_trainable_parameters"),
        over_runs=first_run, interval=False, tables=("main", "export"), is_shown=_has_frozen_parameters,
    ),
    Metric(
        name="num_parameters_1000_classes", heading="Parameters with 1000 classes", unit="parameters", better="lower",
        compared="exact",
        definition="with 1000 classes; weights and biases at 300 px where a memory figure was published",
        of_profile=_parameters_1000_classes, profile_field="parameters",
    ),
    Metric(
        name="torchsummary_memory_mebibytes", heading="Published memory (MB)", unit="mebibytes", better="lower",
        compared="exact",
        definition='torchsummary\'s "Estimated Total Size" with 1000 classes at 300 px, batch 1',
        of_profile=lambda profile: profile.published.total_bytes / 2**20 if profile.published else None,
        profile_field="published",
    ),
    Metric(
        name="training_flops_per_image", heading="GFLOPs an image", unit="flops", better="lower", compared="exact",
        definition="forward and backward, 1 MAC = 2 FLOPs",
        note="forward and backward, 1 MAC = 2 FLOPs; not those of a run, of which the budget decides how many there "
        "are.",
        value=attrgetter("measurements.training_flops_per_image"), of_profile=attrgetter("training_flops_per_image"),
        profile_field="flops", over_runs=first_run, interval=False, scale=1e-9, tables=("export",),
    ),
    Metric(
        name="predicted_peak_bytes", heading="Predicted peak memory", unit="bytes", better="lower", compared="exact",
        definition="memory of a training step, by the sizes of its tensors",
        of_profile=lambda profile: profile.memory[0].peak_bytes if profile.memory else None, profile_field="memory",
    ),
)  # fmt: skip

_COST = (
    _peak_memory(
        "process_bytes", "Peak process memory",
        "highest resident memory of the process above its value before the model was built, evaluations included",
    ),
    _peak_memory(
        "cuda_allocated_bytes", "Peak CUDA memory allocated",
        "highest memory held by tensors (`torch.cuda.max_memory_allocated`)",
    ),
    _peak_memory(
        "cuda_reserved_bytes", "Peak CUDA memory reserved",
        "tensors and the allocator's cache (`torch.cuda.max_memory_reserved`)",
    ),
    _peak_memory(
        "nvml_process_bytes", "Peak GPU memory of the process (NVML)",
        "what the driver counts for the process at the end, CUDA context included",
    ),
    Metric(
        name="step_seconds", heading="Step (ms)", unit="seconds", better="lower", compared="ratio",
        definition="median training step after warm-up, without data wait",
        note="median of forward, backward and optimizer{steps_of} over the steps of all runs, the first "
        "{warmup_steps} of each left out; without data wait [95 % percentile interval, two-level bootstrap of runs and "
        "their steps].",
        value=attrgetter("median_step_seconds"), over_runs=lambda _, architecture: architecture.step_estimate,
        scale=1e3, tables=("main", "export", "runs", "diff"),
    ),
    Metric(
        name="data_wait_seconds", heading="Data wait (ms)", unit="seconds", better="lower",
        definition="median wait for a batch on the device, after warm-up",
        value=attrgetter("median_data_wait_seconds"), scale=1e3, tables=("runs", "diff"),
    ),
    Metric(
        name="images_per_second", heading="Images/s", unit="number", better="higher", compared="ratio",
        definition="batch size over the median of step time plus data wait; not of heads on stored features",
        note="batch size ({batch_sizes}) over the median of step time plus data wait.",
        value=_images_per_second_of_run, over_runs=_images_per_second, interval=False, tables=("main", "export"),
    ),
    Metric(
        name="extracted_images_per_second", heading="Extraction (images/s)", unit="number", better="higher",
        compared="ratio", definition="images through the frozen backbone, by the runs that computed its features",
        note="images that pass the frozen backbone in a second, loading included, when its features are computed; mean "
        "over the runs that computed them.",
        value=attrgetter("extracted_images_per_second"), tables=("main", "export", "runs"), is_shown=_has_features,
    ),
    Metric(
        name="head_epoch_seconds", heading="Head epoch (s)", unit="seconds", better="lower", compared="ratio",
        definition="median step of the head on stored features, with its data wait, times the steps of an epoch",
        note="an epoch of the head on stored features: median step with its data wait, times the steps of an epoch.",
        value=_head_epoch_seconds, tables=("main", "export", "runs"), is_shown=_has_features,
    ),
    Metric(
        name="num_steps", heading="Steps", unit="steps", definition="optimizer steps within the budget",
        note="optimizer steps within the budget, mean over runs.", value=attrgetter("measurements.num_steps"),
        interval=False, tables=("main", "export", "runs"), is_shown=_has_other_budget_than_steps,
    ),
    Metric(
        name="peak_memory_bytes", heading="Peak memory", unit="bytes", better="lower", compared="ratio",
        definition="of the process on a CPU, of the allocated tensors on a GPU",
        note="{memory}; the main table has the largest of the runs, this is their mean.",
        value=attrgetter("peak_memory_bytes"), tables=("diff",),
    ),
    Metric(
        name="seconds_per_image", heading="Time an image (ms)", unit="seconds", better="lower", compared="ratio",
        definition="median step with its data wait, over the batch size",
        note="median step with its data wait, over the batch size. It is shown instead of the training time of a "
        "run, which the budget fixes for all.",
        value=_seconds_per_image, scale=1e3,
    ),
    Metric(
        name="training_seconds", heading="Training time (s)", unit="seconds", better="lower", compared="ratio",
        definition="clock of the budget at the end of a run",
        note="the clock of the budget at the end: training alone, data wait included.",
        value=attrgetter("measurements.training_seconds"), tables=("runs",),
    ),
    Metric(
        name="total_seconds", heading="Total time (s)", unit="seconds", better="lower", compared="ratio",
        definition="wall clock of a run, evaluations included",
        value=attrgetter("measurements.total_seconds"), tables=("runs",),
    ),
    Metric(
        name="training_flops", heading="Training TFLOPs", unit="flops", better="lower", compared="ratio",
        definition="forward and backward of all images that a run was trained on, 1 MAC = 2 FLOPs",
        note="forward and backward of all images that a run was trained on, 1 MAC = 2 FLOPs.",
        value=_training_flops, scale=1e-12,
    ),
    Metric(
        name="joules", heading="Energy (kJ)", unit="joules", better="lower", compared="ratio",
        definition="as counted in each run, validation passes included",
        note="as counted in each run, validation passes included.",
        value=lambda run: run.measurements.energy.joules, scale=1e-3,
    ),
    Metric(
        name="first_step_seconds", heading="First step after (s)", unit="seconds", better="lower", compared="ratio",
        definition="from the start of the process to the end of the first training step",
        value=attrgetter("measurements.first_step_seconds"),
    ),
    Metric(
        name="achieved_flops_per_second", heading="Achieved (GFLOP/s)", unit="number", better="higher",
        compared="ratio", definition="FLOPs of a training image times images a second, data wait included",
        value=attrgetter("achieved_flops_per_second"), scale=1e-9,
    ),
    Metric(
        name="utilization", heading="MFU", unit="share", better="higher",
        definition="model FLOPs utilization: achieved over the measured peak",
        value=attrgetter("utilization"), bounds=(0, np.inf),
    ),
    Metric(
        name="steps_to_accuracy", heading="Steps to the accuracy", unit="steps", better="lower", compared="ratio",
        definition="to that validation accuracy, on straight lines between evaluation points",
        at_accuracy=steps_to_accuracy,
    ),
)  # fmt: skip

METRICS: Registry[Metric] = Registry(
    "metric", {metric.name: metric for metric in (*_ACCURACY, *CLASS_METRICS, *_STABILITY, *_NETWORK, *_COST)}
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
        raise UserError(f"metric {shortened(repr(name))}: {what}. {one_of(name, accepted)}")
    return by_name[name]


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
