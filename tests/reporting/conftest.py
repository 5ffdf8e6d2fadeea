"""A study for tests of verdicts."""

import pytest

from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests.synthetic import synthetic_runs


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> CohortSummary:
    """Three architectures, four seeds each, whose values the tests replace."""
    folder = tmp_path_factory.mktemp("runs")
    synthetic_runs(folder, ["a", "b", "c"], range(4))
    return read(folder).cohorts[0]
