"""The verdict of a benchmark: how often it is wrong, and what it does when the time is over."""

import math

import numpy as np
import pytest
from scipy.stats import binom, ttest_ind

from bench.evidence import (
    ERROR,
    LOOKS,
    TRIMMED,
    AllowanceSpentError,
    Limit,
    Verdict,
    decide,
    median_interval,
    trimmed_interval,
    weigh,
)
from bench.simulation import LIMIT, LOSS, MACHINES, MARGIN, Machine, verdict_shares

AT_LEAST_2 = Limit("at_least", 2.0)
AT_MOST_2 = Limit("at_most", 2.0)


@pytest.mark.parametrize("num", [0, 1, 6, 7, 9, 10, 25, 100, 1500])
@pytest.mark.parametrize("error", [0.001, 0.008])
def test_the_interval_is_the_narrowest_whose_binomial_error_is_allowed(num: int, error: float) -> None:
    """Each bound is on the wrong side of the median as rarely as stated, and the next order statistic is not."""
    low, high = median_interval([float(value) for value in range(1, num + 1)], error)
    if math.isinf(high):
        assert low == 0
        assert binom.cdf(0, num, 0.5) > error
    else:
        assert high == num + 1 - low
        assert binom.cdf(low - 1, num, 0.5) <= error < binom.cdf(low, num, 0.5)


def test_the_trimmed_interval_is_that_of_yuen() -> None:
    """Of the logarithms, one-sided on either side, as scipy's trimmed t test has it; few pairs have none."""
    ratios = np.random.default_rng(1).lognormal(0.7, 0.2, 40)
    low, high = trimmed_interval(list(ratios), 0.002)
    for bound, alternative in ((low, "greater"), (high, "less")):
        constant = np.full(40, math.log(bound)) + np.tile([-1e-12, 1e-12], 20)
        tested = ttest_ind(np.log(ratios), constant, trim=TRIMMED, equal_var=False, alternative=alternative)
        assert tested.pvalue == pytest.approx(0.002, rel=1e-3)
    assert (0, math.inf) == trimmed_interval(list(ratios[:16]), 0.002) == trimmed_interval(list(ratios), 0.0)


def test_pairs_close_together_in_the_middle_decide_at_the_end() -> None:
    """15 of 36 pairs are far above the limit, so their number alone says nothing; the middle is clearly below."""
    random = np.random.default_rng(2)
    ratios = [*random.normal(1.8, 0.005, 14), *random.normal(1.9, 0.005, 12), *random.normal(3.0, 0.1, 10)]
    last = LOOKS[-1]
    assert Verdict.UNDECIDED is weigh([*ratios[:-3], 3.0, 3.1, 3.2, 3.3], AT_LEAST_2, last.error).verdict
    assert Verdict.FAIL is weigh([*ratios[:-3], 3.0, 3.1, 3.2, 3.3], AT_LEAST_2, *last[1:]).verdict


def test_the_order_of_pairs_does_not_matter() -> None:
    """The interval of shuffled pairs is the interval of the pairs."""
    ratios = np.random.default_rng(0).lognormal(size=40)
    assert median_interval(list(ratios), 0.008) == median_interval(list(np.sort(ratios)), 0.008)


def test_the_looks_share_the_error() -> None:
    """All looks together err at most as often as a session may, and the last is at the end."""
    assert sum(look.error + look.trimmed_error for look in LOOKS) <= ERROR
    assert LOOKS[-1].share == 1


@pytest.mark.parametrize(
    ("ratio", "limit", "verdict"),
    [
        (2.1, AT_LEAST_2, Verdict.PASS),
        (2.0, AT_LEAST_2, Verdict.PASS),
        (1.9, AT_LEAST_2, Verdict.FAIL),
        (1.9, AT_MOST_2, Verdict.PASS),
        (2.0, AT_MOST_2, Verdict.PASS),
        (2.1, AT_MOST_2, Verdict.FAIL),
    ],
)
def test_equal_pairs_are_judged_by_their_ratio(ratio: float, limit: Limit, verdict: Verdict) -> None:
    """Seven pairs without noise decide; a ratio at the limit is within it."""
    assert verdict is weigh([ratio] * 7, limit, 0.008).verdict
    assert Verdict.UNDECIDED is weigh([ratio] * 6, limit, 0.008).verdict


@pytest.mark.parametrize("limit", [AT_LEAST_2, AT_MOST_2])
def test_a_limit_within_the_interval_is_undecided(limit: Limit) -> None:
    """Pairs on both sides of a limit say nothing."""
    assert Verdict.UNDECIDED is weigh([1.5, 2.5] * 20, limit, 0.008).verdict


def clear_ratio(_index: int) -> float:
    """Measure a ratio far within the limit."""
    return 4.0


def test_a_clear_ratio_is_decided_in_an_eighth_of_the_time() -> None:
    """The first look ends the session."""
    moments = iter(range(1000))
    evidence = decide(clear_ratio, AT_LEAST_2, 120, clock=lambda: next(moments))
    assert (Verdict.PASS, 13) == (evidence.verdict, evidence.num_pairs)


def test_without_time_nothing_is_decided() -> None:
    """No pair fits: undecided, with an interval that excludes nothing."""
    evidence = decide(clear_ratio, AT_LEAST_2, 0.0)
    assert (Verdict.UNDECIDED, 0, 0.0, math.inf) == (
        evidence.verdict,
        evidence.num_pairs,
        evidence.low,
        evidence.high,
    )


@pytest.mark.parametrize(("num_pairs", "verdict"), [(7, Verdict.UNDECIDED), (8, Verdict.PASS)])
def test_an_interrupted_session_is_judged_by_the_pairs_before(num_pairs: int, verdict: Verdict) -> None:
    """The pair that is interrupted does not count."""

    def take_pair(index: int) -> float:
        if index == num_pairs:
            raise AllowanceSpentError
        return 4.0

    evidence = decide(take_pair, AT_LEAST_2, 1.0, clock=lambda: 0.0)
    assert (verdict, num_pairs) == (evidence.verdict, evidence.num_pairs)


@pytest.mark.parametrize(("machine", "num_pairs"), MACHINES.values(), ids=MACHINES)
def test_losses_are_found_and_false_failures_rare(machine: Machine, num_pairs: int) -> None:
    """At most 1 % fail falsely, with a ratio at the limit and 5 % within; a loss of 10 % is found in 95 %."""
    at_limit, within, lost = (
        verdict_shares(machine, LIMIT.value * factor, num_pairs, num_sessions=200) for factor in (1.0, MARGIN, LOSS)
    )
    assert at_limit[Verdict.FAIL] <= ERROR
    assert at_limit[Verdict.PASS] <= 2 * ERROR  # 200 sessions do not tell 1 % from 2 %
    assert within[Verdict.FAIL] <= ERROR
    assert lost[Verdict.FAIL] >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "num_pairs"), MACHINES.values(), ids=MACHINES)
def test_error_rates_in_many_sessions(machine: Machine, num_pairs: int) -> None:
    """At most 1 % of 10,000 sessions judge a ratio at the limit wrongly, by either verdict."""
    shares = verdict_shares(machine, LIMIT.value, num_pairs, num_sessions=10_000, seed=1)
    assert shares[Verdict.FAIL] <= ERROR
    assert shares[Verdict.PASS] <= ERROR
    lost = verdict_shares(machine, LIMIT.value * LOSS, num_pairs, num_sessions=10_000, seed=2)
    assert lost[Verdict.FAIL] >= 0.95
