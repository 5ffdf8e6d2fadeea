"""Sentences stay true at the edges."""

import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.reporting import narrative
from tests.synthetic import CONDITIONS, Summarize, failure


def test_one_seed(summarize: Summarize) -> None:
    """One seed ranks nobody, and the sentence says so."""
    summary = summarize(seeds=[0])
    note = "**Not ranked:** no two architectures have two finished seeds in common, which a test takes."
    assert note == narrative.ranking_note(summary)
    assert note in narrative.reading(summary)


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
    summary = summarize(["a", "b"], failures=failures)
    text = narrative.reading(summary)
    assert "were tried" in text
    assert "trained on" not in text
    expected = [f"`{name}` failed in 3 of 3 runs, by cause: out of memory (3 runs)." for name in "ab"]
    assert expected == narrative.failures(summary)


def test_mismatch_is_said_first(summarize: Summarize) -> None:
    """Other batches: conditions were not identical, nothing ranked, the seed named."""
    summary = summarize(["a", "b"], other_batches=[("b", 1)])
    assert "**Conditions were not identical:** the runs of seed 1" in narrative.reading(summary)
    assert narrative.ranking_note(summary).startswith("**Not ranked:** the batches of seed 1")


def test_uneven_seeds_are_said(summarize: Summarize) -> None:
    """Which architecture lacks which seed, and what the ranks rest on."""
    note = narrative.ranking_note(summarize(["a", "b"], missing=[("b", 2)]))
    assert note.startswith("Each pair is compared on the seeds that both have finished (`b` lacks seed 2)")


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
