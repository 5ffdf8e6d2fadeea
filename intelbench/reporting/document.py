"""A report as a tree of sections, paragraphs, tables and figures, which renderers turn into Markdown or HTML.

Prose and the texts of cells can have inline Markdown (bold, code). Text from records is escaped when it is put there,
by `formatting.escape` or `formatting.code`. Nodes are compared by identity.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.estimates import Estimate

MAX_ROWS = 500
"""Rows of a table that a person reads."""


@dataclass(frozen=True, eq=False)
class Paragraph:
    """Prose."""

    text: str


@dataclass(frozen=True, eq=False)
class Items:
    """A list of points, each a line of prose."""

    texts: Sequence[str]
    numbered: bool = False


@dataclass(frozen=True, eq=False)
class CodeBlock:
    """Code, shown verbatim."""

    text: str
    language: str


@dataclass(frozen=True, eq=False)
class Column:
    """The heading of a column, and whether its cells are aligned to the right as numbers."""

    title: str
    is_number: bool


@dataclass(frozen=True, eq=False)
class Cell:
    """The text of a cell, and the number by which the page sorts it; `None` for text and for absent values."""

    text: str
    value: float | None = None


Cells: TypeAlias = list[list[Cell | str]]
"""Cells by row; a string is a cell without a number."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns and rows."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure, which is drawn when a renderer needs it."""

    name: str
    """Name of its file."""
    description: str
    """Alternative text, without markup."""
    draw: Callable[[], bytes]
    """Returns the figure as SVG."""


@dataclass(frozen=True, eq=False)
class Matrix(Figure):
    """The confusion matrix of an architecture: a figure, and on the page a table whose cells open their images."""

    architecture: ArchitectureSummary
    summary: CohortSummary


@dataclass(frozen=True)
class GalleryImage:
    """A test image and its predictions, as plain text."""

    image_id: str
    name: str
    """Name of its file."""
    label: str
    predicted: str
    confidence: str


@dataclass(frozen=True, eq=False)
class Gallery:
    """Test images: their names, and on the page their pictures."""

    description: str
    images: Sequence[GalleryImage]
    digest: str
    """Digest of the data set of the images."""


@dataclass(frozen=True, eq=False)
class Details:
    """Blocks that are folded away until a reader asks for them."""

    title: str
    blocks: Sequence["Block"]


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and what is below it; its level is its depth in the tree."""

    title: str
    blocks: Sequence["Block"]
    is_folded: bool = False
    """Whether the page folds it away until a reader asks for it."""


Block: TypeAlias = Paragraph | Items | CodeBlock | Table | Figure | Gallery | Details | Section


@dataclass(frozen=True, eq=False)
class Document:
    """A title and what is below it."""

    title: str
    blocks: Sequence[Block]


def cell(value: Estimate | float | None, write: Callable[[Any], str]) -> Cell:
    """Show a number as `write` writes it; the mean of an estimate is what the page sorts by."""
    raw = value.mean if isinstance(value, Estimate) else value
    return Cell(write(value), None if raw is None else float(raw))


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell | str]], left: int = 1) -> Table:
    """Build a table whose first `left` columns are text, the others numbers; a string is a cell without a number."""
    columns = [Column(title, is_number=place >= left) for place, title in enumerate(headers)]
    return Table(columns, [[each if isinstance(each, Cell) else Cell(each) for each in row] for row in rows])


def filled(columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]]) -> Table:
    """Build a table from cells by the title of their column; a row without a cell for a column has an empty one."""
    return Table(columns, [[row.get(column.title, Cell("")) for column in columns] for row in rows])


def listing(title: str, number: int, blocks: Callable[[], Sequence[Block]], limit: int = MAX_ROWS) -> Block:
    """Fold a table of `number` rows; if it has more than `limit` rows, say where to find them instead."""
    if number > limit:
        return Paragraph(f"{title}: {number:,} are too many to read; `intelbench report --out FILE.json` has them all.")
    return Details(title, blocks())


def walk(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield every block of a tree in reading order."""
    for block in blocks:
        yield block
        if isinstance(block, Details | Section):
            yield from walk(block.blocks)


def figures(document: Document) -> list[Figure]:
    """Return the figures of a document in reading order."""
    return [block for block in walk(document.blocks) if isinstance(block, Figure)]
