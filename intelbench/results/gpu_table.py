"""Whether the GPU was quiet, run by run, as a data frame of raw numbers."""

import pandas as pd

from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import Row, frame


def gpu(summary: CohortSummary) -> pd.DataFrame:
    """One row for each finished run whose GPU NVML watched: its clock, heat and power, and what it is flagged for."""
    watched = [run for architecture in summary.finished for run in architecture.runs if run.gpu]
    clocks = [run.gpu.median_sm_clock_megahertz if run.gpu else None for run in watched]
    table: list[Row] = []
    for index, run in enumerate(watched):
        assert run.gpu is not None
        retries = run.measurements.peak_memory.num_alloc_retries
        reasons = run.gpu.reasons(clocks[:index] + clocks[index + 1 :])
        peak = run.reference_kernels.peak_bytes_per_second(run.measurements.reference_kernels)
        table.append(
            {
                "architecture": run.record.spec.architecture,
                "seed": run.seed,
                **run.gpu.summary(),
                "copy_bytes_per_second": peak,
                "num_alloc_retries": retries,
                "flagged_for": " ".join([*reasons, *(["memory"] if retries else [])]) or None,
            }
        )
    return frame(table)
