"""Intervals of shares hold the true share near 0 and 1, and for few images."""

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.proportion import proportion_confint

from intelbench.statistics.inference import SeedVariance, infer
from intelbench.statistics.shares import dispersion_prior, infer_share, share_estimate, wilson
from tests.statistics.worlds import World


def test_wilson_equals_that_of_statsmodels() -> None:
    """Also where no image was right, and where all were."""
    for successes, total in ((0, 7), (1, 3), (450, 900), (900, 900)):
        assert wilson(successes / total, total) == pytest.approx(proportion_confint(successes, total, method="wilson"))


def test_without_an_error_the_interval_is_that_of_independent_images() -> None:
    """60 images that every seed answers rightly: not [100, 100] %."""
    estimate = infer_share(np.ones((3, 60), dtype=np.bool_))
    assert (estimate.mean, estimate.high, estimate.n) == (1.0, 1.0, 3)
    assert estimate.low == pytest.approx(60 / (60 + t.ppf(0.975, 59) ** 2))


def test_the_interval_is_the_union_over_the_spreads() -> None:
    """Wilson's interval for p (1 - p) / V images and Student's quantile, with each spread."""
    table = np.random.default_rng(0).random((4, 50)) < np.array([0.5, 0.6, 0.7, 0.9])[:, None]
    inferred = infer(table)
    share = table.mean()
    intervals = [
        wilson(share, share * (1 - share) / spread.error**2, t.ppf(0.975, spread.freedom))
        for spread in inferred.spreads
    ]
    assert infer_share(table).low == pytest.approx(min(low for low, _ in intervals))
    assert infer_share(table).high == pytest.approx(max(high for _, high in intervals))


def test_a_share_never_counts_more_images_than_there_are_answers() -> None:
    """Answers of two seeds that disagree on exactly the images that balance their means have hardly any variance."""
    table = np.array([[True, False] * 10, [False, True] * 10])
    estimate = share_estimate(infer(table), 20)
    assert (estimate.low, estimate.high) != (0.5, 0.5)
    assert estimate.low <= wilson(0.5, 40)[0]


def test_a_share_without_an_error_can_be_moderated_by_others() -> None:
    """The class is always right, and the recall of others varies: the interval is longer, and ends at 1."""
    table = np.ones((3, 40), dtype=np.bool_)
    alone, moderated = infer_share(table), infer_share(table, SeedVariance(0.5, 8.0))
    assert alone is not None
    assert moderated is not None
    assert (1.0, 1.0) == (moderated.mean, moderated.high)
    assert moderated.low < alone.low < 1


def test_one_seed_and_no_images() -> None:
    """One seed has no interval, and an empty table no share."""
    assert infer_share(np.ones((1, 5), dtype=np.bool_)).low is None
    assert infer_share(np.ones((2, 0), dtype=np.bool_)) is None


@pytest.mark.parametrize(
    ("accuracy", "num_images"), [(0.995, 60), (0.7, 10), (0.9, 20), (0.7, 900)], ids=lambda value: f"{value:g}"
)
@pytest.mark.parametrize("num_seeds", [3, 5])
def test_the_interval_holds_the_true_share(accuracy: float, num_images: int, num_seeds: int) -> None:
    """In at least 93 % of 300 studies; the interval p ± t sqrt(V), cut to [0, 1], held it in 73 to 90 %."""
    world = World("", (0.1,), accuracy=accuracy, num_images=num_images)
    random = np.random.default_rng(num_images)
    covered = 0
    for _ in range(300):
        estimate = infer_share(world.study(random, 1, num_seeds)[0])
        covered += estimate.low <= accuracy <= estimate.high
    assert covered >= 0.93 * 300


@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_moderated_recalls_hold_the_true_one_and_are_shorter(spread: float) -> None:
    """Three seeds of five architectures on six classes of 40 images: 94 % of 1,800 intervals, at most 0.8 as long."""
    world, random = World("", (spread,), num_images=40), np.random.default_rng(5)
    covered, lengths = 0, np.zeros(2)
    for _ in range(60):
        tables = [table for _ in range(6) for table in world.study(random, 5, 3)]
        prior = dispersion_prior([table.mean(axis=1) for table in tables])
        for table in tables:
            moderated, alone = infer_share(table, prior), infer_share(table)
            covered += moderated.low <= world.accuracy <= moderated.high
            lengths += moderated.high - moderated.low, alone.high - alone.low
    assert covered >= 0.94 * 1800
    assert lengths[0] <= 0.8 * lengths[1]
