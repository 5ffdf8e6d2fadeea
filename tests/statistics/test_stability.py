"""Churn, swing, forgetting and spikes are what their definitions say."""

from dataclasses import astuple
from itertools import permutations
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intelbench.records.store import write_run
from intelbench.results import tables
from intelbench.results.study import read
from intelbench.statistics import stability
from intelbench.statistics.stability import SPIKE_WINDOW, VARIANCE_WINDOW, Churn
from tests.reporting.rendered import build
from tests.results.metric_simulation import evaluated
from tests.synthetic import CONDITIONS, Study, failure, synthetic_run, synthetic_runs

classes = st.integers(0, 3)
Predictions = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    """Labels and two sets of predictions of the same images."""
    rows = draw(st.lists(st.tuples(classes, classes, classes), min_size=1, max_size=40))
    labels, before, after = np.array(rows).T
    return labels, before, after


def churn(labels: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64]) -> Churn | None:
    """Return the churn between two sets of predictions."""
    return stability.churn_between_evaluations(labels, np.stack((before, after)))


def test_churn_by_hand() -> None:
    """One win, two losses, one neutral change and one that stays wrong, of eight images."""
    labels = np.zeros(8, dtype=np.int64)
    before = np.array([1, 0, 0, 1, 1, 0, 0, 0])
    after = np.array([0, 1, 2, 2, 1, 0, 0, 0])
    found = churn(labels, before, after)
    assert Churn(wins=1 / 8, losses=2 / 8, neutral=1 / 8, unnecessary=3 / 8) == found
    assert 4 / 8 == found.total


@given(predictions())
def test_churn_is_what_changed(given_: Predictions) -> None:
    """The parts add up to all changes, wins less losses to the difference in accuracy, and none is negative."""
    labels, before, after = given_
    found = churn(labels, before, after)
    assert found is not None
    assert pytest.approx(np.mean(before != after)) == found.total
    assert pytest.approx(np.mean(after == labels) - np.mean(before == labels)) == found.wins - found.losses
    assert pytest.approx(found.total - abs(found.wins - found.losses)) == found.unnecessary
    assert min(found.wins, found.losses, found.neutral, found.unnecessary) >= 0


@given(predictions())
def test_churn_between_seeds_has_no_direction(given_: Predictions) -> None:
    """As many wins as losses, whatever the order of the runs."""
    labels, one, other = given_
    found = stability.churn_between_seeds(labels, np.array([one, other]))
    assert found is not None
    assert found.wins == found.losses
    assert stability.churn_between_seeds(labels, np.array([other, one])) == found


@given(predictions(), st.data())
def test_churn_between_seeds_is_the_mean_over_pairs(given_: Predictions, data: st.DataObject) -> None:
    """What is counted by class is what comparing each run with each other gives."""
    labels, *runs = given_
    runs.append(np.array(data.draw(st.lists(classes, min_size=len(labels), max_size=len(labels)))))
    found = stability.churn_between_seeds(labels, np.array(runs))
    expected = stability.mean_churn([churn(labels, one, other) for one, other in permutations(runs, 2)])
    assert found is not None
    assert expected is not None
    assert pytest.approx(astuple(expected), abs=1e-12) == astuple(found)


@given(st.integers(2, 5), st.integers(1, 60), st.randoms(use_true_random=False))
def test_two_classes_have_no_neutral_churn_between_seeds(num_runs: int, num_images: int, random: Random) -> None:
    """A change from one wrong class to another takes three classes: the share is exactly 0, without rounding."""
    labels, *runs = [[random.randint(0, 1) for _ in range(num_images)] for _ in range(num_runs + 1)]
    found = stability.churn_between_seeds(np.array(labels), np.array(runs))
    assert found is not None
    assert 0 == found.neutral


@given(predictions())
def test_what_stays_has_no_churn(given_: Predictions) -> None:
    """Nothing was won or lost."""
    labels, before, _ = given_
    points = np.array([before, before, before])
    assert Churn(0.0, 0.0, 0.0, 0.0) == stability.churn_between_evaluations(labels, points)


def test_swing_and_forgetting_by_hand() -> None:
    """Accuracies 0, 1, 0.5: changes of 1 and 0.5; one of two images is forgotten once."""
    labels = np.array([0, 0])
    points = np.array([[1, 1], [0, 0], [0, 1]])
    images = evaluated(points == labels)
    assert [0.75, 0.5] == [images.swing.mean(), images.forgetting_events.mean()]
    assert Churn(wins=0.5, losses=0.25, neutral=0.0, unnecessary=0.0) == stability.churn_between_evaluations(
        labels, points
    )


def test_one_point_or_no_image_tells_nothing() -> None:
    """`None`, not 0."""
    labels, nothing = np.array([0, 1]), np.array([], dtype=np.int64)
    assert stability.churn_between_evaluations(labels, np.array([[0, 1]])) is None
    assert stability.churn_between_seeds(labels, np.array([labels])) is None
    assert churn(nothing, nothing, nothing) is None


