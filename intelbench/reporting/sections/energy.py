"""Energy: joules by run, or why there are none."""

from intelbench.reporting.document import Block, Column, Paragraph, cell, table_of
from intelbench.reporting.formatting import escape, listed, significant
from intelbench.reporting.rows import ARCHITECTURE, SEED, Row, number, text
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary


def energy(summary: CohortSummary) -> list[Block]:
    """Show what a counter of the machine measured; nothing where none was looked for."""
    runs = list(usage.energy(summary))
    if not runs:
        return []
    counted = [row for row in runs if row["joules"] is not None]
    absent = sorted({reason for row in runs if (reason := row["absent"])})
    reason = f"Not measured: {listed(map(escape, absent))}." if absent else ""
    if not counted:
        return [Paragraph(f"{reason} It is never estimated.")]
    note = (
        "Counted from the first training step to the last, validation passes included, and divided by the training "
        "images. Of the whole device (NVML) or all processor packages (RAPL), the use by other processes included; the "
        "idle watts, of the second before, are not subtracted."
    )
    return [table_of(_COLUMNS, counted), Paragraph(note), *([Paragraph(reason)] if reason else [])]


_COLUMNS = (
    ARCHITECTURE,
    SEED,
    number("Joules", "joules", significant),
    number("Joules an image", "joules_per_image", significant),
    Column[Row]("Watts", lambda row: cell(row["joules"] / row["seconds"] if row["seconds"] else None, significant)),
    number("Watts idle", "idle_watts", significant),
    text("Counter", "source"),
)
