"""Values of finished runs are read, and nothing else."""

import numpy as np
import pytest

from intelbench.statistics.seed_table import SeedTable


def test_what_has_not_finished_cannot_be_read() -> None:
    """Neither a missing run nor a seed that nobody has."""
    table = SeedTable.of_runs([{3: np.array([True]), 5: np.array([False])}, {5: np.array([True])}])
    assert ((3, 5), (5,)) == (table.seeds, table.common(0, 1))
    assert ([[True], [False]], [[True]]) == (table.of(0).tolist(), table.of(1).tolist())
    assert [[True]] == table.of_seed(3).tolist()
    for seed in (3, 4):
        with pytest.raises(ValueError):
            table.of(1, [seed])
