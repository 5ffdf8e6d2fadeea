"""A clock to set, and a record of a failed run."""

from pathlib import Path

import pytest

from intelbench.records.store import read_runs
from intelbench.records.types import RunRecord
from tests.reporting.synthetic import Study, failure, synthetic_runs


class Clock:
    """Tells the time it was given."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def failed_record(tmp_path: Path) -> RunRecord:
    """A run that diverged."""
    cause = failure("diverged", "the training loss of step 3: not finite", 2)
    synthetic_runs(tmp_path / "synthetic", ["resnet101"], [0], Study(failures={("resnet101", 0): cause}))
    return read_runs(tmp_path / "synthetic")[0][0].record
