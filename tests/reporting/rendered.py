"""What a reader of a report in Markdown sees."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from intelbench.reporting.document import Block
from intelbench.reporting.markdown import block_text
from intelbench.reporting.report import Report, write
from intelbench.results.claims import Claim
from intelbench.results.study import read


def rendered(blocks: Iterable[Block]) -> list[str]:
    """Return the Markdown of each block."""
    return [block_text(block) for block in blocks]


def build(folder: Path, *, claims: Sequence[Claim] | None = None, full: bool = False) -> Report:
    """Return the report on the records in a folder."""
    return write(read(folder), claims=claims, full=full)
