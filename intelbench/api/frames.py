"""Data frames with dtypes that depend on the columns and not on their values."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from intelbench.results.columns import Row

_DTYPES: Mapping[type, Any] = {
    str: pd.StringDtype(),
    int: pd.Int64Dtype(),
    float: pd.Float64Dtype(),
    bool: pd.BooleanDtype(),
    list: "object",
}


def frame_of(rows: Sequence[Row], types: Mapping[str, type]) -> pd.DataFrame:
    """Return the data frame of the rows of a table, with every column also if there is no row."""
    return typed(pd.DataFrame(rows, columns=list(types), dtype=object), types)


def typed(frame: pd.DataFrame, types: Mapping[str, type]) -> pd.DataFrame:
    """Give each column the nullable dtype of its type: string, Int64, Float64 or boolean; `None` becomes `pd.NA`.

    Args:
        frame: A data frame.
        types: Type of the values of each column by name; lists keep the dtype `object`.
    """
    return frame.astype({name: _DTYPES[type_] for name, type_ in types.items()})
