"""A clock to set, a record of a failed run, and a server that starts processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from intelbench.orchestration.forkserver import ForkServer
from intelbench.profiling.variables import process_variables
from intelbench.records.store import read_runs
from intelbench.records.types import RunRecord
from tests.conftest import REPOSITORY
from tests.synthetic import Study, failure, synthetic_runs


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


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """Starts processes with one thread; it finds the modules of these tests too."""
    with ForkServer({**process_variables(threads=1), "PYTHONPATH": str(REPOSITORY)}) as server:
        yield server
