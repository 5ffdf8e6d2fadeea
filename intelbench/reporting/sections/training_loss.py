"""Training loss: its curves by step and by time."""

from functools import partial

from intelbench.reporting.document import Block, Figure, Paragraph
from intelbench.reporting.figures import plots
from intelbench.results.summaries import CohortSummary


def training_loss(summary: CohortSummary) -> list[Block]:
    """Return the curves; nothing where no run has finished."""
    if not summary.finished:
        return []
    caption = "Lines: mean over the runs; bands: from the lowest to the highest run. Finished runs only."
    if summary.smoothing_window > 1:
        caption += f" The loss is a moving mean of {summary.smoothing_window} steps."
    return [Figure("curves", "Training loss by step and by time", partial(plots.curves, summary)), Paragraph(caption)]
