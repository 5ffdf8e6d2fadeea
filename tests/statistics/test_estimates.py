"""Statistics are what their formulas say, and never NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from intelbench.statistics import estimates as statistics
from tests.statistics import positive_simulation

shares = st.floats(0, 1)


@given(st.lists(shares, min_size=2, max_size=20))
def test_mean_interval_is_students(values: list[float]) -> None:
    """Mean and half width agree with scipy's own t interval, and the mean lies inside."""
    estimate = statistics.mean_interval(values)
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    assert estimate is not None
    assert estimate.n == len(values)
    assert pytest.approx(np.mean(values)) == estimate.mean
    assert pytest.approx(np.mean(values) - half, abs=1e-9) == estimate.low
    assert pytest.approx(np.mean(values) + half, abs=1e-9) == estimate.high


@given(st.lists(shares, min_size=2, max_size=5))
def test_mean_interval_stays_within_its_bounds(values: list[float]) -> None:
    """An interval for a share never leaves 0 to 1."""
    estimate = statistics.mean_interval(values, 0, 1)
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0 <= estimate.low <= estimate.mean + 1e-12
    assert estimate.mean - 1e-12 <= estimate.high <= 1


def test_mean_interval_of_few() -> None:
    """One value has no interval, none has no mean, and a number that is not finite has neither."""
    assert statistics.Estimate(0.5, None, None, 1) == statistics.mean_interval([0.5])
    assert statistics.mean_interval([]) is None
    assert statistics.mean_interval([0.5, np.nan]) is None


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=20))
def test_the_interval_of_a_positive_mean_is_on_the_scale_of_logarithms(values: list[float]) -> None:
    """It does not reach 0, and its half width there is that of Student's interval over the mean."""
    estimate, student = statistics.positive_mean_interval(values), statistics.mean_interval(values)
    assert 0 < estimate.low <= estimate.mean <= estimate.high
    assert student.mean == estimate.mean
    half = (student.high - student.mean) / student.mean
    assert (-half, half) == pytest.approx(
        tuple(np.log([estimate.low, estimate.high]) - np.log(estimate.mean)), abs=1e-9
    )


@pytest.mark.parametrize("values", [[], [2.0], [1.0, np.inf]])
def test_a_positive_mean_without_spread_is_any_mean(values: list[float]) -> None:
    """One value has no interval, and none has no mean."""
    assert statistics.mean_interval(values) == statistics.positive_mean_interval(values)


def test_an_interval_with_a_value_of_0_may_reach_0() -> None:
    """It has no logarithm."""
    assert statistics.mean_interval([0.0, 1.0], 0) == statistics.positive_mean_interval([0.0, 1.0])


def test_intervals_of_positive_means_hold_the_true_mean() -> None:
    """Of three seeds whose times differ by 50 % at least as often as Student's interval, and in at least 93 %."""
    positive, student = positive_simulation.coverage(0.5, 3, 4000)
    assert student <= positive
    assert 0.93 <= positive


@given(st.integers(2, 6), st.lists(st.integers(0, 5), min_size=1, max_size=50), st.data())
def test_confusion_matrix_counts_every_image_once(num_classes: int, labels: list[int], data: st.DataObject) -> None:
    """The cells sum to the images, the rows to those of each class, the diagonal to the right ones."""
    truth = np.array(labels) % num_classes
    predicted = np.array(data.draw(st.lists(st.integers(0, num_classes - 1), min_size=len(truth), max_size=len(truth))))
    confusion = statistics.confusion_matrix(truth, predicted, num_classes)
    assert (num_classes, num_classes) == confusion.shape
    assert np.bincount(truth, minlength=num_classes).tolist() == confusion.sum(axis=1).tolist()
    assert (truth == predicted).sum() == confusion.trace()
    assert len(truth) == confusion.sum()


def test_losses_by_hand() -> None:
    """Two equal logits cost log 2; large logits do not overflow; infinite ones have no mean, nor do no images."""
    logits = np.array([[0.0, 0.0], [1000.0, 0.0]])
    assert pytest.approx([np.log(2), 1000.0]) == statistics.Softmax.of(logits).losses(np.array([0, 1])).tolist()
    with np.errstate(invalid="ignore"):
        assert statistics.mean(statistics.Softmax.of(np.array([[np.inf, np.inf]])).losses(np.array([0]))) is None
    assert statistics.mean(statistics.Softmax.of(np.zeros((0, 2))).losses(np.array([], dtype=int))) is None


def test_speed_of_no_steps_is_absent() -> None:
    """Without a step after warm-up there is no median."""
    assert statistics.quantile(np.empty(0), 0.5) is None
