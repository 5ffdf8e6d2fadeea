"""An architecture has learnt something where it beats answering the largest class for every image."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from intelbench.records.store import write_run
from intelbench.results import baseline, tables
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests.reporting.rendered import build
from tests.synthetic import Study, synthetic_run

IMBALANCED = np.repeat([0, 1, 2], [10, 2, 1])
"""Labels of a test split in which the first class has 10 of 13 images, 76.9 %."""


def logits(predicted: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logits of three classes, with the predicted one the largest."""
    return np.eye(3, dtype=np.float32)[predicted]


def write(
    folder: Path, predictions: dict[str, list[NDArray[np.int64]]], labels: NDArray[np.int64] = IMBALANCED
) -> None:
    """A run of each architecture for each list of its test predictions."""
    study = Study(class_names=("a", "b", "c"), num_test=len(labels))
    for name, seeds in predictions.items():
        for seed, predicted in enumerate(seeds):
            record, traces = synthetic_run(name, seed, study)
            write_run(folder, record, {**traces, "test_labels": labels, "test_logits": logits(predicted)})


def summary(folder: Path) -> CohortSummary:
    """The one cohort."""
    (found,) = read(folder).cohorts
    return found


@pytest.mark.parametrize("seeds", [1, 3])
def test_always_the_largest_class_is_not_above_the_baseline(tmp_path: Path, seeds: int) -> None:
    """The headline says so with one seed and with three, names the share, and that one class is predicted."""
    write(tmp_path, {"constant": [np.zeros(13, dtype=int)] * seeds})
    text = build(tmp_path).text
    opening = text.split("\n\n")[1]
    assert opening.startswith("**In short:**")
    assert "`constant` is not significantly above the majority baseline" in opening
    assert "answering the largest class for every image is right for 76.9 % of them." in opening
    assert "`constant` predicts `a` for every test image." in opening
    assert "the majority baseline is 76.9 %" in text


def test_the_share_of_the_largest_class_is_beside_every_accuracy(tmp_path: Path) -> None:
    """As a row of the main table, for each split, and as a column for machines."""
    write(tmp_path, {"constant": [np.zeros(13, dtype=int)]})
    (line,) = [line for line in build(tmp_path).text.splitlines() if line.startswith("| *majority baseline*")]
    assert ["76.9 %", "33.3 %", "33.3 %"] == [cell.strip() for cell in line.split("|") if "%" in cell]
    assert [10 / 13] == [row["majority_baseline"] for row in tables.main(summary(tmp_path))]


def test_who_has_learnt_is_above_the_baseline_and_nothing_is_said(tmp_path: Path) -> None:
    """All images right, in every seed."""
    labels = np.tile(IMBALANCED, 10)
    write(tmp_path, {"good": [labels, labels, labels]}, labels)
    assert [] == baseline.not_above_baseline(summary(tmp_path))
    assert "majority baseline:" not in build(tmp_path).text.split("\n\n")[1]


def test_one_seed_is_judged_by_an_exact_test(tmp_path: Path) -> None:
    """McNemar's, one-sided: 3 images that only the network got right against none."""
    write(tmp_path, {"good": [IMBALANCED]})
    (good,) = summary(tmp_path).finished
    assert pytest.approx(binomtest(3, 3, alternative="greater").pvalue) == baseline.p_above_baseline(good)
    write(tmp_path / "bad", {"bad": [(IMBALANCED + 1) % 3]})
    (bad,) = summary(tmp_path / "bad").finished
    assert 1 == baseline.p_above_baseline(bad)


def test_a_higher_accuracy_within_the_noise_is_not_above(tmp_path: Path) -> None:
    """Two more images of 13 than the baseline in one seed, fewer in another."""
    better, worse = IMBALANCED.copy(), (IMBALANCED + 1) % 3
    worse[:9] = 0
    write(tmp_path, {"noisy": [better, worse, np.zeros(13, dtype=int)]})
    found = summary(tmp_path)
    assert list(found.finished) == baseline.not_above_baseline(found)


def test_a_class_predicted_for_every_image_in_some_runs_is_counted(tmp_path: Path) -> None:
    """Two of three runs, in the headline too."""
    write(tmp_path, {"unstable": [np.zeros(13, dtype=int), np.ones(13, dtype=int), IMBALANCED]})
    (unstable,) = summary(tmp_path).finished
    assert {0: 1, 1: 1} == baseline.single_class_runs(unstable)
    opening = build(tmp_path).text.split("\n\n")[1]
    assert (
        "`unstable` predicts one class for every test image in 2 of 3 runs: `a` or `b`, depending on the run."
        in opening
    )


def test_without_test_images_there_is_no_baseline(tmp_path: Path) -> None:
    """Nor is anything said of it."""
    write(tmp_path, {"a": [np.empty(0, dtype=int)]}, np.empty(0, dtype=int))
    assert [] == baseline.not_above_baseline(summary(tmp_path))
    assert {} == baseline.single_class_runs(summary(tmp_path).finished[0])


def test_a_kappa_by_chance_is_0_and_not_its_rounding_error(tmp_path: Path) -> None:
    """Always answering one class agrees no more than chance does."""
    labels = np.arange(12) % 3
    write(tmp_path, {"constant": [np.zeros(12, dtype=int)]}, labels)
    (cohort,) = read(tmp_path, metric="quadratic_kappa").cohorts
    assert str(baseline.baseline_value(cohort)) == "0.0"
