"""Columns have the dtype of their type."""

import pandas as pd
import pytest

from intelbench.api.frames import typed


@pytest.mark.parametrize(
    ("values", "type_", "dtype"),
    [
        ([1, 2, None], int, "Int64"),
        ([1.0, 2.0, None], float, "Float64"),
        ([1, 2.5], float, "Float64"),
        ([1, 2], float, "Float64"),
        (["a", None], str, "string"),
        ([None, None], str, "string"),
        ([None, None], int, "Int64"),
        ([], int, "Int64"),
        ([], str, "string"),
        ([[1], [2]], list, "object"),
    ],
)
def test_a_dtype_does_not_depend_on_the_values(values: list[object], type_: type, dtype: str) -> None:
    """Neither on whether a fraction is a whole number, nor on whether there is a value; missing values stay missing."""
    frame = typed(pd.DataFrame({"column": pd.Series(values, dtype=object)}), {"column": type_})
    assert dtype == frame["column"].dtype
    assert [value is None for value in values] == frame["column"].isna().tolist()
