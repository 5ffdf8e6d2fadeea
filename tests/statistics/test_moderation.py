"""Architectures share what they tell about the variance between seeds, as far as their spreads are alike."""

import numpy as np
import pytest
from scipy.special import polygamma
from scipy.stats import ttest_ind, ttest_rel

from intelbench.statistics.moderation import pair_variances, prior_freedom

PAIRS = [(0, 1), (0, 2), (1, 2)]


def all_finished(means: np.ndarray) -> np.ndarray:
    """Return that every run exists."""
    return np.ones(means.shape, dtype=np.bool_)


def test_the_prior_is_found_where_variances_were_drawn_from_one() -> None:
    """20,000 variances whose distribution has 8 degrees of freedom (Smyth, 2004)."""
    random = np.random.default_rng(0)
    true = 2.5 * 8 / random.chisquare(8, 20_000)
    variances = true * random.chisquare(3, 20_000) / 3
    assert prior_freedom(variances, 3) == pytest.approx(8, rel=0.1)


def test_equal_variances_share_all_their_freedom() -> None:
    """Nothing exceeds what sampling gives, so d0 is infinite."""
    assert np.inf == prior_freedom(np.array([1.0, 1.1, 0.9, 1.2]), 2)
    assert np.inf == prior_freedom(np.zeros(4), 2)


def test_the_excess_of_the_log_variances_is_trigamma_of_half_the_freedom() -> None:
    """For any variances and freedom."""
    variances = np.array([0.01, 1.0, 30.0, 2.0])
    freedom = prior_freedom(variances, 4)
    excess = np.log(variances).var(ddof=1) - polygamma(1, 2)
    assert polygamma(1, freedom / 2) == pytest.approx(excess)


def test_two_variances_say_nothing_of_a_distribution() -> None:
    """So nothing is pooled for two architectures: their own variance with its own freedom."""
    assert 0 == prior_freedom(np.array([1.0, 2.0]), 2)
    means = np.random.default_rng(0).random((2, 4))
    (variance,) = pair_variances(means, all_finished(means), [(0, 1)])
    assert variance.unpooled is None
    assert 3 == variance.moderated.freedom
    assert variance.moderated.value == pytest.approx((means[0] - means[1]).var(ddof=1))


def test_alike_spreads_are_pooled_completely() -> None:
    """Every pair gets the mean variance of all pairs with (A - 1)(n - 1) degrees of freedom."""
    means = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]])
    variances = pair_variances(means, all_finished(means), PAIRS)
    own = [(means[a] - means[b]).var(ddof=1) for a, b in PAIRS]
    assert [4, 4, 4] == [variance.moderated.freedom for variance in variances]
    assert pytest.approx(np.mean(own)) == variances[0].moderated.value == variances[1].moderated.value


@pytest.mark.parametrize("shared", [0.0, 5.0], ids=["independent", "varying together"])
def test_the_unpooled_spread_has_the_shorter_interval(shared: float) -> None:
    """That of scipy's test of Welch where seeds are independent, and of its paired test where they vary together."""
    random = np.random.default_rng(1)
    means = random.standard_normal((3, 5)) + shared * random.standard_normal(5)
    spread = pair_variances(means, all_finished(means), PAIRS)[0].unpooled
    expected = ttest_rel(means[0], means[1]) if shared else ttest_ind(means[0], means[1], equal_var=False)
    assert spread.freedom == pytest.approx(expected.df)
    assert (means[0].mean() - means[1].mean()) / spread.error == pytest.approx(expected.statistic)


def test_an_architecture_that_varies_widely_keeps_its_own_variance() -> None:
    """A hundred times the spread of four others: d0 is small, and pairs of it are not pooled down to theirs."""
    means = np.random.default_rng(2).standard_normal((5, 6)) * np.array([100, 1, 1, 1, 1])[:, None]
    wide, quiet = pair_variances(means, all_finished(means), [(0, 1), (1, 2)])
    own = (means[0] - means[1]).var(ddof=1)
    assert own / 2 <= wide.moderated.value <= own
    assert wide.moderated.freedom < 7
    assert quiet.moderated.value < wide.moderated.value


def test_missing_runs_are_never_read() -> None:
    """Their means may be anything; a pair with one seed in common has no variance."""
    means = np.random.default_rng(3).random((3, 4))
    finished = all_finished(means)
    finished[2, 1:] = False
    expected = pair_variances(means, finished, PAIRS)
    means[2, 1:] = np.nan
    assert expected == pair_variances(means, finished, PAIRS)
    assert [False, True, True] == [variance is None for variance in expected]