def test_a_spike_is_counted_once() -> None:
    """A jump far out of the noise, among steps that have enough before them."""
    noise = 1 + 0.01 * np.cos(np.arange(SPIKE_WINDOW + 10))
    assert 0.0 == stability.spike_score(noise)
    spiked = noise.copy()
    spiked[SPIKE_WINDOW + 4] = 3.0
    assert 0.1 == stability.spike_score(spiked)
    assert stability.spike_score(noise[:SPIKE_WINDOW]) is None


def test_a_flat_or_falling_loss_has_no_spike() -> None:
    """No deviation, no spike; and what falls is progress."""
    assert 0.0 == stability.spike_score(np.full(50, 0.3))
    assert 0.0 == stability.spike_score(np.array([1.0] * 30 + [0.0] * 30))


losses = st.lists(st.floats(0.1, 100), min_size=VARIANCE_WINDOW, max_size=3 * VARIANCE_WINDOW)


@given(losses, st.floats(-0.1, 0.1), st.floats(0.1, 10))
def test_relative_variance_ignores_level_and_progress(values: list[float], slope: float, level: float) -> None:
    """A loss that is a multiple, or falls or rises by the same share at each step, varies as much."""
    loss = np.array(values)
    moved = level * loss * np.exp(slope * np.arange(len(loss)))
    assert stability.relative_variance(loss) == pytest.approx(stability.relative_variance(moved), rel=1e-6, abs=1e-9)


@given(losses)
def test_relative_variance_agrees_with_a_fitted_line(values: list[float]) -> None:
    """It equals the residual sum of squares of NumPy's fit to the logarithms, divided by m - 2."""
    logs, step = np.log(values[-VARIANCE_WINDOW:]), np.arange(VARIANCE_WINDOW)
    line = np.polynomial.Polynomial.fit(step, logs, 1)
    expected = float(np.sum((logs - line(step)) ** 2) / (VARIANCE_WINDOW - 2))
    assert pytest.approx(expected, abs=1e-9) == stability.relative_variance(np.array(values))


def test_relative_variance_needs_its_window() -> None:
    """A shorter run has none, so that all are over equally many steps; nor has a loss of 0, which has no logarithm."""
    loss = np.linspace(2, 1, VARIANCE_WINDOW)
    assert stability.relative_variance(loss) is not None
    assert stability.relative_variance(loss[1:]) is None
    assert stability.relative_variance(np.append(loss, 0.0)) is None


def test_longer_runs_vary_no_less() -> None:
    """On average: the same noise at the end of runs of 20, 60 and 400 steps, at losses of 3 and 0.03."""
    random = np.random.default_rng(0)
    found = [
        np.mean([stability.relative_variance(level * np.exp(0.2 * random.standard_normal(n))) for _ in range(400)])
        for n, level in ((20, 3.0), (60, 0.03), (400, 3.0))
    ]
    assert found == pytest.approx([0.04] * 3, rel=0.06)


def test_the_table_counts_divergences_and_runs(tmp_path: Path) -> None:
    """A diverged run is no finished one, and stands in its own column."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1, 2], Study(failures={("b", 1): failure("diverged", "no", 7)}))
    (summary,) = read(tmp_path).cohorts
    found = {row["architecture"]: row for row in list(tables.stability(summary))}
    assert [3, 0] == [found["a"]["num_runs"], found["a"]["num_diverged"]]
    assert [2, 1] == [found["b"]["num_runs"], found["b"]["num_diverged"]]
    by_seed = [run.test_accuracy for architecture in summary.finished[:1] for run in architecture.runs]
    row = found[summary.finished[0].name]
    assert np.std(by_seed, ddof=1) == pytest.approx(row["run_to_run_deviation"])
    assert row["run_to_run_deviation_low"] < row["run_to_run_deviation"] < row["run_to_run_deviation_high"]


def test_one_run_has_nothing_between_seeds(tmp_path: Path) -> None:
    """Dashes, in a table that is there all the same."""
    synthetic_runs(tmp_path, ["a"], [0])
    (summary,) = read(tmp_path).cohorts
    (row,) = list(tables.stability(summary))
    assert row["run_to_run_deviation"] is None
    assert row["seed_churn_total"] is None
    assert row["churn"] > 0
    assert "## Stability" in build(tmp_path, full=True).text


def test_one_evaluation_point_has_nothing_between_them(tmp_path: Path) -> None:
    """Nothing swings and nothing is forgotten where it is looked at once."""
    study = Study(conditions=msgspec.structs.replace(CONDITIONS, evaluation_points=1))
    write_run(tmp_path, *synthetic_run("a", 0, study))
    (summary,) = read(tmp_path).cohorts
    (row,) = list(tables.stability(summary))
    assert [None, None, None] == [row["accuracy_swing"], row["forgetting_events"], row["churn"]]
