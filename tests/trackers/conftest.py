"""Records of a finished and of a failed run, and the place of a tracker."""

from pathlib import Path

import pytest

from intelbench.trackers.tracker import Place
from tests.synthetic import Study, failure, synthetic_runs

NAMES = ("resnet101", "resnet152")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder: two architectures, two seeds, one of four runs failed."""
    folder = tmp_path_factory.mktemp("results")
    failed = failure("diverged", "the training loss of step 3: not finite", 2)
    synthetic_runs(folder / "runs", NAMES, [0, 1], Study(failures={("resnet152", 1): failed}))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty results folder."""
    return Place(results=tmp_path)
