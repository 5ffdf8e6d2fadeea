"""All figures of a report, each drawn when its turn comes."""

from collections.abc import Callable, Sequence
from functools import partial

from intelbench.reporting.figures import budget_plots, label_plots, plots
from intelbench.reporting.figures.names import FigureNames, label_figure_name
from intelbench.results.label_efficiency import LabelStudy
from intelbench.results.summaries import CohortSummary


def figures(
    cohorts: Sequence[CohortSummary], names: Sequence[FigureNames], labelled: Sequence[LabelStudy]
) -> dict[str, Callable[[], bytes]]:
    """What draws each, as SVG, by file name; the confusion matrices in the order of cohorts and architectures."""
    found: dict[str, Callable[[], bytes]] = {
        name: partial(label_plots.label_curves, study) for study in labelled if (name := label_figure_name(study))
    }
    for summary, files in zip(cohorts, names, strict=True):
        kinds = (
            (files.cost, plots.cost),
            (files.curves, plots.curves),
            (files.reliability, plots.reliability),
            (files.anatomy, plots.anatomy),
            (files.budgets, budget_plots.budgets),
        )
        found |= {name: partial(kind, summary) for name, kind in kinds if name is not None}
        for architecture in summary.finished:
            draw = partial(plots.confusion, architecture, summary.data.class_names)
            found[files.confusion[architecture.name]] = draw
    return found
