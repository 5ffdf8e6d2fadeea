"""Confusion matrices: which classes are predicted as which others."""

import re
from collections.abc import Mapping, Sequence
from functools import partial

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Matrix, Paragraph
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import code, count, escape
from intelbench.reporting.rows import Row, rows
from intelbench.results import tables
from intelbench.results.summaries import ArchitectureSummary, CohortSummary

MAX_CONFUSIONS = 3


def confusion_matrices(summary: CohortSummary) -> list[Block]:
    """Return the most confused pairs of each architecture in words, and its matrix."""
    names = figure_names([architecture.name for architecture in summary.finished])
    return [block for each in summary.finished for block in _confusion(each, summary, names)]


def figure_names(architectures: Sequence[str]) -> dict[str, str]:
    """Return a name for each confusion matrix, distinct even where names differ in case or punctuation only."""
    taken: set[tuple[str, int]] = set()
    names = {}
    for architecture in sorted(architectures):
        slug = re.sub(r"[^a-z0-9_.-]+", "-", architecture.lower()).strip("-.")[:60]
        number = next(n for n in range(1, len(architectures) + 1) if (slug, n) not in taken)
        taken.add((slug, number))
        names[architecture] = f"confusion-{slug}{'' if number == 1 else f'-{number}'}"
    return names


def _confusion(architecture: ArchitectureSummary, summary: CohortSummary, names: Mapping[str, str]) -> list[Block]:
    class_names = summary.data.class_names
    confusions = rows(tables.confusions(architecture, summary, MAX_CONFUSIONS))
    said = (
        f"Most confused: {'; '.join(map(_in_words, confusions))}." if confusions else "No test image was misclassified."
    )
    matrix = Matrix(
        names[architecture.name],
        f"Confusion matrix of {architecture.name}",
        partial(plots.confusion, architecture, class_names),
        architecture,
        summary,
    )
    return [Paragraph(f"{code(architecture.name)}. {said}"), matrix]


def _in_words(row: Row) -> str:
    true, predicted = escape(row["true"]), escape(row["predicted"])
    share = formatting.percent_interval(tables.estimate_of(row, "share"))
    images = f"{count(row['num_images'])} of {count(row['num_true'])}"
    return f"{true} predicted as {predicted}: {share} of {true} ({images})"
