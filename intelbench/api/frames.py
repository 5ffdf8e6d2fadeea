"""Data frames with dtypes that depend on the kind of a column and not on its values."""

from typing import Any

import pandas as pd

_DTYPES: tuple[tuple[set[type], Any], ...] = (
    ({bool}, pd.BooleanDtype()),
    ({int}, pd.Int64Dtype()),
    ({int, float}, pd.Float64Dtype()),
    ({str}, pd.StringDtype()),
)


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Give each column of Python values its nullable dtype: boolean, Int64, Float64 or string; `None` becomes `pd.NA`.

    A column without any value is Float64; one of lists stays as it is.
    """
    return pd.DataFrame({name: _typed(frame[name]) for name in frame})


def _typed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    kinds = {type(value) for value in column if value is not None}
    for accepted, dtype in _DTYPES:
        if kinds and kinds <= accepted:
            return column.astype(dtype)
    return column if kinds else column.astype(pd.Float64Dtype())
