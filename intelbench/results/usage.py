"""How runs used the machine, as rows of raw numbers: arithmetic, steps, memory, energy, GPU, disturbances."""

from collections.abc import Iterator

import numpy as np

from intelbench.results.columns import Row, attributes, estimate_columns
from intelbench.results.datasheet import peak_flops_per_second
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import MEMORY_FIELDS, CohortSummary
from intelbench.results.tables import metric_columns
from intelbench.results.timing import OTHER_PARTS, StepBreakdown
from intelbench.statistics.estimates import quantile

PART_NAMES = {
    "batch_wait": "Batch wait",
    "transfer": "Transfer",
    "forward": "Forward",
    "backward": "Backward",
    "optimizer": "Optimizer",
    "other": "Outside the budget",
}
"""Headings of the step breakdown by column. The data wait of a run is the batch wait and the transfer together."""
_PARTS_OF = {"batch_wait": ("data_wait",), "other": OTHER_PARTS}
"""The parts in a column, where it is not the part of the same name."""


def contention(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each finished run: other use of the machine, and its effect on the run."""
    shares = ("others_share", "stolen_share", "involuntary_switches_per_second", "load_before")
    for disturbance in summary.disturbances:
        yield {
            "architecture": disturbance.run.record.spec.architecture,
            "seed": disturbance.run.seed,
            **attributes(disturbance, *shares, "compute_slowdown", "exchange_slowdown"),
            **estimate_columns("step_change", disturbance.step_change),
            **estimate_columns("unexplained_step_change", disturbance.unexplained_change),
            **estimate_columns("steps_lost", disturbance.steps_lost),
            "disturbed_by": " ".join(disturbance.reasons) or None,
        }


def compute(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture: its FLOP/s, and the measured peak, means over its runs."""
    spec, environment = summary.cohort.spec, summary.cohort.records[0].environment
    stated = peak_flops_per_second(environment.device_name, spec.conditions.precision)
    stated = stated and stated * spec.execution.gpus
    for architecture in summary.finished:
        achieved = METRICS.get("achieved_flops_per_second").of(architecture)
        peaks = [peak for run in architecture.runs if (peak := run.peak_flops_per_second) is not None]
        yield {
            "architecture": architecture.name,
            "num_runs": len(architecture.runs),
            "training_flops_per_image": architecture.runs[0].measurements.training_flops_per_image,
            **estimate_columns("achieved_flops_per_second", achieved),
            "measured_peak_flops_per_second": float(np.mean(peaks)) if peaks else None,
            **metric_columns(architecture, "utilization"),
            "stated_peak_flops_per_second": stated,
            "stated_utilization": achieved.mean / stated if achieved and stated else None,
            **metric_columns(architecture, "first_step_seconds"),
        }


def preparation(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each finished run whose conditions ask for steps that are not eager."""
    for architecture in summary.finished:
        for run in architecture.runs:
            if prepared := run.measurements.preparation:
                yield {
                    "architecture": architecture.name,
                    "seed": run.seed,
                    "num_prepared": prepared.num_prepared,
                    "preparation_seconds": prepared.seconds,
                    "fallback": prepared.fallback,
                }


def step_breakdown(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture with timed parts: median and quartiles of each part, over its runs."""
    for architecture in summary.finished:
        steps = StepBreakdown.pooled([run.step_breakdown for run in architecture.runs if run.step_breakdown])
        if steps is None:
            continue
        row: Row = {"architecture": architecture.name, "num_steps": steps.num_steps}
        columns = {name: steps.total(_PARTS_OF.get(name, (name,))) for name in PART_NAMES}
        for name, seconds in (columns | {"step_with_data_wait": steps.budget_seconds}).items():
            row |= {
                f"{name}_seconds": quantile(seconds, 0.5),
                f"{name}_seconds_quartile_1": quantile(seconds, 0.25),
                f"{name}_seconds_quartile_3": quantile(seconds, 0.75),
            }
        untimed, timed = quantile(architecture.total_seconds, 0.5), quantile(steps.budget_seconds, 0.5)
        yield {
            **row,
            "step_with_data_wait_seconds_percentile_95": quantile(steps.budget_seconds, 0.95),
            "are_of_run": steps.are_of_run,
            "overhead": timed / untimed - 1 if untimed and timed and not steps.are_of_run else None,
            "bound_by": steps.verdict,
        }


def memory(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture with a profile, failed ones included: predicted and measured peaks."""
    kinds = ("peak", "reserved", "parameters", "gradients", "optimizer_state", "activations", "temporaries")
    for architecture in summary.architectures:
        profile = architecture.profile
        if profile is None:
            continue
        predicted = profile.memory[0] if profile.memory else None
        probe = profile.measured[0] if profile.measured else None
        row: Row = {
            "architecture": architecture.name,
            **attributes(predicted, *(f"{kind}_bytes" for kind in kinds), prefix="predicted_"),
        }
        for field in MEMORY_FIELDS:
            row |= attributes(probe.peak if probe else None, field, prefix="probe_")
            row[f"peak_{field}"] = architecture.peak_bytes(field)
        row["probe_failure"] = probe.failure if probe else None
        row["torchsummary_bytes"] = profile.torchsummary.total_bytes if profile.torchsummary else None
        row["published_bytes"] = profile.published.total_bytes if profile.published else None
        yield row


def features(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each architecture whose head was trained on features: what they cost, and what a head costs.

    Memory is that of the runs that computed all of their features, and of those that read all of them. Other runs
    computed some and read some, or were resumed.
    """
    field = summary.memory_field
    for architecture in summary.finished:
        extractions = [(run, run.measurements.features) for run in architecture.runs if run.measurements.features]
        if not extractions:
            continue
        first = extractions[0][1]
        whole = [(run, each) for run, each in extractions if not run.measurements.resumed_after]
        computed = [run for run, each in whole if not each.num_stored_images]
        read = [run for run, each in whole if each.num_stored_images == each.num_images]
        row: Row = {
            "architecture": architecture.name,
            "num_runs": len(extractions),
            "num_images": first.num_images,
            "extraction_seconds": first.seconds,
            "num_computed": len(computed),
            "num_read": len(read),
            "num_other": len(extractions) - len(computed) - len(read),
        }
        for name in ("extracted_images_per_second", "head_epoch_seconds"):
            row |= estimate_columns(name, METRICS.get(name).of(architecture))
        for name, runs in (("computed", computed), ("read", read)):
            peaks = [peak for run in runs if field and (peak := getattr(run.measurements.peak_memory, field))]
            row[f"peak_bytes_{name}"] = max(peaks, default=None)
        yield row


def energy(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each finished run: its joules, and the power of the idle device."""
    for architecture in summary.finished:
        for run in architecture.runs:
            spent = run.measurements.energy
            num_images = run.measurements.num_steps * run.record.spec.conditions.recipe.batch_size
            has_idled = spent.idle_joules is not None and spent.idle_seconds > 0
            yield {
                "architecture": architecture.name,
                "seed": run.seed,
                **attributes(spent, "source", "joules", "seconds"),
                "joules_per_image": None if spent.joules is None else spent.joules / num_images,
                "idle_watts": (spent.idle_joules or 0.0) / spent.idle_seconds if has_idled else None,
                "absent": spent.absent,
            }


def gpu(summary: CohortSummary) -> Iterator[Row]:
    """Return one row for each finished run with readings of NVML: clock, heat and power, and what it is flagged for."""
    watched = [(run, run.gpu) for run in summary.runs if run.gpu]
    clocks = [readings.sm_clock_megahertz for _, readings in watched]
    told = ("sm_clock_megahertz", "temperature_celsius", "power_watts", "power_limited_share", "foreign_processes")
    for index, (run, readings) in enumerate(watched):
        retries = run.measurements.peak_memory.num_alloc_retries
        reasons = readings.reasons(clocks[:index] + clocks[index + 1 :]) + (["memory"] if retries else [])
        peak = run.reference_kernels.peak_bytes_per_second(run.measurements.reference_kernels)
        yield {
            "architecture": run.record.spec.architecture,
            "seed": run.seed,
            **attributes(readings, *told),
            "copy_bytes_per_second": peak,
            "num_alloc_retries": retries,
            "flagged_for": " ".join(reasons) or None,
        }
