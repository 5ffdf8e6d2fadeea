"""Sections of the report on single classes: how well each is recognised, and what is taken for what."""

from collections.abc import Mapping
from typing import Any

from intelbench.reporting import markdown
from intelbench.reporting.markdown import code, count, escape
from intelbench.results import tables
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.results.tables import estimate_of, rows

MAX_CONFUSIONS = 3

Row = Mapping[str, Any]


def classes(summary: CohortSummary) -> list[str]:
    """Recall, precision and F1 of each class."""
    records = rows(tables.classes(summary))
    other = [
        "**Precision**: share of the images taken for a class that are of it. **F1**: harmonic mean of precision and "
        "recall (van Rijsbergen, 1979). Means over the runs, with their 95 % interval over seeds.",
        _by_class(summary, records, "precision", "Precision (%)"),
        _by_class(summary, records, "f1", "F1 (%)"),
    ]
    note = (
        "**Recall**: share of each class's test images that were recognised, mean over the runs with its 95 % interval "
        "over seeds and images."
    )
    table = _by_class(summary, records, "recall", "Recall (%)")
    return [note, table, markdown.details("Precision and F1 by class", "\n\n".join(other))]


def confusion(architecture: ArchitectureSummary, class_names: tuple[str, ...], figure: str) -> list[str]:
    """The most confused pairs in words, and the matrix."""
    found = rows(tables.confusions(architecture, class_names, MAX_CONFUSIONS))
    said = f"Most confused: {'; '.join(map(_in_words, found))}." if found else "No test image was misclassified."
    image = f"![{escape(f'Confusion matrix of {architecture.name}')}](figures/{figure})"
    return [f"{code(architecture.name)}. {said}", image]


def _in_words(row: Row) -> str:
    true, taken_for = escape(row["true"]), escape(row["taken_for"])
    share = markdown.percent_interval(estimate_of(row, "share"))
    return f"{true} taken for {taken_for}: {share} of {true} ({count(row['num_images'])} of {count(row['num_true'])})"


def _by_class(summary: CohortSummary, records: list[dict[str, Any]], field: str, title: str) -> str:
    """One measure for every class and architecture; the longer list makes the rows."""
    cells = {(row["architecture"], row["class"]): _percentages(row, field) for row in records}
    images = {row["class"]: count(row["num_test"]) for row in records}
    names = [architecture.name for architecture in summary.finished]
    if len(names) > len(images):
        headers = [title, *(f"{escape(name)} (n = {images[name]})" for name in images)]
        return markdown.table(headers, [[escape(name), *(cells[name, cls] for cls in images)] for name in names])
    headers = [title, "Test images", *map(escape, names)]
    return markdown.table(
        headers, [[escape(cls), images[cls], *(cells[name, cls] for name in names)] for cls in images]
    )


def _percentages(row: Row, name: str) -> str:
    return markdown.percent_interval(estimate_of(row, name), unit="")
