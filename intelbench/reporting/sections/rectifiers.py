"""Dead units and mean activation: what the units of ReLU and LeakyReLU did, by one rule for both."""

from intelbench.reporting.document import Block, Column, Paragraph, table_of
from intelbench.reporting.formatting import code, count, number_interval, percent, percent_number
from intelbench.reporting.rows import ARCHITECTURE, Row, estimate, number
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary


def rectifiers(summary: CohortSummary) -> list[Block]:
    """Return shares of dead units, and activations; nothing where the networks have no such units."""
    architectures = list(tables.rectifiers(summary))
    if not architectures:
        return []
    num_images = max(int(row["num_gradient_images"] or 0) for row in architectures)
    note = (
        f"Over the {summary.data.num_validation:,} validation images in evaluation mode; with more images, fewer units "
        "would seem dead. A unit is a channel of one call of ReLU or LeakyReLU; it is never positive if no image and "
        "no position brings it above 0. With LeakyReLU such a unit still passes a gradient. Filters without gradient "
        "are the convolution filters for which the gradient of the loss is exactly 0 for every batch of "
        f"{num_images:,} of these images, after training. Positive outputs and mean activation are means over the "
        "calls, at the last evaluation. All are means over the runs, with their 95 % interval over seeds; the last "
        "column is the worst call of the worst run."
    )
    return [Paragraph(note), table_of(_COLUMNS, architectures)]


_COLUMNS = (
    ARCHITECTURE,
    number("Units", "num_units", count),
    estimate("Never positive (%), first evaluation", "first_dead_share", percent_number),
    estimate("Never positive (%), last", "dead_share", percent_number),
    estimate("Filters without gradient (%)", "filters_without_gradient", percent_number),
    estimate("Positive outputs (%)", "positive_share", percent_number),
    estimate("Mean activation", "mean_activation", number_interval),
    Column[Row](
        "Most dead units",
        lambda row: (
            f"{code(row['worst_site'])}: {percent(row['worst_dead_share'])}" if row["worst_dead_share"] else "none"
        ),
    ),
)
