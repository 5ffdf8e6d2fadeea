"""The figure of accuracy by labels shows every architecture at every number of images."""

from pathlib import Path

import pytest

from intelbench.reporting.document import Figure
from intelbench.reporting.figures.label_plots import label_curves
from intelbench.reporting.sections.label_efficiency import label_efficiency
from tests.reporting.figures.test_budget_plots import texts
from tests.results.test_label_efficiency import studies


@pytest.mark.parametrize("seeds", [[0], range(3)])
def test_numbers_and_names(tmp_path: Path, seeds: list[int]) -> None:
    """The numbers that were run stand at the axis, each once, and no others; with one seed too."""
    accuracies = {5: {"a": 0.4, "b": 0.5}, 10: {"a": 0.5, "b": 0.6}, None: {"a": 0.7, "b": 0.8}}
    (study,) = studies(tmp_path, accuracies, seeds)
    svg = label_curves(study)
    found = texts(svg)
    assert ["5", "10", "20"] == found[:3]
    assert {"a", "b", "training images of each class", "test accuracy (%)"} <= set(found)
    assert svg == label_curves(study)


def test_nothing_in_common_is_no_figure(tmp_path: Path) -> None:
    """No architecture with runs at every number."""
    (study,) = studies(tmp_path, {5: {"a": 0.4}, None: {"b": 0.7}})
    assert not any(isinstance(block, Figure) for block in label_efficiency(study))
