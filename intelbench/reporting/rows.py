"""Rows of a data frame, whose values are attributes."""

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
        """Function that returns the estimate of a name; `None` where it is absent."""
        return partial(tables.estimate_of, vars(self))


def rows(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame."""
    return [Row(**row) for row in tables.rows(frame)]
