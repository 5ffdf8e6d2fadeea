"""Rows of a data frame, with their values as attributes."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pandas as pd

from intelbench.results import tables
from intelbench.statistics.estimates import Estimate


class Row(SimpleNamespace):
    """A row: `row.seed`; the three columns of an estimate together are `row.estimate("test_accuracy")`."""

    @property  # which a column of the same name, of the metric of a plug-in, does not hide
    def estimate(self) -> Callable[[str], Estimate | None]:
        """Return a function from the name of an estimate to the estimate; `None` if it is absent."""
        return partial(tables.estimate_of, vars(self))


def rows(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame."""
    return [Row(**row) for row in tables.rows(frame)]
