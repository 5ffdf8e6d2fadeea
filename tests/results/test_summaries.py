"""Ranks rest on what may be compared."""

from tests.synthetic import Summarize, failure


def ranks(summary: object) -> dict[str, int | None]:
    return {architecture.name: architecture.rank for architecture in summary.architectures}


def test_clear_differences_are_ranked(summarize: Summarize) -> None:
    """Far better means rank 1, alone; two that are alike share a rank."""
    accuracies = {"a": 0.95, "b": 0.5, "c": 0.5}
    assert {"a": 1, "b": 2, "c": 2} == ranks(summarize(["a", "b", "c"], range(6), accuracies=accuracies))


def test_a_mismatch_refuses_to_rank(summarize: Summarize) -> None:
    """Other batches for one seed of one architecture: no ranks at all."""
    accuracies = {"a": 0.95, "b": 0.5}
    summary = summarize(["a", "b"], range(6), accuracies=accuracies, other_batches=[("b", 3)])
    assert {"a": None, "b": None} == ranks(summary)
    assert () == summary.differences


def test_pairs_use_the_seeds_that_both_have(summarize: Summarize) -> None:
    """A missing seed shortens the pair; means keep all finished seeds."""
    summary = summarize(["a", "b"], range(4), missing=[("b", 2)])
    assert [3] == [pair.difference.n for pair in summary.differences]
    means = {architecture.name: architecture.test_accuracy.n for architecture in summary.architectures}
    assert {"a": 4, "b": 3} == means


def test_one_finished_seed_hides_nothing_of_the_others(summarize: Summarize) -> None:
    """The others have the differences and ranks that they have alone; it has no rank and no letter, and comes last."""
    accuracies = {"a": 0.95, "b": 0.5, "c": 0.5, "d": 0.99}
    failures = {("d", seed): failure() for seed in range(1, 6)}
    alone = summarize(["a", "b", "c"], range(6), accuracies=accuracies)
    summary = summarize(["a", "b", "c", "d"], range(6), accuracies=accuracies, failures=failures)
    assert {"a": 1, "b": 2, "c": 2, "d": None} == ranks(summary)
    assert ["a", "b", "c", "d"] == [architecture.name for architecture in summary.architectures]
    assert alone.differences == tuple(pair for pair in summary.differences if max(pair.first, pair.second) < 3)
    assert [1, 1, 1] == [pair.difference.n for pair in summary.differences if 3 in (pair.first, pair.second)]
    assert {"a", "b", "c"} == set(summary.groups)
    assert (["a", "b", "c"], []) == ([each.name for each in summary.ranked], summary.untested)


def test_a_pair_without_two_seeds_in_common_is_untested(summarize: Summarize) -> None:
    """Both are ranked by the pairs that they have with a third."""
    missing = [*(("a", seed) for seed in range(3)), *(("b", seed) for seed in range(3, 6))]
    summary = summarize(["a", "b", "c"], range(6), accuracies={"a": 0.3, "b": 0.3, "c": 0.95}, missing=missing)
    assert {"a": 2, "b": 2, "c": 1} == ranks(summary)
    assert [("a", "b")] == summary.untested


def test_no_seed_in_common_is_not_ranked(summarize: Summarize) -> None:
    """Disjoint seeds cannot be paired."""
    assert {"a": None, "b": None} == ranks(summarize(["a", "b"], (0, 1), missing=[("a", 0), ("b", 1)]))


def test_failed_architectures_stay_at_the_end(summarize: Summarize) -> None:
    """An architecture without a finished run is kept, unranked, after the others."""
    failures = {("a", seed): failure() for seed in range(3)}
    summary = summarize(["a", "b", "c"], failures=failures, accuracies={"b": 0.6, "c": 0.6})
    assert ["b", "c", "a"] == [architecture.name for architecture in summary.architectures]
    assert summary.architectures[-1].rank is None
    assert summary.architectures[-1].test_accuracy is None
