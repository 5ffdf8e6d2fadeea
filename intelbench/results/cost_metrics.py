"""Metrics of what a network is and what it costs: parameters, time, memory, energy."""

from operator import attrgetter

import numpy as np

from intelbench.records.profiles import ArchitectureProfile
from intelbench.results.metric import Metric, first_run, largest_run
from intelbench.results.reaching import steps_to_accuracy
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.estimates import Estimate, quantile

_FLOAT32_BYTES = 4


def _images_per_second(_: Metric, architecture: ArchitectureSummary) -> Estimate | None:
    runs, seconds = architecture.runs, quantile(architecture.total_seconds, 0.5)
    if not seconds or runs[0].measurements.features:
        return None
    return Estimate(runs[0].record.spec.conditions.recipe.batch_size / seconds, None, None, len(runs))


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


def _parameters_1000_classes(profile: ArchitectureProfile) -> float | None:
    if profile.published:
        return profile.published.parameters_bytes // _FLOAT32_BYTES
    return profile.num_parameters_1000_classes


def _has_frozen_parameters(summary: CohortSummary) -> bool:
    runs = [run.measurements for architecture in summary.finished for run in architecture.runs[:1]]
    return any(run.num_parameters != run.num_trainable_parameters for run in runs)


def _has_other_budget_than_steps(summary: CohortSummary) -> bool:
    budgets = summary.cohort.budgets
    return len(budgets) > 1 or budgets[0].unit != "steps"


def _peak_memory(field: str, heading: str, meaning: str) -> Metric:
    """Return the metric of one field of `PeakMemory`; `meaning` is Markdown."""
    return Metric(
        name=f"peak_{field}", heading=heading, unit="bytes", better="lower", compared="ratio",
        definition=meaning.replace("`", ""), note=f"{meaning}; the largest of the runs{{extraction}}.",
        of_run=attrgetter(f"measurements.peak_memory.{field}"), over_runs=largest_run, interval=False,
        tables=("main", "export", "runs"),
    )  # fmt: skip


