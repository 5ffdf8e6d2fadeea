"""The state of the GPU: clock, heat and power run by run, and which runs are flagged."""

from collections.abc import Sequence

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cells, Paragraph, Table, cell, listing, table
from intelbench.reporting.formatting import escape, significant
from intelbench.reporting.rows import Row, rows
from intelbench.results import gpu_table
from intelbench.results.gpu import CLOCK_SHARE
from intelbench.results.summaries import CohortSummary

_REASONS = {
    "heat": "a clock slowed down for heat",
    "foreign": "other processes on the GPU",
    "clock": "a lower clock than the other runs",
    "memory": "memory so full that the allocator had to ask the driver again",
}


def gpu(summary: CohortSummary) -> list[Block]:
    """Clock, heat and power of the GPU, run by run, and which runs are flagged; nothing where NVML watched none."""
    runs = rows(gpu_table.gpu(summary))
    if not runs:
        return []
    flagged = [row for row in runs if row.flagged_for]
    reasons = sorted({reason for row in flagged for reason in row.flagged_for.split()}, key=list(_REASONS).index)
    watched = formatting.plural(len(runs), "run")
    answer = f"The GPU was quiet in {'all of ' if len(runs) > 1 else ''}{watched}, as far as its driver tells."
    if flagged:
        named = formatting.listed(_REASONS[reason] for reason in reasons)
        answer = f"**{len(flagged)} of {watched} had a GPU that was not quiet**: {named}. Steps may have taken longer."
    note = (
        "Read from NVML, the library of NVIDIA's driver, before training and at each evaluation point, outside the "
        "budget. **SM clock** and **Power** are medians, **Temperature** and **Other processes** the highest "
        "values. **At the power limit**: share of the readings at which the power limit held the clock back, which "
        "is usual under load. **Copy**: bytes read and written in a second by the quickest copy within the GPU's "
        "memory. A run is flagged where the clock was ever slowed down for heat, where another process computed on "
        f"the GPU, where the clock was below {CLOCK_SHARE:g} of the other runs' median, or where PyTorch's allocator "
        "had to empty its cache and ask the driver for memory again."
    )
    return [Paragraph(answer), listing("Run by run", len(runs), lambda: [_run_by_run(runs)]), Paragraph(note)]


def _run_by_run(runs: Sequence[Row]) -> Table:
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.seed, str),
            cell(row.sm_clock_megahertz, lambda clock: significant(clock, 4)),
            cell(row.temperature_celsius, significant),
            cell(row.power_watts, significant),
            cell(row.power_limited_share, formatting.bare_percent),
            cell(row.copy_bytes_per_second, formatting.giga),
            cell(row.foreign_processes, significant),
            formatting.listed(_REASONS[reason] for reason in row.flagged_for.split()) if row.flagged_for else "no",
        ]
        for row in runs
    ]
    headers = ["Architecture", "Seed", "SM clock (MHz)", "Temperature (°C)", "Power (W)", "At the power limit (%)"]
    headers += ["Copy (GB/s)", "Other processes", "Flagged"]
    return table(headers, cells)
