"""The tree of a report as HTML: anchors, tables that can be sorted and scrolled, figures inside.

Whatever comes from records is text here: prose that escaped it, or text that is escaped where it is put. Raw HTML in
prose is text, too.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml

from intelbench.reporting.document import (
    Block,
    Cell,
    CodeBlock,
    Column,
    Details,
    Document,
    Figure,
    Gallery,
    Items,
    Paragraph,
    Section,
    Table,
)
from intelbench.reporting.formatting import printable_lines

Fragment = Callable[[], str]
"""Returns the HTML of a figure or a gallery."""

_INTERVAL = re.compile(r"(.*\S) (\[[^\[\]]+\])")
_PROSE = MarkdownIt("commonmark").disable(["autolink", "html_inline", "image", "link"])


@dataclass(frozen=True)
class Heading:
    """An entry of the table of contents."""

    level: int
    anchor: str
    text: str


@dataclass
class Renderer:
    """Renders a document; afterwards `headings` has its table of contents."""

    fragments: Mapping[Figure | Gallery, Fragment]
    headings: list[Heading] = field(default_factory=list)
    _taken: dict[str, int] = field(default_factory=dict)

    def render(self, document: Document) -> str:
        """Return the title and the blocks of a document."""
        return self._heading(document.title, 1) + self._blocks(document.blocks, 2)

    def _blocks(self, blocks: Iterable[Block], level: int) -> str:
        return "".join(self._block(block, level) for block in blocks)

    def _block(self, block: Block, level: int) -> str:
        match block:
            case Paragraph(text):
                return f"<p>{inline(text)}</p>\n"
            case Items(texts, numbered):
                tag = "ol" if numbered else "ul"
                items = "".join(f"<li>{inline(text)}</li>\n" for text in texts)
                return f"<{tag}>\n{items}</{tag}>\n"
            case CodeBlock(text):
                return f"<pre><code>{escapeHtml(printable_lines(text))}\n</code></pre>\n"
            case Table():
                return _table(block, self.headings[-1].text)
            case Figure() | Gallery():
                return self.fragments[block]()
            case Details(title, blocks):
                return f"<details><summary>{inline(title)}</summary>\n{self._blocks(blocks, level)}</details>\n"
            case Section(title, blocks, is_folded):
                heading = self._heading(title, level)
                content = self._blocks(blocks, level + 1)
                if is_folded:
                    return f'<details class="section"><summary>{heading}</summary>\n{content}</details>\n'
                return heading + content

    def _heading(self, title: str, level: int) -> str:
        """Render a heading with an anchor of plain characters, unique in the page."""
        shown = inline(title)
        text = plain(title)
        slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
        self._taken[slug] = self._taken.get(slug, 0) + 1
        anchor = slug if self._taken[slug] == 1 else f"{slug}.{self._taken[slug]}"
        self.headings.append(Heading(level, anchor, text))
        return f'<h{level} id="{anchor}">{shown}</h{level}>\n'


def inline(prose: str) -> str:
    """Return prose as HTML."""
    return str(_PROSE.renderInline(prose))


def plain(prose: str) -> str:
    """Return the text of prose without markup."""
    (token,) = _PROSE.parseInline(prose)
    return "".join(child.content for child in token.children or [])


def _table(table: Table, name: str) -> str:
    """Render a table that scrolls for itself where it is wider than the page."""
    head = "".join(f'<th scope="col"{_class(column)}>{inline(column.title)}</th>' for column in table.columns)
    rows = "".join(f"<tr>{''.join(map(_cell, row, table.columns, range(len(row))))}</tr>\n" for row in table.rows)
    return (
        f'<div class="scroll"><table aria-label="{escapeHtml(name)}">\n<thead>\n<tr>{head}</tr>\n</thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def _cell(cell: Cell, column: Column[Any], place: int) -> str:
    """Render a cell; the first of a row is its heading, and an interval is on a line of its own."""
    tag, scope = ("th", ' scope="row"') if place == 0 and cell.text else ("td", "")
    interval = _INTERVAL.fullmatch(cell.text)
    content = inline(cell.text)
    if interval and "`" not in cell.text:
        content = f'{inline(interval[1])} <span class="interval">{escapeHtml(interval[2])}</span>'
    return f"<{tag}{scope}{_class(column)}{_value(cell)}>{content}</{tag}>"


def _class(column: Column[Any]) -> str:
    return ' class="number"' if column.is_number else ""


def _value(cell: Cell) -> str:
    """Render the number by which the page sorts the cell, as JavaScript reads it.

    Its last digits would depend on the machine: sums over arrays add in the order of the processor's vector units.
    """
    if cell.value is None or math.isnan(cell.value):
        return ""
    return f' data-value="{"Infinity" if cell.value == math.inf else format(cell.value, ".12g")}"'
