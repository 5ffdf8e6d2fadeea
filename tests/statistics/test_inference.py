"""Intervals and tests are those of the textbooks, and say no more than the data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from intelbench.statistics import inference
from intelbench.statistics.estimates import Estimate
from intelbench.statistics.inference import SeedVariance, Spread
from intelbench.statistics.moments import Moments

tables = arrays(np.bool_, st.tuples(st.integers(2, 5), st.integers(2, 12)))


def random_table(num_seeds: int, num_images: int, seed: int = 0) -> np.ndarray:
    """Numbers with an effect of seeds and one of images."""
    random = np.random.default_rng(seed)
    return (
        random.standard_normal((num_seeds, 1))
        + random.standard_normal((1, num_images))
        + random.standard_normal((num_seeds, num_images))
    )


@pytest.mark.parametrize(("num_seeds", "num_images"), [(2, 30), (6, 200), (10, 3)])
def test_the_variance_is_that_of_the_two_way_table(num_seeds: int, num_images: int) -> None:
    """By statsmodels' analysis of variance: the mean squares of seeds, images and rest, over the number of cells."""
    table = random_table(num_seeds, num_images)
    seeds, images = np.indices(table.shape)
    frame = pd.DataFrame({"value": table.ravel(), "seed": seeds.ravel(), "image": images.ravel()})
    squares = anova_lm(ols("value ~ C(seed) + C(image)", frame).fit())["mean_sq"] / table.size
    found = inference.infer(table)
    rest = squares["Residual"]
    expected = max(squares["C(seed)"] - rest, 0) + max(squares["C(image)"] - rest, 0) + rest
    freedom = min((num_seeds - 1) * (expected / squares["C(seed)"]) ** 2, num_images - 1)
    spreads = [(np.sqrt(squares["C(seed)"]), num_seeds - 1), (np.sqrt(expected), freedom)]
    assert [pytest.approx(spread, abs=1e-9) for spread in spreads] == [(s.error, s.freedom) for s in found.spreads]
    intervals = [stats.t.interval(0.95, freedom, table.mean(), error) for error, freedom in spreads]
    low, high = max(intervals, key=np.ptp)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high), abs=1e-9)
    p_values = [2 * stats.t.sf(abs(table.mean()) / error, freedom) for error, freedom in spreads]
    assert found.p_value == pytest.approx(max(p_values), abs=1e-9)


def test_images_that_say_the_same_leave_the_seeds_alone() -> None:
    """Where all images of a seed agree, the interval is Student's over the seeds."""
    by_seed = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    found = inference.infer(np.repeat(by_seed[:, None], 50, axis=1))
    assert found.p_value == pytest.approx(stats.ttest_1samp(by_seed, 0).pvalue, abs=1e-9)


def test_seeds_that_say_the_same_leave_the_images_alone() -> None:
    """Where all seeds agree, the interval is Student's over the images."""
    by_image = np.arange(40) % 3 == 0
    found = inference.infer(np.repeat(by_image[None], 4, axis=0) - 0.5)
    assert found.p_value == pytest.approx(stats.ttest_1samp(by_image - 0.5, 0).pvalue, abs=1e-9)


@settings(max_examples=60)
@given(tables)
def test_intervals_hold_their_mean_and_stay_possible(table: np.ndarray) -> None:
    """Within 0 and 1, around the mean, with as many seeds as the table has rows."""
    estimate = inference.infer(table, 0, 1).estimate
    assert table.mean() == estimate.mean
    assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1
    assert len(table) == estimate.n


def test_one_seed_has_no_interval() -> None:
    """Nor a p value; an empty table has no mean either."""
    found = inference.infer(np.array([[0, 1, 1]]))
    assert Estimate(pytest.approx(2 / 3), None, None, 1) == found.estimate
    assert ((), None, None) == (found.spreads, found.error, found.p_value)
    assert found.p_above(1.0, 0.0) is None


