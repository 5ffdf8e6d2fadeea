"""Who may have the time of a session."""

import pytest

from bench.allotment import MAX_BENCHMARK_SECONDS, MAX_SECONDS, Allotment


def test_what_one_leaves_goes_to_those_after_it() -> None:
    """Each has its own allowance at least, and what is left over, up to a bound."""
    allowances = dict.fromkeys("abcdefghij", MAX_SECONDS / 10)
    allotment = Allotment(allowances)
    assert MAX_SECONDS == allotment.seconds
    assert 63 == allotment.deadline("a", now=0)
    assert 126 == allotment.deadline("b", now=50)
    assert 60 + MAX_BENCHMARK_SECONDS == allotment.deadline("c", now=60)
    assert 630 - 6 * 63 == allotment.deadline("d", now=200)
    assert 630 == [allotment.deadline(name, now=560) for name in "efghij"][-1]


def test_time_that_nobody_is_promised_is_there_from_the_start() -> None:
    """As where benchmarks are skipped on this processor."""
    assert 1000 + MAX_BENCHMARK_SECONDS == Allotment({"a": 10, "b": 20}).deadline("a", now=1000)


@pytest.mark.parametrize(("scale", "seconds"), [(1.0, 90), (4.0, 360), (0.5, 45)])
def test_one_alone_takes_no_longer_than_one_may(scale: float, seconds: float) -> None:
    """A minute or two, or what the scale says."""
    allotment = Allotment({"a": 20 * scale}, scale=scale)
    assert seconds == allotment.seconds == allotment.deadline("a", now=0)


def test_a_slow_one_has_its_own_time() -> None:
    """It takes none of the time of the others."""
    allotment = Allotment({"a": 600, "b": 20, "slow": 900}, slow_seconds=900)
    assert MAX_SECONDS + 900 == allotment.seconds
    assert 600 == allotment.deadline("a", now=0)
    assert 630 == allotment.deadline("b", now=600)
    assert 1530 == allotment.deadline("slow", now=630)


def test_allowances_that_are_too_long_are_refused() -> None:
    """They would be promises that a session cannot keep."""
    with pytest.raises(ValueError, match=r"allowances of 700 s together\. Expected at most 630 s"):
        Allotment({"a": 300, "b": 400})
