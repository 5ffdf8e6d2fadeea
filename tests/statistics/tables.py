"""Tables of values for tests."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intelbench.statistics.seed_table import SeedTable


def complete_table(values: NDArray[Any]) -> SeedTable:
    """Return the table of values (A x n x N) of which no run is missing."""
    return SeedTable(tuple(range(values.shape[1])), values, np.ones(values.shape[:2], dtype=np.bool_))
