"""Levels of planned looks are those of the literature, and a race keeps its promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.statistics.comparisons import paired_differences
from intelbench.statistics.inference import holm_known
from intelbench.statistics.seed_table import SeedTable
from intelbench.statistics.sequential import SPENDING, Looks, Race, is_decided, looks_at, planned_looks
from tests.statistics import sequential_simulation as simulation
from tests.statistics.tables import complete_table


@pytest.mark.parametrize(
    ("spending", "spent"),
    [
        ("obrien-fleming", [0.00001, 0.00194, 0.01140, 0.02843, 0.05]),
        ("pocock", [0.0148, 0.0262, 0.0354, 0.0432, 0.05]),
    ],
)
def test_spending_is_that_of_lan_and_demets(spending: str, spent: list[float]) -> None:
    """At five equally spaced looks, by their formulas for 5 %."""
    assert spent == pytest.approx([SPENDING[spending](share, 0.05) for share in (0.2, 0.4, 0.6, 0.8, 1.0)], abs=6e-5)


@given(st.integers(3, 200), st.sampled_from(sorted(SPENDING)))
def test_what_is_spent_rises_to_the_level(num_seeds: int, spending: str) -> None:
    """All of it, and no more, is spent when all seeds are run."""
    looks = looks_at(planned_looks(num_seeds), spending, 0.05)
    assert 0.05 == pytest.approx(looks.spent[-1])
    assert list(looks.spent) == sorted(looks.spent)
    assert looks.spent[-1] == pytest.approx(sum(looks.levels))
    assert min(looks.levels) >= 0


@pytest.mark.parametrize(
    ("num_seeds", "looks"),
    [(2, (2,)), (3, (3,)), (4, (3, 4)), (10, (3, 5, 8, 10)), (12, (3, 5, 8, 12)), (30, (3, 5, 8, 12, 18, 27, 30))],
)
def test_looks_are_each_half_as_many_seeds_again(num_seeds: int, looks: tuple[int, ...]) -> None:
    """The last one is at all seeds."""
    assert looks == planned_looks(num_seeds)


def test_holm_among_more_comparisons() -> None:
    """Of which the p values count as 1; an unknown one stays unknown."""
    assert [0.05, None, 0.08] == pytest.approx(holm_known([0.01, None, 0.02], 5))
    assert [0.02, 0.02] == pytest.approx(holm_known([0.01, 0.02], 1))
    assert [] == holm_known([], 3)


def right(*accuracies: float, num_seeds: int = 4, flipped: float = 0.03) -> SeedTable:
    """A table whose architectures get these shares of the same 1,000 images right, but for some flipped cells."""
    flips = np.random.default_rng(1).random((len(accuracies), num_seeds, 1000)) < flipped
    return complete_table((np.arange(1000) / 1000 < np.array(accuracies)[:, None, None]) ^ flips)


LEVELS = Looks((4, 8), (0.02, 0.05), (0.02, 0.04))


def test_a_loser_leaves_and_its_open_pairs_are_not_asked_again() -> None:
    """The second is worse than the others; that those are equivalent takes a second look to see."""
    race = Race.start(LEVELS, 0.007, 3).look(right(0.9, 0.6, 0.9))
    assert (0, 2) == race.racing
    assert ((0, 2),) == race.open
    assert not race.over
    assert (0, 2) == (race.pairs[0, 1].better, race.pairs[1, 2].better)
    assert 2 == race.num_different
    assert [0.02] * 3 == [pair.significance for pair in race.pairs.values()]

    race = race.look(right(0.9, 0.6, 0.9, num_seeds=8, flipped=0.001))
    assert race.over
    assert () == race.open
    assert (4, 8) == (race.pairs[0, 1].difference.n, race.pairs[0, 2].difference.n)
    assert "equivalent" == race.pairs[0, 2].answer
    assert 0.04 == race.pairs[0, 2].significance


def test_p_values_are_corrected_for_all_pairs_that_were_not_found_different() -> None:
    """Also for those of architectures that have left."""
    race = replace(Race.start(LEVELS, 0.01, 4), racing=(0, 1), num_looks=1)
    table = right(0.8, 0.795, 0.5, 0.5, num_seeds=8)
    pair = paired_differences(table)[0]
    pooled = pair.inferred.parts[0].p_value
    assert 6 * pooled < 1
    assert race.look(table).pairs[0, 1].p_holm == pytest.approx(6 * pooled)


def test_a_decided_pair_is_not_tested_again() -> None:
    """Two are equivalent at the first look; the third one, right on other images, keeps the race open."""
    table = right(0.9, 0.9, 0.9, flipped=0.002)
    table.padded[2] = table.padded[2, :, ::-1].copy()
    race = Race.start(LEVELS, 0.02, 3).look(table)
    assert [(0, 1)] == [key for key, pair in race.pairs.items() if is_decided(pair)]
    assert ((0, 2), (1, 2)) == race.open
    again = race.look(right(0.9, 0.5, 0.9, num_seeds=8))
    assert race.pairs[0, 1] == again.pairs[0, 1]
    assert again.pairs[0, 2] != race.pairs[0, 2]


def test_a_failed_architecture_leaves() -> None:
    """Its pairs are not asked again; a single architecture has nothing to decide."""
    race = Race.start(LEVELS, 0.01, 2).without([1])
    assert ((0,), (1,), True) == (race.racing, race.failed, race.over)
    assert 0.05 == race.level_left


@pytest.mark.parametrize("spending", sorted(SPENDING))
def test_t_tests_of_few_seeds_keep_the_error(spending: str) -> None:
    """100,000 comparisons of one pair from three seeds on; 5 % at each look would be 14 %."""
    looks = simulation.looks_of(spending)
    assert 0.035 < simulation.t_test_errors(looks, looks.levels) <= 0.05
    assert 0.14 < simulation.t_test_errors(looks, (0.05,) * 4)


@pytest.mark.parametrize("spending", sorted(SPENDING))
def test_a_few_races_of_equal_architectures(spending: str) -> None:
    """60 races: with an error of 6 % more than 10 false ones have a probability of 0.1 %."""
    looks = simulation.looks_of(spending, 8)
    assert simulation.family_error(simulation.EQUAL["seeds differ by 4 points"], looks, 60, 3) <= 10 / 60


def test_a_race_needs_fewer_runs_than_a_fixed_number_of_seeds() -> None:
    """30 races that find an architecture that is 10 points better."""
    world = simulation.ONE_BETTER["10 points better, seeds differ by 1.3 points"]
    saved = simulation.savings(world, simulation.looks_of("pocock", 8), 30, 3)
    assert saved.power > 0.9
    assert saved.runs.mean() < 3 * 8


@pytest.mark.slow
@pytest.mark.parametrize("spending", sorted(SPENDING))
@pytest.mark.parametrize("num_architectures", [2, 5])
@pytest.mark.parametrize("world", simulation.EQUAL)
def test_any_false_difference_at_any_look_stays_within_6_percent(
    world: str, num_architectures: int, spending: str
) -> None:
    """1,000 races each; the standard error is 0.7 points."""
    looks = simulation.looks_of(spending)
    assert simulation.family_error(simulation.EQUAL[world], looks, 1000, num_architectures) <= 0.06


@pytest.mark.slow
def test_architectures_that_differ_by_the_margin_are_seldom_called_equivalent() -> None:
    """A difference of 3 points and a margin of 3 points: at most 6 % of 1,000 races."""
    world = simulation.probit(0.05, 0.115)
    assert simulation.false_equivalence(world, simulation.looks_of("pocock"), 1000, 0.03) <= 0.06


@pytest.mark.slow
def test_races_save_runs() -> None:
    """Against the smallest fixed number of seeds with the same power, where one is 5 points better."""
    world = simulation.ONE_BETTER["5 points better, seeds differ by 1.3 points"]
    saved = simulation.savings(world, simulation.looks_of("obrien-fleming"), 300)
    assert saved.fixed_runs is not None
    assert saved.runs.mean() < 0.9 * saved.fixed_runs
