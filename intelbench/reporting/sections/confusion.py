"""Confusion matrices: which classes are predicted as which others."""

import re
from collections.abc import Sequence
from functools import partial

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Matrix, Paragraph
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import code, count, escape
from intelbench.reporting.rows import Row
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary

MAX_CONFUSIONS = 3
_NONE = "No test image was misclassified."


def confusion_matrices(summary: CohortSummary) -> list[Block]:
    """Return the most confused pairs of each architecture in words, and its matrix."""
    names = figure_names([architecture.name for architecture in summary.finished])
    blocks: list[Block] = []
    for each in summary.finished:
        confusions = list(tables.confusions(each, summary, MAX_CONFUSIONS))
        said = f"Most confused: {'; '.join(map(_in_words, confusions))}." if confusions else _NONE
        draw = partial(plots.confusion, each, summary.data.class_names)
        matrix = Matrix(names[each.name], f"Confusion matrix of {each.name}", draw, each, summary)
        blocks += [Paragraph(f"{code(each.name)}. {said}"), matrix]
    return blocks


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


def _in_words(row: Row) -> str:
    true, predicted = escape(row["true"]), escape(row["predicted"])
    share = formatting.percent_interval(tables.estimate_of(row, "share"))
    images = f"{count(row['num_images'])} of {count(row['num_true'])}"
    return f"{true} predicted as {predicted}: {share} of {true} ({images})"