COST_METRICS = (
    Metric(
        name="num_parameters", heading="Parameters", unit="parameters", better="lower", compared="exact",
        synonyms=("params", "parameters"),
        definition="of the network as trained", note="all of them{trained}.",
        of_run=attrgetter("measurements.num_parameters"), of_profile=attrgetter("num_parameters"),
        over_runs=first_run, interval=False, tables=("main", "export"),
    ),
    Metric(
        name="num_trainable_parameters", heading="Trainable", unit="parameters", better="lower", compared="exact",
        definition="of the network as trained, those that training changes",
        of_run=attrgetter("measurements.num_trainable_parameters"), of_profile=attrgetter("num_trainable_parameters"),
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
        of_run=attrgetter("measurements.training_flops_per_image"), of_profile=attrgetter("training_flops_per_image"),
        profile_field="flops", over_runs=first_run, interval=False, scale=1e-9, tables=("export",),
    ),
    Metric(
        name="predicted_peak_bytes", heading="Predicted peak memory", unit="bytes", better="lower", compared="exact",
        definition="memory of a training step, by the sizes of its tensors",
        of_profile=lambda profile: profile.memory[0].peak_bytes if profile.memory else None, profile_field="memory",
    ),

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
        synonyms=("step_time",),
        definition="median training step after warm-up, without data wait",
        note="median of forward, backward and optimizer{steps_of} over the steps of all runs, the first "
        "{warmup_steps} of each left out; without data wait [95 % percentile interval, two-level bootstrap of runs and "
        "their steps].",
        of_run=attrgetter("median_step_seconds"), over_runs=lambda _, architecture: architecture.step_estimate,
        scale=1e3, tables=("main", "export", "runs", "diff"),
    ),
    Metric(
        name="data_wait_seconds", heading="Data wait (ms)", unit="seconds", better="lower",
        definition="median wait for a batch on the device, after warm-up",
        of_run=lambda run: quantile(run.warm_total_seconds - run.warm_step_seconds, 0.5), scale=1e3,
        tables=("runs", "diff"),
    ),
    Metric(
        name="images_per_second", heading="Images/s", unit="number", better="higher", compared="ratio",
        synonyms=("throughput",),
        definition="batch size over the median of step time plus data wait; not of heads on stored features",
        note="batch size ({batch_sizes}) over the median of step time plus data wait.",
        of_run=_images_per_second_of_run, over_runs=_images_per_second, interval=False, tables=("main", "export"),
    ),
    Metric(
        name="extracted_images_per_second", heading="Extraction (images/s)", unit="number", better="higher",
        compared="ratio", definition="images through the frozen backbone, by the runs that computed its features",
        note="images that pass the frozen backbone in a second, loading included, when its features are computed; mean "
        "over the runs that computed them.",
        of_run=attrgetter("extracted_images_per_second"), tables=("main", "export", "runs"),
        is_shown=attrgetter("on_features"),
    ),
    Metric(
        name="head_epoch_seconds", heading="Head epoch (s)", unit="seconds", better="lower", compared="ratio",
        definition="median step of the head on stored features, with its data wait, times the steps of an epoch",
        note="an epoch of the head on stored features: median step with its data wait, times the steps of an epoch.",
        of_run=_head_epoch_seconds, tables=("main", "export", "runs"), is_shown=attrgetter("on_features"),
    ),
    Metric(
        name="num_steps", heading="Steps", unit="steps", definition="optimizer steps within the budget",
        note="optimizer steps within the budget, mean over runs.", of_run=attrgetter("measurements.num_steps"),
        interval=False, tables=("main", "export", "runs"), is_shown=_has_other_budget_than_steps,
    ),
    Metric(
        name="peak_memory_bytes", heading="Peak memory", unit="bytes", better="lower", compared="ratio",
        synonyms=("memory", "peak_memory"),
        definition="of the process on a CPU, of the allocated tensors on a GPU",
        note="{memory}; the main table has the largest of the runs, this is their mean.",
        of_run=attrgetter("peak_memory_bytes"), tables=("diff",),
    ),
    Metric(
        name="seconds_per_image", heading="Time an image (ms)", unit="seconds", better="lower", compared="ratio",
        synonyms=("latency",),
        definition="median step with its data wait, over the batch size",
        note="median step with its data wait, over the batch size. It is shown instead of the training time of a "
        "run, which the budget fixes for all.",
        of_run=_seconds_per_image, scale=1e3,
    ),
    Metric(
        name="training_seconds", heading="Training time (s)", unit="seconds", better="lower", compared="ratio",
        definition="clock of the budget at the end of a run",
        note="the clock of the budget at the end: training alone, data wait included.",
        of_run=attrgetter("measurements.training_seconds"), tables=("runs",),
    ),
    Metric(
        name="total_seconds", heading="Total time (s)", unit="seconds", better="lower", compared="ratio",
        definition="wall clock of a run, evaluations included",
        of_run=attrgetter("measurements.total_seconds"), tables=("runs",),
    ),
    Metric(
        name="training_flops", heading="Training TFLOPs", unit="flops", better="lower", compared="ratio",
        synonyms=("flops",),
        definition="forward and backward of all images that a run was trained on, 1 MAC = 2 FLOPs",
        note="forward and backward of all images that a run was trained on, 1 MAC = 2 FLOPs.",
        of_run=_training_flops, scale=1e-12,
    ),
    Metric(
        name="joules", heading="Energy (kJ)", unit="joules", better="lower", compared="ratio",
        synonyms=("energy",),
        definition="as counted in each run, validation passes included",
        note="as counted in each run, validation passes included.",
        of_run=lambda run: run.measurements.energy.joules, scale=1e-3,
    ),
    Metric(
        name="first_step_seconds", heading="First step after (s)", unit="seconds", better="lower", compared="ratio",
        definition="from the start of the process to the end of the first training step",
        of_run=attrgetter("measurements.first_step_seconds"),
    ),
    Metric(
        name="achieved_flops_per_second", heading="Achieved (GFLOP/s)", unit="number", better="higher",
        compared="ratio", definition="FLOPs of a training image times images a second, data wait included",
        of_run=attrgetter("achieved_flops_per_second"), scale=1e-9,
    ),
    Metric(
        name="utilization", heading="MFU", unit="share", better="higher",
        synonyms=("mfu",),
        definition="model FLOPs utilization: achieved over the measured peak",
        of_run=attrgetter("utilization"), bounds=(0, np.inf),
    ),
    Metric(
        name="steps_to_accuracy", heading="Steps to the accuracy", unit="steps", better="lower", compared="ratio",
        definition="to that validation accuracy, on straight lines between evaluation points",
        at_accuracy=steps_to_accuracy,
    ),
)  # fmt: skip
"""Metrics of networks and of their cost, in the order of tables."""
