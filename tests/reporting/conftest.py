"""Fixtures for the report's tests."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from intelbench.reporting.evidence.study import read
from intelbench.reporting.evidence.summaries import CohortSummary
from tests.reporting.synthetic import ARCHITECTURES, Study, synthetic_runs

Summarize = Callable[..., CohortSummary]


@pytest.fixture
def summarize(tmp_path: Path) -> Summarize:
    """Write synthetic records and return the summary of their largest cohort."""

    def summary(
        architectures: Sequence[str] = ARCHITECTURES, seeds: Sequence[int] = (0, 1, 2), **changes: object
    ) -> CohortSummary:
        synthetic_runs(tmp_path / "runs", architectures, seeds, Study(**changes))
        return read(tmp_path / "runs").cohorts[0]

    return summary
