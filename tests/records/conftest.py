"""A record to change."""

from pathlib import Path

import pytest

from intelbench.records.store import read_runs
from intelbench.records.types import RunRecord
from tests.reporting.synthetic import synthetic_runs


@pytest.fixture
def synthetic_record(tmp_path: Path) -> RunRecord:
    """A finished run."""
    synthetic_runs(tmp_path / "synthetic", ["resnet101"], [0])
    return read_runs(tmp_path / "synthetic")[0][0].record
