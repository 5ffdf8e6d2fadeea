"""Blocks of a report as the texts that a reader of its Markdown sees."""

from collections.abc import Iterable

from intelbench.reporting.document import Block
from intelbench.reporting.markdown import block_text


def rendered(blocks: Iterable[Block]) -> list[str]:
    """Return the Markdown of each block."""
    return [block_text(block) for block in blocks]
