"""What is said of single classes is what the confusion matrices hold."""

from dataclasses import replace

import numpy as np
import pytest

from intelbench.reporting.sections.classes import classes
from intelbench.reporting.sections.confusion import confusion_matrices
from intelbench.results import tables
from tests.reporting.rendered import rendered
from tests.synthetic import Summarize


def test_confusions_in_words(summarize: Summarize) -> None:
    """Pair, share of the true class with its interval, and counts over the runs."""
    summary = summarize(["a"], class_names=("cat", "dog"), accuracies={"a": 0.8})
    first, _ = rendered(confusion_matrices(summary))
    counts = summary.finished[0].confusion
    row = 0 if counts[0, 1] >= counts[1, 0] else 1
    names = ("cat", "dog") if row == 0 else ("dog", "cat")
    share = 100 * counts[row, 1 - row] / 450
    assert f"{names[0]} predicted as {names[1]}: {share:.1f} % [" in first
    assert f"] of {names[0]} ({counts[row, 1 - row]} of 450)" in first


def test_nothing_confused(summarize: Summarize) -> None:
    """A perfect network has no confused pair."""
    summary = summarize(["a"], accuracies={"a": 1.0})
    assert "No test image was misclassified." in rendered(confusion_matrices(summary))[0]


def test_confusions_come_by_number_then_by_share(summarize: Summarize) -> None:
    """Two of four images of a class are more than two of ten."""
    summary = summarize(["a"], class_names=("cat", "dog"))
    labels, predicted = np.repeat([0, 1], [10, 4]), np.repeat([0, 1, 0, 1], [8, 2, 2, 2])
    runs = [replace(run, test_labels=labels, test_predictions=predicted) for run in summary.runs]
    found = list(tables.confusions(replace(summary.finished[0], runs=tuple(runs)), summary, limit=3))
    num_runs = len(runs)
    expected = [("dog", "cat", 2 * num_runs, 4 * num_runs), ("cat", "dog", 2 * num_runs, 10 * num_runs)]
    assert expected == [(row["true"], row["predicted"], row["num_images"], row["num_true"]) for row in found]


def test_numbers_of_a_class_are_those_of_its_images(summarize: Summarize) -> None:
    """Recall over runs and images, precision and F1 of all runs together."""
    summary = summarize(["a", "b"])
    records = list(tables.classes(summary))
    assert 2 * len(summary.data.class_names) == len(records)
    runs = summary.finished[0].runs
    row = next(row for row in records if row["architecture"] == summary.finished[0].name)
    assert row["recall"] == pytest.approx(np.mean([run.confusion[0, 0] / run.confusion[0].sum() for run in runs]))
    assert row["recall_low"] < row["recall"] < row["recall_high"]
    total = sum(run.confusion for run in runs)
    assert row["precision"] == pytest.approx(total[0, 0] / total[:, 0].sum())
    assert row["f1"] == pytest.approx(2 * total[0, 0] / (total[0].sum() + total[:, 0].sum()))


@pytest.mark.parametrize(("num_architectures", "first_cell"), [(2, "| buildings "), (8, "| model_")])
def test_the_longer_list_makes_the_rows(summarize: Summarize, num_architectures: int, first_cell: str) -> None:
    """Six classes and two architectures, or eight."""
    summary = summarize([f"model_{number}" for number in range(num_architectures)])
    _, recall, others = rendered(classes(summary))
    assert recall.splitlines()[2].startswith(first_cell)
    assert "Precision (%)" in others
    assert "F1 (%)" in others


def test_one_run_says_so(summarize: Summarize) -> None:
    """N = 1, and no interval over seeds."""
    assert "(n = 1)" in rendered(classes(summarize(["a", "b"], [0])))[1]
