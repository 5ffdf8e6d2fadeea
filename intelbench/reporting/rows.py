"""Rows of data frames of raw numbers, and columns of tables that show them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from intelbench.reporting.document import Column, cell
from intelbench.reporting.formatting import escape
from intelbench.results import tables
from intelbench.statistics.estimates import Estimate


@dataclass(frozen=True)
class Row:
    """A row of a data frame, whose values are read by the name of their column and by their type."""

    values: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return a text."""
        return cast("str", self.values[name])

    def text_or_none(self, name: str) -> str | None:
        """Return a text; `None` if it is absent."""
        return cast("str | None", self.values[name])

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return cast("int", self.values[name])

    def number(self, name: str) -> float | None:
        """Return a number; `None` if it is absent."""
        return cast("float | None", self.values[name])

    def flag(self, name: str) -> bool:
        """Return a truth value."""
        return bool(self.values[name])

    def words(self, name: str) -> list[str]:
        """Return the words of a text; none if it is absent."""
        return (self.text_or_none(name) or "").split()

    def items(self, name: str) -> Sequence[Any]:
        """Return a list."""
        return cast("Sequence[Any]", self.values[name])

    def estimate(self, name: str, num_runs: int | None = None) -> Estimate | None:
        """Put the three columns of an estimate together; `num_runs` for one that is not over the runs of the row."""
        return tables.estimate_of(self.values if num_runs is None else {**self.values, "num_finished": num_runs}, name)


def rows(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame."""
    return [Row(row) for row in tables.rows(frame)]


def text(title: str, name: str, definition: str = "") -> Column[Row]:
    """Return a column of texts."""
    return Column(title, lambda row: escape(row.text(name)), definition, is_number=False)


def number(title: str, name: str, write: Callable[[Any], str], definition: str = "") -> Column[Row]:
    """Return a column of numbers, written by `write`."""
    return Column(title, lambda row: cell(row.number(name), write), definition)


def estimate(title: str, name: str, write: Callable[[Estimate | None], str], definition: str = "") -> Column[Row]:
    """Return a column of estimates, written by `write`."""
    return Column(title, lambda row: cell(row.estimate(name), write), definition)


ARCHITECTURE = text("Architecture", "architecture")
SEED = number("Seed", "seed", str)
PAIR = Column[Row]("Pair", lambda row: f"{escape(row.text('first'))} − {escape(row.text('second'))}", is_number=False)
