"""Rows of raw numbers: as CSV, and the columns of tables that show them."""

import csv
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from typing import Any, TypeAlias

from intelbench.reporting.document import Column, cell
from intelbench.reporting.formatting import ABSENT, escape
from intelbench.results import tables
from intelbench.statistics.estimates import Estimate

Row: TypeAlias = Mapping[str, Any]
"""Values by the name of their column; `None` is absent."""


def csv_of(rows: Iterable[Row], names: Iterable[str]) -> str:
    """Return rows as CSV with these columns; what is absent is empty."""
    out = StringIO()
    writer = csv.DictWriter(out, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def text(title: str, name: str, definition: str = "") -> Column[Row]:
    """Return a column of texts."""
    return Column(title, lambda row: ABSENT if row[name] is None else escape(row[name]), definition, is_number=False)


def number(title: str, name: str, write: Callable[[Any], str], definition: str = "") -> Column[Row]:
    """Return a column of numbers, written by `write`."""
    return Column(title, lambda row: cell(row[name], write), definition)


def estimate(
    title: str,
    name: str,
    write: Callable[[Estimate], str],
    definition: str = "",
    num_runs: int | None = None,
) -> Column[Row]:
    """Return a column of estimates, written by `write`; `num_runs` for those that are not over the runs of a row."""
    return Column(title, lambda row: cell(tables.estimate_of(row, name, num_runs), write), definition)


ARCHITECTURE = text("Architecture", "architecture")
SEED = number("Seed", "seed", str)
PAIR = Column[Row]("Pair", lambda row: f"{escape(row['first'])} − {escape(row['second'])}", is_number=False)
