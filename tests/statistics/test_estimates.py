"""Statistics are what their formulas say, and never NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from intelbench.statistics import estimates as statistics

shares = st.floats(0, 1)
losses = st.lists(st.floats(-100, 100), min_size=6, max_size=60)


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


@given(st.integers(2, 6), st.lists(st.integers(0, 5), min_size=1, max_size=50), st.data())
def test_confusion_matrix_counts_every_image_once(num_classes: int, labels: list[int], data: st.DataObject) -> None:
    """The cells sum to the images, the rows to those of each class, the diagonal to the right ones."""
    truth = np.array(labels) % num_classes
    predicted = np.array(data.draw(st.lists(st.integers(0, num_classes - 1), min_size=len(truth), max_size=len(truth))))
    confusion = statistics.confusion_matrix(truth, predicted, num_classes)
    assert (num_classes, num_classes) == confusion.shape
    assert np.bincount(truth, minlength=num_classes).tolist() == confusion.sum(axis=1).tolist()
    assert pytest.approx(confusion.trace() / len(truth)) == statistics.accuracy(truth, predicted)
    wrong = sum(pair.count for pair in statistics.confused_pairs(confusion, limit=num_classes**2))
    assert len(truth) == confusion.trace() + wrong


def test_confused_pairs() -> None:
    """Rows are true classes; pairs come by count, then by share."""
    confusion = np.array([[8, 2, 0], [2, 2, 0], [0, 0, 0]])
    expected = [statistics.Confusion(1, 0, 2, 4), statistics.Confusion(0, 1, 2, 10)]
    assert expected == statistics.confused_pairs(confusion, limit=3)
    assert [0.5, 0.2] == [pair.share for pair in expected]


def test_cross_entropy_by_hand() -> None:
    """Two equal logits cost log 2; large logits do not overflow; infinite ones are no number."""
    assert pytest.approx(np.log(2)) == statistics.cross_entropy(np.array([0]), np.zeros((1, 2)))
    assert pytest.approx(1000.0) == statistics.cross_entropy(np.array([1]), np.array([[1000.0, 0.0]]))
    with np.errstate(invalid="ignore"):
        assert statistics.cross_entropy(np.array([0]), np.array([[np.inf, np.inf]])) is None
    assert statistics.cross_entropy(np.array([], dtype=int), np.zeros((0, 2))) is None


@given(losses, st.floats(-5, 5), st.floats(-5, 5))
def test_residual_variance_ignores_progress(values: list[float], slope: float, level: float) -> None:
    """A straight line added to the loss changes nothing: only what deviates from it counts."""
    loss = np.array(values)
    moved = loss + slope * np.arange(len(loss)) + level
    assert pytest.approx(statistics.residual_variance(loss), abs=1e-6) == statistics.residual_variance(moved)


@given(losses)
def test_residual_variance_agrees_with_a_fitted_line(values: list[float]) -> None:
    """It equals the residual sum of squares of NumPy's fit over the last half, divided by m - 2."""
    late = np.array(values)[len(values) // 2 :]
    line = np.polynomial.Polynomial.fit(np.arange(len(late)), late, 1)
    expected = float(np.sum((late - line(np.arange(len(late)))) ** 2) / (len(late) - 2))
    assert pytest.approx(expected, abs=1e-6) == statistics.residual_variance(np.array(values))


@pytest.mark.parametrize(("num_steps", "known"), [(0, False), (4, False), (5, True), (6, True)])
def test_residual_variance_needs_three_steps(num_steps: int, known: bool) -> None:
    """Below three steps in the last half there is no variance."""
    assert known == (statistics.residual_variance(np.arange(num_steps, dtype=float)) is not None)


def test_speed_of_no_steps_is_absent() -> None:
    """Without a step after warm-up there is neither a median nor a throughput."""
    assert statistics.quantile(np.empty(0), 0.5) is None
    assert statistics.images_per_second(32, np.empty(0)) is None
    assert pytest.approx(320) == statistics.images_per_second(32, np.array([0.1, 0.1, 9.0]))


def test_precision_and_f1_of_a_worked_matrix() -> None:
    """Class 0: 8 of 10 recognised, 8 of 9 taken for it are of it; class 2 is never predicted, class 3 has no image.

    A second run knows the classes 0 and 2 alone; a class has no value in a run that has no place for one.
    """
    confusion = np.array([[8, 2, 0, 0], [1, 9, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0]])
    runs = np.array([confusion, np.diag([1, 0, 1, 0])])
    assert [[8 / 9, 1.0], [9 / 16], [1.0], []] == [found.tolist() for found in statistics.precision(runs)]
    assert [[16 / 19, 1.0], [18 / 26], [0.0, 1.0], []] == [found.tolist() for found in statistics.f1(runs)]


@given(arrays(np.int64, (3, 3), elements=st.integers(0, 50)))
def test_f1_is_the_harmonic_mean(confusion: np.ndarray) -> None:
    """Of precision and recall, where both are positive."""
    runs = confusion[None]
    for place, (precision, f1) in enumerate(zip(statistics.precision(runs), statistics.f1(runs), strict=True)):
        right = confusion[place, place]
        if right:
            assert f1.item() == pytest.approx(2 / (1 / precision.item() + confusion[place].sum() / right))
