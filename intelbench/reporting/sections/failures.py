"""Failures: every run without measurements, and why."""

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cells, cell, table
from intelbench.reporting.formatting import escape
from intelbench.reporting.rows import rows
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary


def failures(summary: CohortSummary) -> list[Block]:
    """A row for each failed run; nothing where all have finished."""
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.seed, str),
            formatting.cause(row.cause),
            cell(row.step, formatting.count),
            escape(row.message),
        ]
        for row in rows(tables.failures(summary))
    ]
    return [table(["Architecture", "Seed", "Cause", "Steps done", "Message"], cells, left=5)] if cells else []
