"""What a page shows of misclassified images: confusion matrices whose cells open, and what every architecture misses.

Text here is plain: it becomes markup where it is escaped, in the templates.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from intelbench.reporting import formatting
from intelbench.results import mistakes
from intelbench.results.mistakes import Mistake, SharedMistake
from intelbench.results.summaries import ArchitectureSummary, CohortSummary

MAX_CLASSES = 20
"""Of a matrix that is a table; a larger one stays a figure, with a list of its fullest cells."""
MAX_LISTED = 24
MAX_IN_CELL = 24
MAX_SHARED = 60
_FULL = 0.657
"""Share at which black and white text stand out equally from a cell's colour in report.css, in light and in dark."""


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix."""

    key: str
    """Matrix, row and column: unique in the page."""
    label: str
    taken_for: str
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
        return f"True class {self.label}, predicted {self.taken_for}"


@dataclass(frozen=True)
class Matrix:
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


@dataclass(frozen=True)
class SharedImage:
    """An image that every architecture gets wrong."""

    image_id: str
    name: str
    """Of its file."""
    label: str
    taken_for: str
    confidence: str


def matrix(architecture: ArchitectureSummary, summary: CohortSummary, key: str) -> Matrix:
    """Lay out an architecture's confusion matrix with the images of each cell; `key` is unique in the page."""
    counts = architecture.confusion
    assert counts is not None
    names = tuple(map(formatting.printable, summary.data.class_names))
    runs = len(architecture.runs)
    found = mistakes.by_cell(architecture)

    def cell(label: int, taken_for: int) -> Cell:
        count, total = int(counts[label, taken_for]), max(int(counts[label].sum()), 1)
        images = _images(found.get((label, taken_for)), runs)
        return Cell(f"{key}-{label}-{taken_for}", names[label], names[taken_for], count, count / total, *images)

    if len(names) <= MAX_CLASSES:
        rows = tuple(tuple(cell(label, taken_for) for taken_for in range(len(names))) for label in range(len(names)))
    else:
        rows = tuple((cell(*place),) for place in found)
    images = formatting.plural(int(counts.sum()) // runs, "test image")
    note = f"{formatting.plural(runs, 'run')} × {images}; each row sums to 100 %"
    return Matrix(formatting.printable(architecture.name), note, names, rows)


def shared_images(found: Sequence[SharedMistake], class_names: Sequence[str]) -> list[SharedImage]:
    """The first of them in words."""
    names = list(map(formatting.printable, class_names))
    return [
        SharedImage(
            image_id=mistake.image_id,
            name=formatting.printable(mistake.image_id.rpartition("/")[2]),
            label=names[mistake.label],
            taken_for=", ".join(
                f"{number}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{names[wrong]}" for wrong, number in mistake.taken_for
            ),
            confidence=f"confidence {formatting.percent(mistake.confidence, 0)}",
        )
        for mistake in found[:MAX_SHARED]
    ]


def shared_text(found: Sequence[SharedMistake] | None, summary: CohortSummary) -> str:
    """How many images every architecture gets wrong, and of which classes, in Markdown."""
    if found is None:
        return "The runs did not read the same test images, so none can be compared."
    if not found:
        return "None: every test image is right in at least half of the runs of some architecture."
    numbers, names = Counter(mistake.label for mistake in found), summary.data.class_names
    by_class = formatting.listed(f"{formatting.escape(names[label])} {n:,}" for label, n in sorted(numbers.items()))
    share = formatting.percent(len(found) / summary.data.num_test)
    runs = formatting.plural(sum(len(architecture.runs) for architecture in summary.finished), "run")
    shown = f" The {MAX_SHARED} that most runs get wrong are shown." if len(found) > MAX_SHARED else ""
    return (
        f"**{len(found):,} of {formatting.plural(summary.data.num_test, 'test image')} ({share})**, misclassified in "
        f"more than half of the runs of each architecture; by true class: {by_class}. Below a picture: its true class, "
        f"what it was taken for in how many of all {runs}, and the mean confidence of those that got it wrong.{shown}"
    )


def _images(found: Sequence[Mistake] | None, runs: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What to say of a cell's images together and of each."""
    if not found:
        return "", ()
    images = formatting.plural(len(found), "image")
    shown = f"{MAX_IN_CELL} of {images}" if len(found) > MAX_IN_CELL else images
    said = tuple((mistake.image_id, _said(mistake, runs)) for mistake in found[:MAX_IN_CELL])
    return f"{shown}, the most confident first", said


def _said(mistake: Mistake, runs: int) -> str:
    confidence = f"confidence {formatting.percent(mistake.confidence, 0)}"
    return f"{confidence}\n{mistake.num_runs} of {runs} runs" if runs > 1 else confidence
