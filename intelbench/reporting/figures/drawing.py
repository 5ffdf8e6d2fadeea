"""All figures of a report, by their names."""

from collections.abc import Sequence

from intelbench.reporting.evidence.label_efficiency import LabelStudy
from intelbench.reporting.evidence.summaries import CohortSummary
from intelbench.reporting.figures import budget_plots, label_plots, plots
from intelbench.reporting.figures.names import FigureNames, label_figure_name


def draw(
    cohorts: Sequence[CohortSummary], names: Sequence[FigureNames], labelled: Sequence[LabelStudy]
) -> dict[str, bytes]:
    """As SVG by file name; the confusion matrices in the order of the cohorts and of their architectures."""
    figures = {name: label_plots.label_curves(study) for study in labelled if (name := label_figure_name(study))}
    for summary, files in zip(cohorts, names, strict=True):
        kinds = (
            (files.cost, plots.cost),
            (files.curves, plots.curves),
            (files.reliability, plots.reliability),
            (files.anatomy, plots.anatomy),
            (files.budgets, budget_plots.budgets),
        )
        figures |= {name: kind(summary) for name, kind in kinds if name is not None}
        for architecture in summary.finished:
            figures[files.confusion[architecture.name]] = plots.confusion(architecture, summary.data.class_names)
    return figures