def test_over_seeds_it_is_students_t() -> None:
    """One-sample t test and interval of scipy."""
    values = np.array([0.3, -0.1, 0.4, 0.2])
    found = inference.infer_from_seeds(values)
    expected = stats.ttest_1samp(values, 0)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    interval = expected.confidence_interval(0.95)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert inference.infer_from_seeds(np.array([np.nan, 1.0])) is None


def test_ratios_are_geometric() -> None:
    """Twice as much for every seed is exactly twice; the inverse ratio has the inverse interval."""
    first, second = np.array([2.0, 4.0, 6.6]), np.array([1.0, 2.0, 3.0])
    found, inverse = inference.infer_ratio(first, second), inference.infer_ratio(second, first)
    assert found.estimate.mean == pytest.approx((2 * 2 * 2.2) ** (1 / 3))
    assert found.estimate.low == pytest.approx(1 / inverse.estimate.high)
    assert found.p_value == pytest.approx(stats.ttest_rel(np.log(first), np.log(second)).pvalue, abs=1e-9)
    assert inference.infer_ratio(np.array([1.0, 0.0]), second[:2]) is None


def test_a_ratio_of_means_varies_as_its_linear_part_does() -> None:
    """By the delta method: where images agree as Student's over the seeds, where seeds agree as over the images."""
    random = np.random.default_rng(3)
    first, second = 2 + 0.1 * random.standard_normal(8), 1 + 0.1 * random.standard_normal(8)
    linear = first / first.mean() - second / second.mean()
    for axis, leg in ((1, 0), (0, 1)):
        above, below = (np.repeat(np.expand_dims(values, axis), 8, axis=axis) for values in (first, second))
        found = inference.infer_ratio_of_means(above, below)
        assert found.estimate.mean == pytest.approx(first.mean() / second.mean())
        spread = found.spreads[leg]
        assert (spread.error, spread.freedom) == pytest.approx((linear.std(ddof=1) / np.sqrt(8), 7))
        half = stats.t.ppf(0.975, 7) * spread.error
        assert np.log([found.estimate.low, found.estimate.high]) == pytest.approx(found.location + half * np.r_[-1, 1])
    swapped = inference.infer_ratio_of_means(below, above)
    assert (1 / found.estimate.high, found.p_value) == pytest.approx((swapped.estimate.low, swapped.p_value))


def test_a_ratio_of_means_is_absent_where_it_has_none() -> None:
    """Of an empty table, and where a mean is 0; one seed has a ratio without an interval."""
    right, wrong = np.ones((3, 4), dtype=np.bool_), np.zeros((3, 4), dtype=np.bool_)
    assert inference.infer_ratio_of_means(right, wrong) is inference.infer_ratio_of_means(wrong, right) is None
    assert inference.infer_ratio_of_means(np.zeros((3, 0)), np.zeros((3, 0))) is None
    assert Estimate(1.0, None, None, 1) == inference.infer_ratio_of_means(right[:1], right[:1]).estimate


def test_a_share_has_fiellers_interval() -> None:
    """Where all images of a seed agree: the roots of Fieller's quadratic equation (1954), for either sign."""
    part, total = np.array([0.6, 0.9, 0.7, 1.1, 0.5]), np.array([0.9, 1.2, 1.1, 1.2, 0.8])
    squared = stats.t.isf(0.025, 4) ** 2 / 5
    (of_part, of_both), (_, of_total) = np.cov(part, total)
    squares = [total.mean() ** 2 - squared * of_total, part.mean() ** 2 - squared * of_part]
    roots = np.roots([squares[0], -2 * (part.mean() * total.mean() - squared * of_both), squares[1]])
    for sign in (1, -1):
        tables = (np.repeat(sign * values[:, None], 50, axis=1) for values in (part, total))
        found = inference.infer_part(*tables)
        assert found.mean == pytest.approx(part.mean() / total.mean())
        assert (found.low, found.high) == pytest.approx(sorted(roots), abs=1e-5)


