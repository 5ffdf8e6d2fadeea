"""Variances and their ratios have the intervals of the textbooks, and hold the truth as often as they say."""

import numpy as np
import pytest
from scipy import stats

from intelbench.statistics.estimates import Estimate
from intelbench.statistics.variance import deviation, p_equal_variances, variance, variance_ratio


def test_a_variance_has_the_interval_of_chi_square() -> None:
    """Ten values: the quantiles of 9 degrees of freedom are 2.700 and 19.023 in every table."""
    values = [4.0, 7, 13, 16, 10, 4, 7, 13, 16, 10]
    found = variance(values)
    assert np.var(values, ddof=1) == pytest.approx(found.mean)
    assert 10 == found.n
    assert (180 / 19.023, 180 / 2.700) == pytest.approx((found.low, found.high), rel=1e-3)


def test_a_ratio_has_the_interval_of_f() -> None:
    """Ten and five values: the 97.5 % quantiles of F with (9, 4) and (4, 9) degrees are 8.905 and 4.718."""
    found = variance_ratio(Estimate(6.0, 0, 0, 10), Estimate(2.0, 0, 0, 5))
    assert (3.0, 3 / 8.905, 3 * 4.718, 5) == pytest.approx((found.mean, found.low, found.high, found.n), rel=1e-3)


@pytest.mark.parametrize(("first", "second"), [(5, 5), (3, 12), (12, 3)])
def test_the_p_value_agrees_with_the_interval(first: int, second: int) -> None:
    """It is 5 % where the interval of the ratio ends at 1, in either order, and that of scipy elsewhere."""
    end = float(stats.f.ppf(0.975, first - 1, second - 1))
    larger, smaller = Estimate(end, 0, 0, first), Estimate(1.0, 0, 0, second)
    assert 1 == pytest.approx(variance_ratio(larger, smaller).low)
    assert 0.05 == pytest.approx(p_equal_variances(larger, smaller, 0))
    assert 0.05 == pytest.approx(p_equal_variances(smaller, larger, 0))
    twice = 2 * stats.f.sf(3.0, first - 1, second - 1)
    assert min(1, twice, 2 - twice) == pytest.approx(p_equal_variances(Estimate(3.0, 0, 0, first), smaller, 0))


@pytest.mark.parametrize("num_values", [2, 3, 6, 30])
def test_the_interval_of_a_deviation_holds_the_true_one(num_values: int) -> None:
    """In 95 % of samples of normal values; one value has no deviation."""
    samples = np.random.default_rng(num_values).standard_normal((2000, num_values))
    found = [deviation(sample) for sample in samples]
    assert 0.94 <= np.mean([each.low <= 1 <= each.high for each in found]) <= 0.96
    assert np.std(samples[0], ddof=1) == pytest.approx(found[0].mean)
    assert deviation(samples[0][:1]) is None


def test_six_runs_know_their_deviation_roughly() -> None:
    """From 0.62 to 2.45 times what was seen."""
    found = deviation(np.arange(6.0))
    assert pytest.approx([0.624, 2.453], abs=1e-3) == [found.low / found.mean, found.high / found.mean]


def test_what_has_no_variance() -> None:
    """Less than two values, or one that is not finite; equal values have exactly none, and nothing is a share of 0."""
    assert variance([]) is None
    assert variance([0.5]) is None
    assert variance([0.5, np.nan]) is None
    none = variance([0.1] * 7)
    assert (0, 0, 0) == (none.mean, none.low, none.high)
    assert variance_ratio(variance([1, 2]), none) is None
    assert (0, 0) == (variance_ratio(none, variance([1, 2])).mean, variance_ratio(none, variance([1, 2])).high)


def test_coarse_values_that_are_equal_prove_nothing() -> None:
    """Of 10 images, 5 seeds that are all right on 7; of 10,000 images the same five accuracies do."""
    none, some = variance([0.7] * 5), variance([0.7, 0.7, 0.7, 0.8, 0.7])
    assert p_equal_variances(some, none, 1 / 10) > 0.1
    assert p_equal_variances(some, none, 1 / 10_000) < 1e-6


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_the_share_of_a_source_is_in_its_interval(share: float) -> None:
    """Also if the seeds of both groups have that source in common, which makes the two samples depend on each other.

    Accuracies are sums of one number for each source and seed. The first seed is the same run in both groups.
    """
    draws = np.random.default_rng(0).normal(size=(2, 4000, 5))
    alone = np.sqrt(share) * draws[0]
    together = alone + np.sqrt(1 - share) * draws[1]
    held = []
    for one, other in zip(alone, together, strict=True):
        ratio = variance_ratio(variance(one), variance(other))
        held.append(ratio.low <= share <= ratio.high)
    assert 0.94 <= np.mean(held)
