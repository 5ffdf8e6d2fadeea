"""Columns have the dtype of their kind."""

import pandas as pd
import pytest

from intelbench.api.frames import typed


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, None], "Int64"),
        ([1.0, 2.0, None], "Float64"),
        ([1, 2.5], "Float64"),
        ([True, None], "boolean"),
        (["a", None], "string"),
        ([None, None], "Float64"),
        ([[1], [2]], "object"),
    ],
)
def test_a_dtype_depends_on_the_kind_of_values(values: list[object], dtype: str) -> None:
    """Not on whether a fraction happens to be whole, nor on missing values, which stay missing."""
    frame = typed(pd.DataFrame({"column": pd.Series(values, dtype=object)}))
    assert dtype == frame["column"].dtype
    assert [value is None for value in values] == frame["column"].isna().tolist()
