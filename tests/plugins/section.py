"""A plug-in with a report section: how far the training loss of each architecture jumped, as a table and a figure."""

from functools import partial

import numpy as np
from matplotlib.figure import Figure as Canvas

import intelbench
from intelbench.reporting.document import Column, Figure, Paragraph, cell, definitions, table_of
from intelbench.reporting.figures.canvas import as_svg
from intelbench.reporting.formatting import escape, significant


def largest_jump(architecture):
    """Return the largest rise of the training loss from one step to the next, over the runs."""
    return max(float(np.diff(run.step_loss).max()) for run in architecture.runs)


@as_svg
def bars(architectures):
    """Draw a bar for each architecture."""
    figure = Canvas(figsize=(8, 3))
    figure.subplots().bar([each.name for each in architectures], [largest_jump(each) for each in architectures])
    return figure


@intelbench.section("Loss jumps", after="Results")
def loss_jumps(summary):
    """Return the table and the figure; nothing where no run has finished."""
    if not summary.finished:
        return []
    columns = [
        Column("Architecture", lambda each: escape(each.name), is_number=False),
        Column("Jump (nats)", lambda each: cell(largest_jump(each), significant), "largest rise of the loss in a step"),
    ]
    figure = Figure("jumps", "Largest jump of the training loss", partial(bars, summary.finished))
    return [table_of(columns, summary.finished), Paragraph(definitions(columns)), figure]
