"""The cheapest architecture that is not worse than the best by more than the margin."""

from dataclasses import replace

from intelbench.reporting.sections.opening import headline
from intelbench.results.choice import cheapest, not_inferior, recommended
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.comparisons import Scale, paired_differences
from tests.synthetic import Summarize


def with_margin(summary: CohortSummary, margin: float) -> CohortSummary:
    """Return the same comparison with another margin."""
    pairs = paired_differences(summary.correct, Scale(margin=margin))
    return replace(summary, margin=margin, differences=tuple(pairs))


def test_who_is_within_the_margin_of_the_best(summarize: Summarize) -> None:
    """Two alike are within five points of each other, and the third, thirty points below, is not."""
    study = summarize(["a", "b", "c"], range(8), accuracies={"a": 0.8, "b": 0.8, "c": 0.5}, num_test=3000)
    assert ["a", "b"] == [each.name for each in not_inferior(with_margin(study, 0.05))]
    assert ["a", "b", "c"] == [each.name for each in not_inferior(with_margin(study, 0.5))]
    assert [] == not_inferior(with_margin(study, 1e-6))


def test_who_has_learnt_nothing_is_never_recommended(summarize: Summarize) -> None:
    """However wide the margin: an architecture at the accuracy of the largest class is left out."""
    study = summarize(["a", "b"], range(8), accuracies={"a": 0.8, "b": 0.05}, num_test=600)
    assert ["a"] == [each.name for each in not_inferior(with_margin(study, 0.95))]


def test_who_is_not_compared_with_the_best_is_not_shown_to_be_near_it(summarize: Summarize) -> None:
    """`b` beats `c`, with which it has seeds in common, and is 30 points below `a`, with which it has none."""
    study = summarize(
        ["a", "b", "c"], range(8), accuracies={"a": 0.95, "b": 0.65, "c": 0.3}, num_test=3000,
        missing={*(("a", seed) for seed in range(4)), *(("b", seed) for seed in range(4, 8))},
    )  # fmt: skip
    assert [("a", "b")] == [*study.untested]
    assert [] == not_inferior(study)
    assert "For no architecture is it shown that it is within 1 point of the best." in headline(study)


def test_one_seed_shows_nothing(summarize: Summarize) -> None:
    """Nobody is within the margin, and nobody is significantly faster."""
    summary = summarize(["a", "b"], [0])
    assert [] == not_inferior(summary)
    assert not any(metric.name == "step_seconds" for metric in cheapest(summary.finished))


def test_the_cheapest_is_named_by_its_cost(summarize: Summarize) -> None:
    """By step time where it is significantly lower: `a` is the fastest of the three."""
    study = summarize(["a", "b", "c"], range(8), accuracies={"a": 0.8, "b": 0.8, "c": 0.5}, num_test=3000)
    by_cost = {metric.name: each.name for metric, each in cheapest(study.finished).items()}
    assert "a" == by_cost["step_seconds"]
    text = headline(with_margin(study, 0.05))
    assert "`a` and `b` are shown to be within 5 points of the best (holds if any one seed is left out); " in text
    assert "; the cheapest of them is `a` by step time" in text


def test_a_head_on_stored_features_is_not_chosen_by_its_step_time(summarize: Summarize) -> None:
    """A fast head may have a slow backbone: the network's parameters count instead."""
    study = summarize(["a", "b", "c"], range(8), accuracies={"a": 0.8, "b": 0.8, "c": 0.5}, num_test=3000)
    of_heads = summarize(
        ["a", "b", "c"], range(8), accuracies={"a": 0.8, "b": 0.8, "c": 0.5}, num_test=3000, features=True
    )
    by_cost, of_head = ({cost.name for cost in cheapest(each.finished)} for each in (study, of_heads))
    assert by_cost - {"step_seconds"} == of_head
    assert "step_seconds" in by_cost
    assert "by step time" not in headline(with_margin(of_heads, 0.05))


def test_equal_costs_have_no_cheapest(summarize: Summarize) -> None:
    """One network under two names costs the same."""
    (a,) = summarize(["a"], range(3)).finished
    assert {} == cheapest([a, replace(a, name="b")])


def test_one_architecture_is_recommended_and_why(summarize: Summarize) -> None:
    """The cheapest within the margin; else the most accurate within it, or of all."""
    study = summarize(["a", "b", "c"], range(8), accuracies={"a": 0.8, "b": 0.8, "c": 0.5}, num_test=3000)
    best, reason = recommended(with_margin(study, 0.05))
    assert ("a", "the cheapest by step time of 2 architectures shown to be within 5 points of the best") == (
        best.name, reason
    )  # fmt: skip
    best, reason = recommended(with_margin(study, 1e-6))
    accurate = max(study.finished, key=lambda each: each.test_accuracy.mean)
    assert accurate.name == best.name
    assert "the highest test accuracy; no architecture is shown to be within 0.0001 points of the best" == reason


def test_the_only_architecture_is_recommended(summarize: Summarize) -> None:
    """One alone needs no test, and one that is alone within the margin no cost."""
    best, reason = recommended(summarize(["a"], [0]))
    assert ("a", "the only architecture") == (best.name, reason)
    study = summarize(["a", "b"], range(8), accuracies={"a": 0.8, "b": 0.05}, num_test=600)
    best, reason = recommended(with_margin(study, 0.05))
    assert ("a", "the only architecture shown to be within 5 points of the best") == (best.name, reason)
