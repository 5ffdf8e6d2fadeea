"""Classes: how well each is recognised."""

from collections.abc import Sequence

from intelbench.reporting.document import Block, Details, Paragraph, Table, cell, table
from intelbench.reporting.formatting import count, escape, percent_number
from intelbench.reporting.rows import Row
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary


def classes(summary: CohortSummary) -> list[Block]:
    """Show recall, precision and F1 of each class; nothing where no run has finished."""
    scores = list(tables.classes(summary))
    if not scores:
        return []
    note = (
        "**Recall**: share of each class's test images that were recognised, mean over the runs with its 95 % interval "
        "over seeds and images; the variance between seeds is moderated by that of all architectures and classes."
    )
    others = (
        "**Precision**: share of the images predicted as a class that belong to it. **F1**: harmonic mean of precision "
        "and recall (van Rijsbergen, 1979). Both are of all runs together, with their 95 % interval over seeds and "
        "images; the variance between seeds is moderated as that of recall is."
    )
    folded: list[Block] = [
        Paragraph(others),
        _by_class(scores, "precision", "Precision (%)"),
        _by_class(scores, "f1", "F1 (%)"),
    ]
    return [Paragraph(note), _by_class(scores, "recall", "Recall (%)"), Details("Precision and F1 by class", folded)]


def _by_class(scores: Sequence[Row], field: str, title: str) -> Table:
    """Show one measure for every class and architecture; the longer list makes the rows."""
    cells = {
        (row["architecture"], row["class"]): cell(tables.estimate_of(row, field), percent_number) for row in scores
    }
    images = {row["class"]: row["num_test"] for row in scores}
    names = list(dict.fromkeys(row["architecture"] for row in scores))
    if len(names) > len(images):
        headers = [title, *(f"{escape(each)} (n = {count(images[each])})" for each in images)]
        return table(headers, [[escape(name), *(cells[name, each] for each in images)] for name in names])
    headers = [title, "Test images", *map(escape, names)]
    return table(
        headers,
        [[escape(each), cell(images[each], count), *(cells[name, each] for name in names)] for each in images],
    )
