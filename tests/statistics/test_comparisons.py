"""Pairs of architectures are compared on the seeds that both have finished, and say no more than the data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of

from intelbench.statistics import comparisons
from intelbench.statistics.comparisons import PairedDifference, Scale, SeedTable, paired_differences
from intelbench.statistics.estimates import Estimate
from intelbench.statistics.inference import Inferred
from tests.statistics import rules
from tests.statistics.tables import complete_table
from tests.statistics.worlds import WORLDS, World

studies = arrays(np.bool_, st.tuples(st.integers(2, 6), st.integers(1, 6), st.integers(1, 40)))


def pair(first: int, second: int, better: int | None) -> PairedDifference:
    """Return one that is significant in favour of `better`, or not."""
    mean = Estimate(0.1 if better == first else -0.1, None, None, 6)
    return PairedDifference(
        first, second, tuple(range(6)), Inferred(mean, ()), 1.0 if better is None else 0.01, 1.0, ()
    )


@pytest.mark.parametrize(("first_only", "second_only"), [(121, 59), (8, 2), (5, 5), (0, 3)])
def test_mcnemar_is_exact(first_only: int, second_only: int) -> None:
    """The binomial test of the discordant images; (121, 59) are the counts of Agresti's (1990) worked example.

    No discordant image is no evidence.
    """
    size = first_only + second_only + 40
    first, second = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    first[:first_only] = True
    second[first_only : first_only + second_only] = True
    first[-10:] = second[-10:] = True
    found, equal = comparisons.discordance(np.array([first, first]), np.array([second, first]))
    assert (0, 0, 1.0) == (equal.first_only, equal.second_only, equal.p_value)
    assert (first_only, second_only) == (found.first_only, found.second_only)
    expected = stats.binomtest(first_only, first_only + second_only).pvalue
    assert found.p_value == pytest.approx(expected, abs=1e-9)
    assert found.p_value == pytest.approx(mcnemar_of([[10, first_only], [second_only, 30]]).pvalue, abs=1e-9)


def test_cochran_is_that_of_the_textbook() -> None:
    """By its formula; with two architectures it is McNemar's statistic without correction."""
    random = np.random.default_rng(3)
    correct = random.random((4, 80)) < np.array([[0.5], [0.6], [0.7], [0.8]])
    found = comparisons.omnibus(correct)
    columns, rows = correct.sum(axis=1), correct.sum(axis=0)
    expected = 3 * (4 * (columns**2).sum() - columns.sum() ** 2) / (4 * rows.sum() - (rows**2).sum())
    assert found.statistic == pytest.approx(expected, abs=1e-9)
    assert found.p_value == pytest.approx(stats.chi2.sf(expected, 3), abs=1e-9)
    assert found.statistic == pytest.approx(cochrans_q(correct.T.astype(int)).statistic, abs=1e-9)
    (pair,) = comparisons.discordance(correct[:1], correct[1:2])
    two = comparisons.omnibus(correct[:2])
    difference = pair.first_only - pair.second_only
    assert two.statistic == pytest.approx(difference**2 / (pair.first_only + pair.second_only), abs=1e-9)
    assert comparisons.omnibus(np.ones((3, 5), dtype=bool)) is None


@settings(max_examples=40)
@given(studies)
def test_pairs_are_complete_and_holm_never_helps(correct: np.ndarray) -> None:
    """Every pair once, as many discordant counts as seeds, and p values that the correction does not lower."""
    pairs = paired_differences(complete_table(correct))
    num_architectures, num_seeds, _ = correct.shape
    assert num_architectures * (num_architectures - 1) // 2 == len(pairs)
    for each in pairs:
        assert num_seeds == len(each.discordance)
        difference = correct[each.first].mean() - correct[each.second].mean()
        assert each.difference.mean == pytest.approx(difference, abs=1e-12)
        if num_seeds == 1:
            assert (None, None, None, None) == (each.p_value, each.p_holm, each.p_equivalent, each.better)
        else:
            assert each.p_value <= each.p_holm <= min(1, max(len(pairs), 2) * each.p_value + 1e-12)


@settings(max_examples=40)
@given(studies)
def test_ranks_and_letters_agree_with_the_pairs(correct: np.ndarray) -> None:
    """A rank counts the better ones; two share a letter exactly if they do not differ significantly."""
    pairs = paired_differences(complete_table(correct))
    ranks, letters = comparisons.ranks(len(correct), pairs), comparisons.letters(len(correct), pairs)
    for place, rank in enumerate(ranks):
        if correct.shape[1] == 1:
            assert rank is None
            continue
        assert rank == 1 + len({each.better for each in pairs if place in (each.first, each.second)} - {None, place})
    for each in pairs:
        assert (each.better is None) == bool(set(letters[each.first]) & set(letters[each.second]))


def test_letters_of_a_chain() -> None:
    """Neighbours do not differ and the ends do: the one in the middle has both letters."""
    chain = [pair(0, 1, None), pair(0, 2, 0), pair(1, 2, None)]
    assert ["a", "ab", "b"] == comparisons.letters(3, chain)
    assert ["a", "a"] == comparisons.letters(2, [pair(0, 1, None)])
    ordered = [pair(0, 1, 0), pair(0, 2, 0), pair(1, 2, 1)]
    assert ["a", "b", "c"] == comparisons.letters(3, ordered)


