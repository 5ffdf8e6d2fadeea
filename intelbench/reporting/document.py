"""A report as a tree of sections, paragraphs, tables and figures, which renderers turn into Markdown or HTML.

Prose and the texts of cells can have inline Markdown (bold, code). Text from records is escaped when it is put there,
by `formatting.escape` or `formatting.code`. Nodes are compared by identity.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, TypeAlias, TypeVar

from intelbench.reporting.formatting import ABSENT, code, escape, fact, points
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.estimates import Estimate

MAX_ROWS = 500
"""Rows of a table that a person reads."""
MAX_OPEN_PAIRS = 15
"""Rows of a table of pairs that is not folded."""

Item = TypeVar("Item")
"""What a row of a table is about."""


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
class Cell:
    """The text of a cell, and the number by which the page sorts it; `None` for text and for absent values."""

    text: str
    value: float | None = None


Cells: TypeAlias = list[list[Cell | str]]
"""Cells by row; a string is a cell without a number."""


@dataclass(frozen=True, eq=False)
class Column(Generic[Item]):
    """A column of a table; `definitions` says what its values mean."""

    title: str
    """Its heading, with the unit in parentheses."""
    show: Callable[[Item], Cell | str]
    """Returns the cell of an item; a string is a cell without a number."""
    definition: str = ""
    """What the values mean, without the final full stop; empty for a column that explains itself."""
    is_number: bool = True
    """Whether its cells are aligned to the right."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns and rows. `table_of` and `table` make one."""

    columns: Sequence[Column[Any]]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure, which is drawn when a renderer needs it."""

    name: str
    """Name of its file; what a section returns lacks `-KEY.svg`, which the report adds."""
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
    """Show a number as `write` writes it, which gets none that is absent; the page sorts by the mean of an estimate."""
    if value is None:
        return Cell(ABSENT)
    return Cell(write(value), float(value.mean if isinstance(value, Estimate) else value))


def difference_cell(difference: Estimate, is_significant: bool) -> Cell:
    """Show a difference of shares in percentage points, in bold where it is significant."""
    text = points(difference)
    return Cell(f"**{text}**" if is_significant else text, difference.mean)


def table_of(columns: Sequence[Column[Item]], items: Iterable[Item]) -> Table:
    """Build a table with a row for each item."""
    shown = [[column.show(item) for column in columns] for item in items]
    return Table(columns, [[each if isinstance(each, Cell) else Cell(each) for each in row] for row in shown])


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell | str]], left: int = 1) -> Table:
    """Build a table of cells whose first `left` columns are text, the others numbers."""
    columns = [
        Column[Sequence[Cell | str]](title, itemgetter(place), is_number=place >= left)
        for place, title in enumerate(headers)
    ]
    return table_of(columns, rows)


def settings_table(headers: Sequence[str], settings: Mapping[str, Iterable[object]]) -> Table:
    """Build a table with a row for each setting: its key, and its values as in a suite file."""
    rows = [[code(key), *(escape(fact(value)) for value in values)] for key, values in settings.items()]
    return table(headers, rows, left=len(headers))


def definitions(columns: Iterable[Column[Any]]) -> str:
    """Return what the columns mean: their headings in bold, without the unit, each with its definition."""
    defined = [column for column in columns if column.definition]
    return " ".join(f"**{re.sub(r' [(][^()]*[)]$', '', column.title)}**: {column.definition}." for column in defined)


def listing(title: str, number: int, blocks: Callable[[], Sequence[Block]], limit: int = MAX_ROWS) -> Block:
    """Fold a table of `number` rows; if it has more than `limit` rows, say where to find them instead."""
    if number > limit:
        return Paragraph(f"{title}: {number:,} are too many to read; `intelbench report --out FILE.json` has them all.")
    return Details(title, blocks())


def pairs_folded(pairs: Table) -> Block:
    """Fold a table of pairs if it is long."""
    return pairs if len(pairs.rows) <= MAX_OPEN_PAIRS else Details(f"All {len(pairs.rows)} pairs", [pairs])


def walk(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield every block of a tree in reading order."""
    for block in blocks:
        yield block
        if isinstance(block, Details | Section):
            yield from walk(block.blocks)


def figures(document: Document) -> list[Figure]:
    """Return the figures of a document in reading order."""
    return [block for block in walk(document.blocks) if isinstance(block, Figure)]
