"""Figures of accuracy have the axes that are known, every architecture and number, and draw what any records hold."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from intelbench.config.budget import Budget
from intelbench.reporting.document import Figure
from intelbench.reporting.figures import accuracy_plots
from intelbench.reporting.sections.accuracy_by_budget import accuracy_by_budget
from intelbench.reporting.sections.label_efficiency import label_efficiency
from intelbench.results.summaries import CohortSummary
from tests.results.test_efficiency import with_measurements
from tests.results.test_label_efficiency import studies
from tests.synthetic import CONDITIONS, Summarize

SVG = "{http://www.w3.org/2000/svg}"
LABELS = ["training step", "training images", "training time (s)", "training TFLOPs"]


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def with_flops(summary: CohortSummary, names: str, flops: float | None) -> CohortSummary:
    """Of an image, for these architectures, a letter each."""
    return with_measurements(summary, names, training_flops_per_image=flops)


def test_four_axes(summarize: Summarize) -> None:
    """Steps, images, seconds and FLOPs, each once, and every architecture in the key; the same bytes each time."""
    summary = summarize()
    svg = accuracy_plots.budgets(summary)
    found = texts(svg)
    assert [1] * 4 == [found.count(label) for label in LABELS]
    assert [1] * 5 == [found.count(architecture.name) for architecture in summary.finished]
    assert svg == accuracy_plots.budgets(summary)


def test_an_axis_that_nobody_has_is_left_out(summarize: Summarize) -> None:
    """One architecture with known FLOPs keeps the axis; none does not."""
    summary = summarize(["a", "b"])
    assert "training TFLOPs" in texts(accuracy_plots.budgets(with_flops(summary, "a", None)))
    found = texts(accuracy_plots.budgets(with_flops(summary, "ab", None)))
    assert LABELS[:3] == [text for text in found if text in LABELS]


def test_far_apart_is_logarithmic(summarize: Summarize) -> None:
    """More than ten times the FLOPs of another: the axis counts 1, 2, 5, 10, in plain figures."""
    summary = summarize(["a", "b"])
    dear = with_flops(summary, "b", 40e9)
    found = texts(accuracy_plots.budgets(dear))
    assert {"1", "2", "5", "10", "20", "50"} <= set(found)
    assert not any("$" in text for text in found)


def test_nothing_evaluated_is_no_figure(summarize: Summarize) -> None:
    """Without validation images there is no curve."""
    summary = summarize(["a"])
    runs = tuple(
        replace(run, evaluation_step=np.empty(0), evaluation_accuracy=np.empty(0)) for run in summary.finished[0].runs
    )
    assert [] == accuracy_by_budget(replace(summary, architectures=(replace(summary.finished[0], runs=runs),)))


@pytest.mark.parametrize("num_steps", [1, 2])
def test_very_short_runs_are_drawn(summarize: Summarize, num_steps: int) -> None:
    """A single evaluation of a single run is a point."""
    short = msgspec.structs.replace(CONDITIONS, budget=Budget(steps=num_steps))
    assert texts(accuracy_plots.budgets(summarize(["a"], [0], conditions=short, num_steps=num_steps)))


def test_thirty_architectures(summarize: Summarize) -> None:
    """All of them stand in the key."""
    names = [f"model_{number:02d}" for number in range(30)]
    assert set(names) <= set(texts(accuracy_plots.budgets(summarize(names, (0, 1)))))


@pytest.mark.parametrize("seeds", [[0], range(3)])
def test_numbers_of_labels_and_names(tmp_path: Path, seeds: list[int]) -> None:
    """The numbers that were run stand at the axis, each once, and no others; with one seed too."""
    accuracies = {5: {"a": 0.4, "b": 0.5}, 10: {"a": 0.5, "b": 0.6}, None: {"a": 0.7, "b": 0.8}}
    (study,) = studies(tmp_path, accuracies, seeds)
    svg = accuracy_plots.label_curves(study)
    found = texts(svg)
    assert ["5", "10", "20"] == found[:3]
    assert {"a", "b", "training images of each class", "test accuracy (%)"} <= set(found)
    assert svg == accuracy_plots.label_curves(study)


def test_nothing_in_common_is_no_figure(tmp_path: Path) -> None:
    """No architecture with runs at every number."""
    (study,) = studies(tmp_path, {5: {"a": 0.4}, None: {"b": 0.7}})
    assert not any(isinstance(block, Figure) for block in label_efficiency(study))
