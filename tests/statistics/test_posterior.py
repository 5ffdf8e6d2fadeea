"""How probable it is that an architecture is the best."""

import numpy as np
import pytest
from scipy.stats import t

from intelbench.statistics.posterior import draw_cost, draw_means, standings
from intelbench.statistics.seed_table import SeedTable
from tests.statistics.tables import complete_table
from tests.statistics.worlds import World


def draws(table: np.ndarray) -> np.ndarray:
    """Draw the means of architectures that have finished all seeds."""
    return draw_means(complete_table(table))


def test_the_probabilities_of_being_the_best_add_up_to_one() -> None:
    """And the expected ranks to those of all places."""
    table = World("", (0.1,)).study(np.random.default_rng(0), 4, 5)
    found = standings(draws(table))
    assert sum(each.best for each in found) == pytest.approx(1, abs=0.01)
    assert sum(each.rank.mean for each in found) == pytest.approx(10, abs=0.05)


def test_a_clear_leader_is_the_best() -> None:
    """By twenty points over five seeds."""
    table = World("", (0.05,)).study(np.random.default_rng(0), 3, 5, lead=0.2)
    first, *others = standings(draws(table))
    assert first.best > 0.99
    assert (1, 1) == (first.rank.low, first.rank.high)
    assert all(other.best < 0.01 for other in others)


def test_architectures_that_tie_share_their_ranks() -> None:
    """Two that classify every image of every seed correctly have half the probability of being the best each."""
    table = World("", (0.05,)).study(np.random.default_rng(0), 3, 5)
    table[:2], table[2, :, ::4] = True, False
    found = standings(draws(table))
    assert [0.5, 0.5, 0.0] == [each.best for each in found]
    assert [1.5, 1.5, 3.0] == [each.rank.mean for each in found]


def test_equal_tables_give_equal_draws() -> None:
    """The random numbers are those of a fixed seed."""
    table = World("", (0.1,)).study(np.random.default_rng(0), 3, 4)
    assert np.array_equal(draws(table), draws(table))


def test_missing_runs_are_never_read() -> None:
    """Whatever stands in their place."""
    table = World("", (0.1,)).study(np.random.default_rng(0), 3, 4)
    finished = np.ones((3, 4), dtype=np.bool_)
    finished[1, 2:] = False
    before = draw_means(SeedTable((0, 1, 2, 3), table.copy(), finished))
    table[1, 2:] = ~table[1, 2:]
    assert np.array_equal(before, draw_means(SeedTable((0, 1, 2, 3), table, finished)))


def test_costs_that_vary_between_seeds_are_drawn_too() -> None:
    """With the standard error of their logarithms; a cost that is the same in every run stays as it is."""
    values = np.array([1.0, 1.1, 1.2, 0.9])
    drawn = draw_cost(values)
    assert np.median(drawn) == pytest.approx(values.mean(), rel=0.01)
    tails = np.log(np.quantile(drawn, (0.025, 0.975)) / values.mean())
    assert tails == pytest.approx(np.log(values).std(ddof=1) / 2 * t.ppf((0.025, 0.975), 3), rel=0.1)
    assert {2.0} == set(draw_cost(np.array([2.0, 2.0])))
    assert {3.0} == set(draw_cost(np.array([3.0])))


@pytest.mark.slow
def test_a_sure_winner_is_seldom_wrong() -> None:
    """Of 400 studies of five equal architectures, at most 6 % say of one that it is the best with more than 95 %."""
    world, random = World("", (0.1,)), np.random.default_rng(1)
    sure = sum(max(each.best for each in standings(draws(world.study(random, 5, 5)))) > 0.95 for _ in range(400))
    assert sure <= 0.06 * 400
