"""How runs used the machine, as data frames of raw numbers: arithmetic, steps, memory, energy, disturbances."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from intelbench.records.profiles import ArchitectureProfile, MeasuredMemory
from intelbench.results.datasheet import peak_flops_per_second
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import MEMORY_FIELDS, ArchitectureSummary, CohortSummary
from intelbench.results.tables import Row, estimate_columns, frame, named_columns
from intelbench.results.timing import BUDGET_PARTS, OTHER_PARTS, StepBreakdown
from intelbench.statistics import estimates as statistics

STEP_BREAKDOWN_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "batch_wait": ("data_wait",),
    **{part: (part,) for part in BUDGET_PARTS[1:]},
    "other": OTHER_PARTS,
}
"""Columns of the step breakdown, and the parts that each adds up. What the clock of a run calls data wait is the batch
wait and the transfer together."""
PART_NAMES = {
    "batch_wait": "Batch wait",
    "transfer": "Transfer",
    "forward": "Forward",
    "backward": "Backward",
    "optimizer": "Optimizer",
    "other": "Outside the budget",
}
"""What they are called in headings."""


def contention(summary: CohortSummary) -> pd.DataFrame:
    """One row for each finished run: who else used the machine, and what that did to the run."""
    return frame(
        [
            {
                "architecture": found.run.record.spec.architecture,
                "seed": found.run.seed,
                "others_share": found.others_share,
                "stolen_share": found.stolen_share,
                "involuntary_switches_per_second": found.switches_per_second,
                "load_before": found.load_before,
                "compute_slowdown": found.compute_slowdown,
                "exchange_slowdown": found.exchange_slowdown,
                **estimate_columns("step_change", found.step_change),
                **estimate_columns("unexplained_step_change", found.unexplained_change),
                **estimate_columns("steps_lost", found.steps_lost),
                "disturbed_by": " ".join(found.reasons) or None,
            }
            for found in summary.disturbances
        ]
    )


def compute(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture: what it computes in a second, against what the machine can."""
    spec, environment = summary.cohort.spec, summary.cohort.records[0].environment
    stated = peak_flops_per_second(environment.device_name, spec.conditions.precision)
    found: list[Row] = []
    for architecture in summary.finished:
        achieved = METRICS.get("achieved_flops_per_second").of(architecture)
        found.append(
            {
                "architecture": architecture.name,
                "num_runs": len(architecture.runs),
                "training_flops_per_image": architecture.measured("training_flops_per_image"),
                **estimate_columns("achieved_flops_per_second", achieved),
                "measured_peak_flops_per_second": max(
                    (run.peak_flops_per_second or 0.0 for run in architecture.runs), default=0.0
                )
                or None,
                **named_columns(architecture, "utilization"),
                "stated_peak_flops_per_second": stated,
                "stated_utilization": achieved.mean / stated if achieved and stated else None,
                **named_columns(architecture, "first_step_seconds"),
            }
        )
    return frame(found)


def preparation(summary: CohortSummary) -> pd.DataFrame:
    """One row for each finished run whose conditions ask for steps that are not eager."""
    return frame(
        [
            {
                "architecture": architecture.name,
                "seed": run.seed,
                "num_prepared": prepared.num_prepared,
                "preparation_seconds": prepared.seconds,
                "fallback": prepared.fallback,
            }
            for architecture in summary.finished
            for run in architecture.runs
            if (prepared := run.measurements.preparation)
        ]
    )


def step_breakdown(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture whose steps were looked at: medians and quartiles of each part, over its runs."""
    found: list[Row] = []
    for architecture in summary.finished:
        steps = StepBreakdown.pooled([run.step_breakdown for run in architecture.runs if run.step_breakdown])
        if steps is None:
            continue
        row: Row = {"architecture": architecture.name, "num_steps": steps.num_steps}
        columns = {name: steps.total(parts) for name, parts in STEP_BREAKDOWN_COLUMNS.items()} | {
            "step_with_data_wait": steps.budget_seconds
        }
        for name, seconds in columns.items():
            row |= {
                f"{name}_seconds": statistics.quantile(seconds, 0.5),
                f"{name}_seconds_quartile_1": statistics.quantile(seconds, 0.25),
                f"{name}_seconds_quartile_3": statistics.quantile(seconds, 0.75),
            }
        timed = statistics.quantile(architecture.total_seconds, 0.5)
        looked_at = statistics.quantile(steps.budget_seconds, 0.5)
        found.append(
            row
            | {
                "step_with_data_wait_seconds_percentile_95": statistics.quantile(steps.budget_seconds, 0.95),
                "are_of_run": steps.are_of_run,
                "overhead": looked_at / timed - 1 if timed and looked_at and not steps.are_of_run else None,
                "bound_by": steps.verdict,
            }
        )
    return frame(found)


def memory(summary: CohortSummary) -> pd.DataFrame:
    """One row for each architecture with a profile, failed ones included: predicted and measured peaks."""
    found: list[Row] = []
    for architecture, profile in profiles(summary):
        predicted = profile.memory[0] if profile.memory else None
        probed = profile.measured[0] if profile.measured else None
        row: Row = {
            "architecture": architecture.name,
            "predicted_peak_bytes": predicted.peak_bytes if predicted else None,
            "predicted_reserved_bytes": predicted.reserved_bytes if predicted else None,
        }
        for kind in ("parameters", "gradients", "optimizer_state", "activations", "temporaries"):
            row[f"predicted_{kind}_bytes"] = getattr(predicted, f"{kind}_bytes") if predicted else None
        for field in MEMORY_FIELDS:
            row[f"probe_{field}"] = getattr(probed.peak, field) if probed and probed.peak else None
            row[f"peak_{field}"] = architecture.peak_bytes(field)
        row["probe_failure"] = _probe_failure(probed)
        row["torchsummary_bytes"] = profile.torchsummary.total_bytes if profile.torchsummary else None
        row["published_bytes"] = profile.published.total_bytes if profile.published else None
        found.append(row)
    return frame(found)


def energy(summary: CohortSummary) -> pd.DataFrame:
    """Return one row for each finished run: its joules, and the power of the idle device."""
    found: list[Row] = []
    for architecture in summary.finished:
        for run in architecture.runs:
            spent = run.measurements.energy
            num_images = run.measurements.num_steps * run.record.spec.conditions.recipe.batch_size
            has_idled = spent.idle_joules is not None and spent.idle_seconds > 0
            idle = (spent.idle_joules or 0.0) / spent.idle_seconds if has_idled else None
            found.append(
                {
                    "architecture": architecture.name,
                    "seed": run.seed,
                    "source": spent.source,
                    "joules": spent.joules,
                    "seconds": spent.seconds,
                    "joules_per_image": None if spent.joules is None else spent.joules / num_images,
                    "idle_watts": idle,
                    "absent": spent.absent,
                }
            )
    return frame(found)


def profiles(summary: CohortSummary) -> Iterator[tuple[ArchitectureSummary, ArchitectureProfile]]:
    """Architectures that have one."""
    for architecture in summary.architectures:
        if architecture.profile:
            yield architecture, architecture.profile


def profiles_absent(summary: CohortSummary) -> Sequence[str]:
    """Why some have none."""
    return sorted({record.profile_absent for record in summary.cohort.records if record.profile_absent})


def _probe_failure(probed: MeasuredMemory | None) -> str | None:
    return probed.failure if probed else None
