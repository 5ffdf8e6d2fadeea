"""Dead units and mean activation: what the units of ReLU and LeakyReLU did, by one rule for both."""

from intelbench.reporting.document import Block, Cells, Paragraph, cell, table
from intelbench.reporting.formatting import code, count, escape, number_interval, percent, percent_number
from intelbench.reporting.rows import rows
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary

HEADERS = (
    "Architecture",
    "Units",
    "Never positive (%), first evaluation",
    "Never positive (%), last",
    "Filters without gradient (%)",
    "Positive outputs (%)",
    "Mean activation",
    "Most dead units",
)


def rectifiers(summary: CohortSummary) -> list[Block]:
    """Shares of dead units, and activations; nothing where the networks have no such units."""
    found = rows(tables.rectifiers(summary))
    if not found:
        return []
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.num_units, count),
            cell(row.estimate("first_dead_share"), percent_number),
            cell(row.estimate("dead_share"), percent_number),
            cell(row.estimate("filters_without_gradient"), percent_number),
            cell(row.estimate("positive_share"), percent_number),
            cell(row.estimate("mean_activation"), number_interval),
            f"{code(row.worst_site)}: {percent(row.worst_dead_share)}" if row.worst_dead_share else "none",
        ]
        for row in found
    ]
    num_images = max(row.num_gradient_images or 0 for row in found)
    note = (
        f"Over the {summary.data.num_validation:,} validation images in evaluation mode; with more images, fewer units "
        "would seem dead. A unit is a channel of one call of ReLU or LeakyReLU; it is never positive if no image and "
        "no position brings it above 0. With LeakyReLU such a unit still passes a gradient. Filters without gradient "
        "are the convolution filters for which the gradient of the loss is exactly 0 for every batch of "
        f"{num_images:,} of these images, after training. Positive outputs and mean activation are means over the "
        "calls, at the last evaluation. All are means over the runs, with their 95 % interval over seeds; the last "
        "column is the worst call of the worst run."
    )
    return [Paragraph(note), table(HEADERS, cells)]
