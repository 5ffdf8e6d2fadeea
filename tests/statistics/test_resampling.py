"""The bootstrap draws seeds and images as it says, the same each time."""

import numpy as np
import pytest
from scipy import stats

from intelbench.statistics import resampling
from intelbench.statistics.resampling import NUM_RESAMPLES, resampled_means, resampled_median
from intelbench.statistics.seed_table import SeedTable
from tests.statistics.null_simulation import complete


def correct(num_architectures: int = 2, num_seeds: int = 6, num_images: int = 300) -> np.ndarray:
    """Right answers with an effect of seeds and one of images."""
    random = np.random.default_rng(0)
    skill = 0.3 * random.standard_normal((num_architectures, num_seeds, 1))
    difficulty = random.standard_normal((1, 1, num_images))
    return skill - difficulty + random.standard_normal((num_architectures, num_seeds, num_images)) > 0


def test_the_mean_of_the_resamples_is_the_mean() -> None:
    """Within four of its standard errors, for every architecture."""
    values = correct()
    means = resampled_means(complete(values))
    assert (2, NUM_RESAMPLES) == means.shape
    error = means.std(axis=1) / np.sqrt(NUM_RESAMPLES)
    assert (np.abs(means.mean(axis=1) - values.mean(axis=(1, 2))) < 4 * error).all()


def test_seeds_alone_have_their_own_variance() -> None:
    """Where all images of a seed agree, the variance of the resamples is that of a mean over seeds, not (n - 1) / n."""
    by_seed = np.array([1, 0, 1, 1, 0, 1])
    values = np.repeat(by_seed[None, :, None], 50, axis=2)
    assert resampled_means(complete(values)).var() == pytest.approx(by_seed.var(ddof=1) / 6, rel=0.05)


def test_images_alone_have_theirs() -> None:
    """Where all seeds agree, it is scipy's bootstrap of the images."""
    by_image = np.arange(60) % 3 == 0
    values = np.repeat(by_image[None, None], 4, axis=1)
    expected = stats.bootstrap((by_image.astype(float),), np.mean, n_resamples=10_000, rng=1).standard_error
    assert resampled_means(complete(values)).std() == pytest.approx(expected, rel=0.05)


def test_what_architectures_share_cancels() -> None:
    """All have the same draws: equal architectures have equal means in every resample."""
    one = correct(num_architectures=1)
    first, second = resampled_means(complete(np.concatenate([one, one])), num_resamples=700)
    assert first.tolist() == second.tolist()


def test_the_same_draws_each_time() -> None:
    """No seed from outside, and no dependence on how many are made at a time."""
    assert resampled_means(complete(correct()), 600).tolist() == resampled_means(complete(correct()), 600).tolist()


def test_one_seed_draws_images_alone() -> None:
    """Then only they vary."""
    means = resampled_means(complete(correct(num_seeds=1)), 500)
    assert means.std() > 0


def test_a_missing_seed_is_no_wrong_answer() -> None:
    """A resample has the mean over the finished seeds among those drawn, and none without one; others are unchanged."""
    values = correct(3)
    all_finished = complete(values)
    finished = np.ones((3, 6), dtype=bool)
    finished[1, 1:] = finished[2, 0] = False
    table = SeedTable(all_finished.seeds, np.where(finished[:, :, None], values, False), finished)
    expected, found = resampled_means(all_finished, 2000), resampled_means(table, 2000)
    assert expected[0].tolist() == found[0].tolist()
    assert np.isnan(found[1]).mean() == pytest.approx((5 / 6) ** 5, abs=0.04)
    assert np.nanmean(found[1]) == pytest.approx(values[1, 0].mean(), abs=0.01)
    assert np.isnan(found[2]).mean() < 0.005
    assert np.nanmean(found[2]) == pytest.approx(values[2, 1:].mean(), abs=0.01)


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
