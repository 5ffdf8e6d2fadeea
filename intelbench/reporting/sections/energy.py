"""Energy: joules by run, or why there are none."""

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cells, Paragraph, cell, table
from intelbench.reporting.formatting import escape, significant
from intelbench.reporting.rows import rows
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary


def energy(summary: CohortSummary) -> list[Block]:
    """What a counter of the machine told; nothing where none was looked for."""
    found = rows(usage.energy(summary))
    if not found:
        return []
    counted = [row for row in found if row.joules is not None]
    absent = sorted({row.absent for row in found if row.absent})
    reason = f"Not measured: {formatting.listed(map(escape, absent))}." if absent else ""
    if not counted:
        return [Paragraph(f"{reason} It is never estimated.")]
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.seed, str),
            cell(row.joules, significant),
            cell(row.joules_per_image, significant),
            cell(row.joules / row.seconds if row.seconds else None, significant),
            cell(row.idle_watts, significant),
            escape(row.source),
        ]
        for row in counted
    ]
    headers = ["Architecture", "Seed", "Joules", "Joules an image", "Watts", "Watts idle", "Counter"]
    note = (
        "Counted from the first training step to the last, validation passes included, and divided by the training "
        "images. Of the whole device (NVML) or all processor packages (RAPL), the use by other processes included; the "
        "idle watts, of the second before, are not subtracted."
    )
    return [table(headers, cells), Paragraph(note), *([Paragraph(reason)] if reason else [])]
