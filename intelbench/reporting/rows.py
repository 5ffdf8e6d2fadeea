"""Rows of a data frame, whose values are attributes."""

from types import SimpleNamespace

import pandas as pd

from intelbench.results import tables
from intelbench.statistics.estimates import Estimate


class Row(SimpleNamespace):
    """A row: `row.seed`; the three columns of an estimate together are `row.estimate("test_accuracy")`."""

    def estimate(self, name: str) -> Estimate | None:
        """Return the estimate of that name; `None` where it is absent."""
        return tables.estimate_of(vars(self), name)


def rows(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame."""
    return [Row(**row) for row in tables.rows(frame)]
