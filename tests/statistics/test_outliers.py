"""Seeds and spreads that stand out are named, and ordinary ones are not."""

import numpy as np
import pytest
from scipy.stats import f

from intelbench.statistics.outliers import outlying_runs, wide_spreads
from tests.statistics.worlds import collapsing


def everything(means: np.ndarray) -> np.ndarray:
    """Return that every run exists."""
    return np.ones(means.shape, dtype=np.bool_)


def test_a_wide_spread_is_named() -> None:
    """With both standard deviations; it is significant by scipy's F distribution at 5 % over five architectures."""
    means = np.array([[0.0, 10.0, 20.0], *[[0.0, 1.0, 2.0]] * 4])
    (wide,) = wide_spreads(means, everything(means))
    assert (0, pytest.approx(10), pytest.approx(1)) == (wide.architecture, wide.own, wide.others)
    limit = np.sqrt(f.isf(0.01, 2, 8))
    just_below = np.array([[0.0, 0.999 * limit, 2 * 0.999 * limit], *[[0.0, 1.0, 2.0]] * 4])
    assert [] == wide_spreads(just_below, everything(just_below))


def test_a_bad_seed_is_named() -> None:
    """One run of fifteen is twenty points below its architecture's other seeds."""
    means = np.random.default_rng(0).normal(0.7, 0.01, (5, 3))
    means[2, 1] -= 0.2
    (outlying,) = outlying_runs(means, everything(means))
    assert (2, 1) == (outlying.architecture, outlying.seed)
    assert outlying.deviation == pytest.approx(-0.2, abs=0.03)


def test_two_seeds_say_nothing_of_each_other() -> None:
    """Which one would be the bad one? And equal runs have no scale."""
    means = np.array([[0.1, 0.9], [0.5, 0.5]])
    assert [] == outlying_runs(means, everything(means))
    assert [] == outlying_runs(np.full((3, 4), 0.5), everything(np.zeros((3, 4))))
    assert [] == wide_spreads(np.full((3, 4), 0.5), everything(np.zeros((3, 4))))


def test_missing_runs_are_never_read() -> None:
    """Whatever stands in their place."""
    means = np.random.default_rng(1).normal(0.7, 0.01, (4, 5))
    finished = everything(means)
    finished[1, 3:] = False
    means[1, 3:] = 99.0
    assert [] == outlying_runs(means, finished) == wide_spreads(means, finished)


@pytest.mark.parametrize("shape", [(2, 3), (5, 3), (5, 10)])
def test_ordinary_seeds_are_seldom_named(shape: tuple[int, int]) -> None:
    """In at most 8 % of 500 studies with normal seeds, either way."""
    random = np.random.default_rng(2)
    studies = [random.standard_normal(shape) for _ in range(500)]
    assert sum(bool(outlying_runs(means, everything(means))) for means in studies) <= 40
    assert sum(bool(wide_spreads(means, everything(means))) for means in studies) <= 40


def test_seeds_that_collapse_are_usually_named_when_they_do() -> None:
    """In 70 % of the studies in which a seed has collapsed, one of the two signs is there."""
    random = np.random.default_rng(3)
    named = total = 0
    for _ in range(300):
        means = 0.05 * random.standard_normal((5, 5))
        means[0] = 0.4 * collapsing(random, (5,))
        if means[0].min() > -0.8:
            continue
        total += 1
        named += bool(outlying_runs(means, everything(means)) or wide_spreads(means, everything(means)))
    assert total > 50
    assert named >= 0.7 * total
