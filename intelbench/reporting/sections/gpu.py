"""The state of the GPU: clock, heat and power run by run, and which runs are flagged."""

from intelbench.errors import plural
from intelbench.reporting.document import Block, Column, Paragraph, listing, table_of
from intelbench.reporting.formatting import bare_percent, giga, listed, significant
from intelbench.reporting.rows import ARCHITECTURE, SEED, Row, number
from intelbench.results import usage
from intelbench.results.gpu import CLOCK_SHARE
from intelbench.results.summaries import CohortSummary

_REASONS = {
    "heat": "a clock slowed down for heat",
    "foreign": "other processes on the GPU",
    "clock": "a lower clock than the other runs",
    "memory": "memory so full that the allocator had to ask the driver again",
}
_COLUMNS = (
    ARCHITECTURE,
    SEED,
    number("SM clock (MHz)", "sm_clock_megahertz", lambda clock: significant(clock, 4)),
    number("Temperature (°C)", "temperature_celsius", significant),
    number("Power (W)", "power_watts", significant),
    number("At the power limit (%)", "power_limited_share", bare_percent),
    number("Copy (GB/s)", "copy_bytes_per_second", giga),
    number("Other processes", "foreign_processes", significant),
    Column[Row]("Flagged", lambda row: listed(_REASONS[word] for word in (row["flagged_for"] or "").split()) or "no"),
)


def gpu(summary: CohortSummary) -> list[Block]:
    """Return the state of the GPU run by run, and which runs are flagged; nothing where NVML watched none."""
    runs = list(usage.gpu(summary))
    if not runs:
        return []
    flagged = [words for row in runs if (words := (row["flagged_for"] or "").split())]
    watched = plural(len(runs), "run")
    answer = f"The GPU was quiet in {'all of ' if len(runs) > 1 else ''}{watched}, as far as its driver tells."
    if flagged:
        named = listed(text for reason, text in _REASONS.items() if any(reason in words for words in flagged))
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
    return [Paragraph(answer), listing("Run by run", len(runs), lambda: [table_of(_COLUMNS, runs)]), Paragraph(note)]
