"""Classes: how well each is recognised."""

from collections.abc import Sequence

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Details, Paragraph, Table, cell, table
from intelbench.reporting.formatting import count, escape
from intelbench.reporting.rows import Row, rows
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary


def classes(summary: CohortSummary) -> list[Block]:
    """Recall, precision and F1 of each class; nothing where no run has finished."""
    found = rows(tables.classes(summary))
    if not found:
        return []
    note = (
        "**Recall**: share of each class's test images that were recognised, mean over the runs with its 95 % interval "
        "over seeds and images."
    )
    others = (
        "**Precision**: share of the images predicted as a class that belong to it. **F1**: harmonic mean of precision "
        "and recall (van Rijsbergen, 1979). Means over the runs, with their 95 % interval over seeds."
    )
    folded: list[Block] = [
        Paragraph(others),
        _by_class(summary, found, "precision", "Precision (%)"),
        _by_class(summary, found, "f1", "F1 (%)"),
    ]
    return [
        Paragraph(note),
        _by_class(summary, found, "recall", "Recall (%)"),
        Details("Precision and F1 by class", folded),
    ]


def _by_class(summary: CohortSummary, found: Sequence[Row], field: str, title: str) -> Table:
    """One measure for every class and architecture; the longer list makes the rows."""
    cells = {(row.architecture, _class(row)): cell(row.estimate(field), formatting.percent_number) for row in found}
    images = {_class(row): row.num_test for row in found}
    names = [architecture.name for architecture in summary.finished]
    if len(names) > len(images):
        headers = [title, *(f"{escape(each)} (n = {count(images[each])})" for each in images)]
        return table(headers, [[Cell(escape(name)), *(cells[name, each] for each in images)] for name in names])
    headers = [title, "Test images", *map(escape, names)]
    return table(
        headers,
        [[escape(each), cell(images[each], count), *(cells[name, each] for name in names)] for each in images],
    )


def _class(row: Row) -> str:
    return str(getattr(row, "class"))
