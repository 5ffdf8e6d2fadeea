"""Failures: every run without measurements, and why."""

from intelbench.reporting.document import Block, Column, table_of
from intelbench.reporting.formatting import cause, count
from intelbench.reporting.rows import ARCHITECTURE, SEED, Row, number, text
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary

_COLUMNS = (
    ARCHITECTURE,
    SEED,
    Column[Row]("Cause", lambda row: cause(row["cause"]), is_number=False),
    number("Steps done", "step", count),
    text("Message", "message"),
)


def failures(summary: CohortSummary) -> list[Block]:
    """Return a row for each failed run; nothing where all have finished."""
    failed = tables.failures(summary)
    return [table_of(_COLUMNS, failed)] if failed else []
