"""Confusion matrices as tables whose cells open the images in them.

Text here is plain: it becomes markup where it is escaped, in the templates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.results import mistakes
from intelbench.results.mistakes import Mistake
from intelbench.results.summaries import ArchitectureSummary, CohortSummary

MAX_CLASSES = 20
"""Of a matrix that is a table; a larger one stays a figure, with a list of its fullest cells."""
MAX_LISTED = 24
MAX_IN_CELL = 24
_FULL = 0.657
"""Share at which black and white text stand out equally from a cell's colour in report.css, in light and in dark."""


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix."""

    key: str
    """Matrix, row and column: unique in the page."""
    label: str
    predicted: str
    count: int
    """Predictions, summed over the runs."""
    share: float
    """Of the true class."""
    note: str
    items: tuple[tuple[str, str], ...]
    """Id of an image and what to say of it, in lines; empty on the diagonal and where nothing was predicted."""

    @property
    def percent(self) -> str:
        """The share without decimals, as in the figure."""
        return formatting.percent(self.share, 0)

    @property
    def is_full(self) -> bool:
        """Whether its text is that of a full cell."""
        return self.share > _FULL

    @property
    def title(self) -> str:
        """Of what opens."""
        return f"True class {self.label}, predicted {self.predicted}"


@dataclass(frozen=True)
class MatrixTable:
    """A confusion matrix."""

    architecture: str
    note: str
    class_names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """By true class, then by predicted class; of a matrix that is no table, only the cells with errors."""

    @property
    def is_table(self) -> bool:
        """Whether it is small enough to be one."""
        return len(self.class_names) <= MAX_CLASSES

    @property
    def opening(self) -> list[Cell]:
        """The cells that open: all with errors, or the fullest of a matrix that is no table."""
        wrong = [cell for row in self.rows for cell in row if cell.items]
        return wrong if self.is_table else sorted(wrong, key=lambda cell: -cell.count)[:MAX_LISTED]


def matrix_table(architecture: ArchitectureSummary, summary: CohortSummary, key: str) -> MatrixTable:
    """Lay out an architecture's confusion matrix with the images of each cell; `key` is unique in the page."""
    counts = architecture.confusion
    assert counts is not None
    names = tuple(map(formatting.printable, summary.data.class_names))
    runs = len(architecture.runs)
    mistakes_by_cell = mistakes.by_cell(architecture)

    def cell(label: int, predicted: int) -> Cell:
        count, total = int(counts[label, predicted]), max(int(counts[label].sum()), 1)
        images = _images(mistakes_by_cell.get((label, predicted)), runs)
        return Cell(f"{key}-{label}-{predicted}", names[label], names[predicted], count, count / total, *images)

    if len(names) <= MAX_CLASSES:
        rows = tuple(tuple(cell(label, predicted) for predicted in range(len(names))) for label in range(len(names)))
    else:
        rows = tuple((cell(*place),) for place in mistakes_by_cell)
    images = plural(int(counts.sum()) // runs, "test image")
    note = f"{plural(runs, 'run')} × {images}; each row sums to 100 %"
    return MatrixTable(formatting.printable(architecture.name), note, names, rows)


def _images(wrong: Sequence[Mistake] | None, runs: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the texts about a cell's images together and about each."""
    if not wrong:
        return "", ()
    images = plural(len(wrong), "image")
    shown = f"{MAX_IN_CELL} of {images}" if len(wrong) > MAX_IN_CELL else images
    said = []
    for mistake in wrong[:MAX_IN_CELL]:
        confidence = f"confidence {formatting.percent(mistake.confidence, 0)}"
        of_runs = f"\n{mistake.num_runs} of {runs} runs" if runs > 1 else ""
        said.append((mistake.image_id, confidence + of_runs))
    return f"{shown}, the most confident first", tuple(said)
