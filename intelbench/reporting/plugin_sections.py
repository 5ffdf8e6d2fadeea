"""Sections of plug-ins: a function from a group of records to blocks of the report.

A plug-in file, or a package with an entry point of the group `intelbench.sections`, adds one:

    @intelbench.section("Loss spikes", after="Stability")
    def loss_spikes(summary):
        return [Paragraph("None."), table_of(COLUMNS, summary.finished)]

`intelbench.reporting.document` has the blocks, `intelbench.reporting.formatting` writes numbers and escapes texts, and
`intelbench.reporting.figures.canvas` gives a figure the style of the report.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar
from xml.etree import ElementTree

from intelbench.errors import UserError, kind_of
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Entry, takes_name
from intelbench.reporting.document import Block, Details, Figure, Paragraph, Section
from intelbench.reporting.formatting import code
from intelbench.reporting.markdown import block_text
from intelbench.reporting.sections import SECTIONS, ReportSection
from intelbench.results.summaries import CohortSummary

_FIGURE = re.compile(r"\w[\w.-]{0,79}")
Blocks = TypeVar("Blocks", bound=Callable[[CohortSummary], Sequence[Block]])


@takes_name
def section(title: str, *, after: str | None = None, in_default: bool = True) -> Callable[[Blocks], Blocks]:
    """Register the decorated function as a section of the report.

    The function gets a group of comparable records, and returns blocks; none where it has nothing to say.

    Args:
        title: Heading of the section.
        after: Title of the section that it follows; `None` for the end of the report.
        in_default: Whether the report has it without `--full`.

    Raises:
        UserError: the title is taken, or no section is called `after`.
    """

    def register(function: Blocks) -> Blocks:
        if not callable(function):
            raise UserError(f"section {title!r:.100}: decorates {kind_of(function)}. Expected a function")
        if after is not None:
            SECTIONS.get(after)
        SECTIONS.add(ReportSection(title, function, in_default, after), title, function=function)
        return function

    return register


def sections() -> list[Entry[ReportSection]]:
    """Return the sections in the order of the report; those of entry points are loaded.

    Raises:
        UserError: an entry point fails.
    """
    for name in SECTIONS.entry_points():
        SECTIONS.find(name)

    def with_following(entry: Entry[ReportSection]) -> Iterator[Entry[ReportSection]]:
        yield entry
        for each in entries:
            if each.value.after == entry.name:
                yield from with_following(each)

    entries = list(SECTIONS.entries.values())
    return [each for entry in entries if entry.value.after is None for each in with_following(entry)]


def blocks_of(entry: Entry[ReportSection], summary: CohortSummary) -> list[Block]:
    """Return the blocks of a section on a group of records, its figures named `NAME-KEY.svg`.

    Those of a plug-in end with who provides it.

    Raises:
        UserError: the function of a plug-in fails, or returns something else than blocks.
    """
    key = summary.cohort.key
    if entry.provider == BUILT_IN:
        return [_named(block, key, lambda figure: figure.draw) for block in entry.value.blocks(summary)]
    with SECTIONS.guarded(entry):
        whose = SECTIONS.describe(entry)
        returned = _blocks(entry.value.blocks(summary), f"{whose}: returned")
        blocks = [_named(block, key, lambda figure: partial(_drawn, figure, entry), whose) for block in returned]
        block_text(Section("", blocks))  # fails here where something in them is of a wrong type
    return [*blocks, Paragraph(f"Section of {code(entry.provider)}.")] if blocks else []


def _named(block: Block, key: str, draw: Callable[[Figure], Callable[[], bytes]], whose: str = "") -> Block:
    """Return a block whose figures have names of files and are drawn by what `draw` returns.

    `whose` says in messages whose section it is.
    """
    match block:
        case Details() | Section():
            inner = _blocks(block.blocks, f"{whose}: {type(block).__name__} {block.title!r:.80}: `blocks` is")
            return replace(block, blocks=[_named(each, key, draw, whose) for each in inner])
        case Figure():
            if not _FIGURE.fullmatch(block.name):
                raise ValueError(f"figure {block.name!r:.80}: a name is 1 to 80 letters, digits, '_', '-' and '.'")
            return replace(block, name=f"{block.name}-{key}.svg", draw=draw(block))
    return block


def _blocks(given: object, what: str) -> list[Block]:
    """Return blocks that a plug-in gave as a list.

    Raises:
        UserError: there is something else; the message says what, and what is accepted.
    """
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping):
        blocks = list(given)
        wrong = [each for each in blocks if not isinstance(each, Block)]
        if not wrong:
            return blocks
        what, given = f"{what} a list with", wrong[0]
    advice = f". Try a list: [{type(given).__name__}(...)]" if isinstance(given, Block) else ""
    raise UserError(
        f"{what} {kind_of(given)}. Expected a list of blocks of intelbench.reporting.document, such as Paragraph and "
        f"Table; [] where there is nothing to say{advice}"
    )


def _drawn(figure: Figure, entry: Entry[ReportSection]) -> bytes:
    with SECTIONS.guarded(entry):
        svg = figure.draw()
        if not isinstance(svg, bytes):
            raise TypeError(f"figure {figure.name!r} is drawn as {type(svg).__name__}. Expected bytes of SVG")
        ElementTree.fromstring(svg)  # noqa: S314 - to see that it is XML
        return svg
