"""Sentences stay true at the edges."""

import msgspec
import pytest

from intelbench.records.types import Budget
from intelbench.reporting import narrative
from tests.reporting.conftest import Summarize
from tests.reporting.synthetic import CONDITIONS, failure


def test_a_clear_difference_is_said(summarize: Summarize) -> None:
    """Who is above whom, and that the others cannot be told apart."""
    text = narrative.reading(summarize(["a", "b", "c"], range(6), accuracies={"a": 0.95, "b": 0.5, "c": 0.5}))
    assert "`a` is above `b` and `c` (paired over 6 seeds" in text
    assert "Nothing is significantly above `a`." in text
    assert "No other pair can be told apart." in text


def test_no_winner_inside_the_noise(summarize: Summarize) -> None:
    """Equal architectures are not put in an order."""
    text = narrative.reading(summarize(["a", "b"], accuracies={"a": 0.6, "b": 0.6}))
    assert "no two of them can be told apart" in text
    assert "is above" not in text


def test_one_seed(summarize: Summarize) -> None:
    """One seed tells nobody apart, and the sentence says so."""
    summary = summarize(seeds=[0])
    assert "With one seed in common no difference" in narrative.reading(summary)
    assert "all share rank 1" in narrative.ranking_note(summary)


def test_one_architecture(summarize: Summarize) -> None:
    """Nothing is compared, nothing is ranked, and nobody is said to be above another."""
    summary = summarize(["a"])
    text = narrative.reading(summary)
    assert text.startswith("1 architecture (`a`) was trained")
    assert "`a` reached a test accuracy of" in text
    assert "No seed has two finished runs" in text
    assert "" == narrative.ranking_note(summary)


def test_all_failed(summarize: Summarize) -> None:
    """Nobody was trained; all failures are counted by cause."""
    failures = {(name, seed): failure() for name in "ab" for seed in range(3)}
    text = narrative.reading(summarize(["a", "b"], failures=failures))
    assert "were tried" in text
    assert "6 of 6 runs failed (`a`: out of memory (3 runs); `b`: out of memory (3 runs))" in text
    assert "trained on" not in text


def test_mismatch_is_said_first(summarize: Summarize) -> None:
    """Other batches: conditions were not identical, nothing ranked, the seed named."""
    summary = summarize(["a", "b"], other_batches=[("b", 1)])
    assert "**Conditions were not identical:** the runs of seed 1" in narrative.reading(summary)
    assert narrative.ranking_note(summary).startswith("**Not ranked:** the batches of seed 1")


def test_uneven_seeds_are_said(summarize: Summarize) -> None:
    """Which architecture lacks which seed, and what the ranks rest on."""
    note = narrative.ranking_note(summarize(["a", "b"], missing=[("b", 2)]))
    assert "Ranks use seeds 0 and 1, which all have finished (`b` lacks seed 2)" in note


def test_a_time_budget_claims_only_the_prefix(summarize: Summarize) -> None:
    """Runs of unequal length are verified as far as they have a recorded step in common."""
    seconds = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=60))
    answer = narrative.fairness_answer(summarize(conditions=seconds))
    assert "verified through step 32, the last recorded one that the runs of a seed have in common" in answer


@pytest.mark.parametrize("num_architectures", [9, 30])
def test_long_lists_are_cut(summarize: Summarize, num_architectures: int) -> None:
    """Thirty architectures do not make an unreadable paragraph."""
    names = [f"model_{number:02d}" for number in range(num_architectures)]
    text = narrative.reading(summarize(names, range(3)))
    assert f"and {num_architectures - 8} more" in text
    assert len(text) < 2500


def test_confusions_in_words(summarize: Summarize) -> None:
    """Pair, share of the true class, and counts."""
    summary = summarize(["a"], class_names=("cat", "dog"), accuracies={"a": 0.8})
    first = narrative.confusions(summary.finished[0], ("cat", "dog"))[0]
    counts = summary.finished[0].confusion
    row = 0 if counts[0, 1] >= counts[1, 0] else 1
    names = ("cat", "dog") if row == 0 else ("dog", "cat")
    share = 100 * counts[row, 1 - row] / 450
    assert f"{names[0]} taken for {names[1]}: {share:.1f} % of {names[0]} ({counts[row, 1 - row]} of 450)" == first