def test_a_share_of_what_may_be_nothing_has_no_interval() -> None:
    """Every share is possible then; of one seed none is told, and of exactly nothing there is no share."""
    total = random_table(4, 30)
    total -= total.mean() - 0.01
    assert (None, None, 4) == (lambda e: (e.low, e.high, e.n))(inference.infer_part(total / 2, total))
    one = np.array([[1, 0, 1]])
    assert Estimate(0.5, None, None, 1) == inference.infer_part(one / 2, one)
    assert inference.infer_part(one, 0 * one) is None


def test_the_margin_is_tested_on_one_side() -> None:
    """Scipy's one-sided t test against the margin; without any spread the mean decides."""
    values = np.array([0.3, 0.1, 0.4, 0.2])
    expected = stats.ttest_1samp(values, 0.05, alternative="greater").pvalue
    found = inference.infer_from_seeds(values)
    assert found.p_above(float(values.mean()), 0.05) == pytest.approx(expected, abs=1e-9)
    certain = inference.infer_from_seeds(np.array([0.5, 0.5]))
    assert (0.0, 1.0) == (certain.p_above(0.5, 0.4), certain.p_above(0.5, 0.6))


@settings(max_examples=10)  # statsmodels collects garbage in each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    """An independent implementation agrees."""
    corrected = multipletests(p_values, method="holm")[1]
    assert pytest.approx(corrected.tolist()) == inference.holm(np.array(p_values)).tolist()


def test_equivalence_is_two_one_sided_t_tests() -> None:
    """Those of statsmodels, for values over seeds; a single seed shows nothing."""
    values = np.array([0.3, 0.1, 0.4, 0.2])
    expected, *_ = ttost_paired(values, np.zeros(4), -0.5, 0.5)
    inferred = inference.infer_from_seeds(values)
    assert inferred.p_equivalent(0.5) == pytest.approx(expected, abs=1e-9)
    assert inferred.p_equivalent(0.0) >= 0.5
    assert inference.infer(np.array([[0, 1, 1]])).p_equivalent(0.5) is None


def test_a_variance_from_elsewhere_replaces_that_of_the_table() -> None:
    """In the seeds' spread, in that of seeds and images, and in the degrees of freedom of both."""
    table = random_table(3, 50)
    own = inference.infer(table)
    given_own = inference.infer(table, between_seeds=SeedVariance(float(table.mean(axis=1).var(ddof=1)), 2))
    assert own == given_own
    surer = inference.infer(table, between_seeds=SeedVariance(float(table.mean(axis=1).var(ddof=1)), 8))
    assert [8.0, 2.0] == [each.spreads[0].freedom for each in (surer, own)]
    assert surer.spreads[1].freedom == pytest.approx(4 * own.spreads[1].freedom)
    assert surer.p_value < own.p_value


def test_a_conclusion_holds_with_the_unpooled_spread_too() -> None:
    """The longest interval and the largest p value count; both parts can be had alone."""
    table = random_table(4, 50)
    unpooled = Spread(10.0, 2.0)
    inferred, without = inference.infer_moments(Moments.of(table), unpooled=unpooled), inference.infer(table)
    pooled, alone = inferred.parts
    assert inferred.p_value == alone.p_value > without.p_value == pooled.p_value
    half = stats.t.ppf(0.975, 2) * 10
    assert (inferred.estimate.low, inferred.estimate.high) == pytest.approx((table.mean() - half, table.mean() + half))
    assert 10.0 == inferred.error


@given(st.integers(2, 500), st.floats(-1, 1), st.sampled_from([1.0, 1.5, 5.0]), st.sampled_from([0.9, 0.975]))
def test_bounds_of_images_invert_their_test(num: int, observed: float, largest: float, confidence: float) -> None:
    """At the bound the observed mean is as far as the quantile allows, and beyond it too far."""
    images = inference.Images(num, largest)
    bound = images.bound_above(observed, confidence)
    quantile = stats.t.ppf(confidence, num - 1)
    assert observed <= bound <= largest + 1e-9
    assert bound - observed == pytest.approx(quantile * images.error(bound), abs=1e-7)
    for beyond in np.linspace(bound, largest, 50)[1:]:
        assert beyond - observed >= quantile * images.error(beyond) - 1e-9