@settings(max_examples=30)
@given(arrays(np.bool_, st.tuples(st.integers(3, 4), st.integers(3, 5), st.integers(4, 30))))
def test_an_architecture_with_one_seed_changes_nothing_for_the_others(correct: np.ndarray) -> None:
    """Nor does what stands in the place of its missing runs."""
    finished = np.ones(correct.shape[:2], dtype=np.bool_)
    finished[-1, 1:] = False
    with_it = paired_differences(SeedTable(tuple(range(correct.shape[1])), correct, finished))
    without = paired_differences(complete_table(correct[:-1]))
    last = len(correct) - 1
    assert without == [each for each in with_it if each.second != last]
    assert all((None, 1) == (each.p_holm, each.difference.n) for each in with_it if each.second == last)
    assert comparisons.ranks(len(correct), with_it)[last] is None


def test_a_pair_is_compared_on_its_seeds_in_common() -> None:
    """Two architectures that share seeds 1 and 2 of four; and two that share none are no pair."""
    correct = WORLDS[2].study(np.random.default_rng(0), 2, 4)
    finished = np.array([[True, True, True, False], [False, True, True, True]])
    (compared,) = paired_differences(SeedTable((0, 1, 2, 3), correct, finished))
    (expected,) = paired_differences(complete_table(correct[:, 1:3]))
    assert (1, 2) == compared.seeds
    assert replace(expected, seeds=(1, 2)) == compared
    assert [] == paired_differences(
        SeedTable((0, 1, 2, 3), correct, np.array([[True, True, False, False], [False] * 4]))
    )


def test_one_network_under_two_names_is_equivalent() -> None:
    """Equal answers to every image differ by nothing, however much the seeds vary."""
    one, other = WORLDS[3].study(np.random.default_rng(0), 2, 3)
    pairs = paired_differences(complete_table(np.array([one, one, other])))
    assert ("equivalent", 0.0) == (pairs[0].answer, pairs[0].difference.mean)


@pytest.mark.parametrize(
    ("lead", "num_seeds", "answer"),
    [(0.15, 5, "better"), (-0.15, 5, "worse"), (0.0, 2, "undecided")],
    ids=["better", "worse", "undecided"],
)
def test_the_answer_of_a_pair(lead: float, num_seeds: int, answer: str) -> None:
    """By a lead of fifteen points, and of none with two seeds."""
    correct = World("", (0.05,)).study(np.random.default_rng(1), 2, num_seeds, lead)
    assert answer == paired_differences(complete_table(correct))[0].answer


def test_equivalence_needs_enough_images() -> None:
    """With 20,000 test images and seeds that are alike, a margin of two points is shown, and one of a tenth is not."""
    correct = World("", (0.02,), num_images=20_000).study(np.random.default_rng(1), 2, 10)
    answers = [paired_differences(complete_table(correct), Scale(margin=margin))[0].answer for margin in (0.02, 1e-3)]
    assert ["equivalent", "undecided"] == answers


@pytest.mark.parametrize(("num_images", "answer"), [(18, "undecided"), (200, "undecided"), (400, "equivalent")])
def test_few_images_do_not_show_equivalence(num_images: int, answer: str) -> None:
    """Where all answers are equal, the interval is the score interval of paired shares (Tango, 1998)."""
    right = np.ones((2, 3, num_images), dtype=np.bool_)
    (pair,) = paired_differences(complete_table(right))
    squared = stats.t.isf(0.025, num_images - 1) ** 2
    assert answer == pair.answer
    assert squared / (num_images + squared) == pytest.approx(pair.difference.high)
    assert -pair.difference.high == pair.difference.low


def test_an_image_of_a_rare_class_counts_more() -> None:
    """By balanced accuracy; so more images are needed to show equivalence."""
    weights = np.where(np.arange(400) < 40, 5.0, 0.5)
    table = complete_table(np.broadcast_to(weights, (2, 3, 400)))
    assert "undecided" == paired_differences(table)[0].answer
    assert "equivalent" == paired_differences(table, Scale(limit=np.inf))[0].answer


def test_networks_that_differ_by_the_margin_are_seldom_equivalent() -> None:
    """In at most 7 % of 1,500 studies, which three standard errors above 5 % are."""
    assert max(rules.false_equivalence(num_images, 3, 1500)[0] for num_images in (100, 300, 1000)) <= 0.07


def test_a_lower_level_of_significance_decides_less() -> None:
    """Where results are looked at several times, each look has a smaller level."""
    (found,) = paired_differences(complete_table(WORLDS[1].study(np.random.default_rng(1), 2, 5, 0.1)))
    assert 0 == found.better
    assert replace(found, significance=found.p_holm / 2).better is None


def test_five_equal_architectures_seldom_differ() -> None:
    """In at most 8 % of 150 studies where seeds vary by 3.5 points; `make slow` holds 6 % in every world."""
    assert rules.null_performance(WORLDS[2], rules.USED, 3, 150).false <= 0.08


IN_BOUNDS = [world for world in WORLDS if not world.out_of_bounds]


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", rules.SEEDS)
@pytest.mark.parametrize("world", IN_BOUNDS, ids=lambda world: world.name)
def test_the_error_is_bounded_in_every_world(world: World, num_seeds: int) -> None:
    """Of 600 studies of five equal architectures, at most 6 % have any pair that differs, and 92 % of the intervals
    of pairs hold the truth.
    """
    found = rules.null_performance(world, rules.USED, num_seeds, rules.NUM_STUDIES)
    assert found.false <= 0.06
    assert 0.92 <= found.covered


@pytest.mark.slow
def test_the_power_is_half_of_that_of_the_best_rule_at_least() -> None:
    """Three seeds, five architectures, one of them five points better: all of its pairs are found in a third of the
    studies, where the variance of each pair alone finds them in hardly any.
    """
    used, best, own = (
        rules.power(WORLDS[1], rule, 3, 600) for rule in (rules.USED, "moderated", "own variance of each pair")
    )
    assert used[0] >= 0.5 * best[0]
    assert used[1] >= 4 * own[1]
