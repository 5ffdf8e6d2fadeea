"""The bootstrap draws runs and steps as it says, the same each time."""

import numpy as np
import pytest
from scipy import stats

from intelbench.statistics import resampling
from intelbench.statistics.resampling import resampled_median


def test_the_median_lies_in_its_interval() -> None:
    """Of all steps; runs that differ make it longer than steps alone would."""
    random = np.random.default_rng(2)
    alike = [1 + 0.1 * random.random(200) for _ in range(4)]
    apart = [run + 0.2 * number for number, run in enumerate(alike)]
    for runs in (alike, apart):
        low, high = resampled_median(runs)
        assert low <= np.median(np.concatenate(runs)) <= high
    narrow, wide = (np.diff(resampled_median(runs)).item() for runs in (alike, apart))
    assert 5 * narrow < wide


def test_a_median_of_one_run_is_scipys() -> None:
    """The percentile interval of its steps."""
    steps = np.random.default_rng(3).exponential(size=150)
    expected = stats.bootstrap((steps,), np.median, method="percentile", rng=1).confidence_interval
    assert resampled_median([steps]) == pytest.approx((expected.low, expected.high), rel=0.03)


def test_no_steps_have_no_median() -> None:
    """Runs without steps are left out; without any there is nothing."""
    assert resampled_median([]) is None
    assert resampled_median([np.empty(0)]) is None
    assert (2.0, 2.0) == resampled_median([np.empty(0), np.array([2.0])])


def test_fewer_draws_make_the_interval_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many runs that 200 resamples of all their steps would take too long have fewer steps drawn from each."""
    random = np.random.default_rng(4)
    runs = [random.exponential(size=100) for _ in range(20)]
    low, high = resampled_median(runs)
    monkeypatch.setattr(resampling, "_MAX_DRAWS", 200 * 19 * 5)
    lower, higher = resampled_median(runs)
    assert lower < low < high < higher
