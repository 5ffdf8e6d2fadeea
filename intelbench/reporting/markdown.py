"""The tree of a report as Markdown (GitHub's)."""

import re

from tabulate import tabulate

from intelbench.reporting.document import (
    Block,
    Cells,
    CodeBlock,
    Details,
    Document,
    Figure,
    Gallery,
    Items,
    Paragraph,
    Section,
    Table,
    table,
)
from intelbench.reporting.formatting import backticks, escape, printable_lines


def render(document: Document) -> str:
    """Render a document; its figures are linked as `figures/NAME`."""
    return "\n\n".join([f"# {document.title}", *(block_text(block) for block in document.blocks)]) + "\n"


def block_text(block: Block, level: int = 2) -> str:
    """Render a block; a section's heading has that level."""
    match block:
        case Paragraph(text):
            return text
        case Items(texts, numbered):
            marks = (f"{number}." if numbered else "-" for number in range(1, len(texts) + 1))
            return "\n".join(f"{mark} {text}" for mark, text in zip(marks, texts, strict=True))
        case CodeBlock(text, language):
            fence = backticks(text, least=3)
            return f"{fence}{language}\n{printable_lines(text)}\n{fence}"
        case Table():
            return _table(block)
        case Figure():
            return f"![{escape(block.description)}](figures/{block.name})"
        case Gallery():
            return block_text(_names_of(block), level)
        case Details(title, blocks):
            content = "\n\n".join(block_text(each, level) for each in blocks)
            return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"
        case Section(title, blocks):
            return "\n\n".join([f"{'#' * level} {title}", *(block_text(each, level + 1) for each in blocks)])


def _names_of(gallery: Gallery) -> Details:
    """Render the images of a gallery by their names, folded away."""
    cells: Cells = [
        [escape(image.name), escape(image.label), escape(image.predicted), escape(image.confidence)]
        for image in gallery.images
    ]
    headers = ["Image", "True class", "Predicted as, by runs", "Confidence"]
    return Details("Their names", [table(headers, cells, left=3)])


def _table(block: Table) -> str:
    """Render an aligned pipe table. Pipes in cells are escaped: a row is split before its code spans are read."""
    rows = [[re.sub(r"(?<!\\)\|", r"\\|", cell.text) for cell in row] for row in block.rows]
    align = ["right" if column.is_number else "left" for column in block.columns]
    headers = [column.title for column in block.columns]
    return tabulate(rows, headers, tablefmt="pipe", colalign=align, disable_numparse=True)
