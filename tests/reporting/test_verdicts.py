"""Verdicts that compare architectures whose truth is known: each word is reached, by the rule that is said."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.config.sequential import SequentialDesign
from intelbench.results.metric import differences
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate
from tests.reporting.claimed import changed, verdict, with_values
from tests.synthetic import Summarize

ONLY_ON_A_GPU = ("joules", "peak_cuda_allocated_bytes", "peak_cuda_reserved_bytes", "peak_nvml_process_bytes")


def test_a_difference_beyond_chance_supports_or_contradicts(study: CohortSummary) -> None:
    """By the ratio, paired by seed; the same figures support one direction and contradict the other."""
    summary = with_values(study, {"a": [2, 4.2, 7.9, 6], "b": [1, 2, 4, 3]})
    found = verdict(summary)
    assert ("supported", "times", "b") == (found.verdict, found.unit, found.against)
    assert isinstance(found.measured, Estimate)
    assert pytest.approx(np.exp(np.mean(np.log([2, 2.1, 7.9 / 4, 2])))) == found.measured.mean
    assert 4 == found.measured.n
    rule = (
        "Paired over 4 seeds: two-sided t test of the logarithm of the ratio at the 5 % level. Equivalent where two "
        "one-sided ones find it within 2 %."
    )
    assert rule == found.rule
    assert "contradicted" == verdict(summary, relation="lower").verdict


def test_a_difference_within_chance_is_undecided(study: CohortSummary) -> None:
    """In both directions, with its p value."""
    summary = with_values(study, {"a": [2, 1, 3, 2], "b": [1, 2, 2, 3]})
    found = verdict(summary)
    assert ("undecided", "undecided") == (found.verdict, verdict(summary, relation="lower").verdict)
    assert found.p_value is not None
    assert 0.05 < found.p_value <= 1


def test_equal_values_are_said_to_be_equal(study: CohortSummary, summarize: Summarize) -> None:
    """Which neither supports nor contradicts; with five seeds the two are equivalent."""
    found = verdict(with_values(study, {"a": [2, 1, 3, 2], "b": [2, 1, 3, 2]}))
    assert ("undecided", "equal in every seed") == (found.verdict, found.reason)
    five = with_values(summarize(["a", "b"], range(5)), {"a": [2, 1, 3, 2, 4], "b": [2, 1, 3, 2, 4]})
    assert "equivalent" == verdict(five).verdict


def test_no_spread_is_no_certainty(study: CohortSummary) -> None:
    """Four seeds that differ by the same amount count as four signs, of which p is 1/8 at best."""
    found = verdict(with_values(study, {"a": [2, 4, 6, 8], "b": [1, 2, 3, 4]}))
    assert ("undecided", 0.125) == (found.verdict, found.p_value)
    assert "every seed differs by the same amount" == found.reason
    assert "two-sided sign test of the logarithm of the ratio" in found.rule
    assert "t test" not in found.rule


def test_two_that_have_nothing_are_compared_by_signs(summarize: Summarize) -> None:
    """0 in every run of both: four seeds are too few signs for equivalence, five are not, and the rule says so."""
    words = {}
    for num_seeds in (4, 5):
        summary = changed(
            summarize(["a", "b"], range(num_seeds)),
            lambda _, run: replace(run, spike_score=0.0),
        )
        found = verdict(summary, metric="spike_score")
        words[num_seeds] = found.verdict
        assert "0 in every run of both" == found.reason
        assert "two-sided sign test of the difference at the 5 % level" in found.rule
        assert "two one-sided ones find it within 1 point" in found.rule
    assert {4: "undecided", 5: "equivalent"} == words


def test_against_several_others_all_must_be_surpassed(study: CohortSummary) -> None:
    """A comparison that is not significant makes the claim undecided, an opposite one contradicts it."""
    low, high = [1, 2.1, 3, 4], [10, 22, 31, 39]
    both = verdict(with_values(study, {"a": high, "b": low, "c": [1.1, 2, 3, 4]}), others=None)
    assert ("supported", "b") == (both.verdict, both.against) or ("supported", "c") == (both.verdict, both.against)
    assert "It has to hold in each of 2 comparisons, so their p values are not corrected" in both.rule
    assert "so these are Holm-corrected over the 2." in both.rule
    one = verdict(with_values(study, {"a": high, "b": low, "c": [11, 20, 32, 38]}), others=None)
    assert ("undecided", "c") == (one.verdict, one.against)
    assert "it holds in 1 of 2 comparisons" == one.reason
    other = verdict(with_values(study, {"a": low, "b": [0.1, 0.2, 0.31, 0.4], "c": high}), others=None)
    assert ("contradicted", "c") == (other.verdict, other.against)


values = st.lists(st.floats(0.01, 100), min_size=4, max_size=4)


@given(first=values, second=values)
def test_the_order_of_the_two_does_not_matter(study: CohortSummary, first: list[float], second: list[float]) -> None:
    """`a` higher than `b` is `b` lower than `a`; and what supports a claim contradicts its opposite."""
    summary = with_values(study, {"a": first, "b": second})
    one = verdict(summary)
    same = verdict(summary, architecture="b", others=["a"], relation="lower")
    opposite = verdict(summary, relation="lower")
    assert one.verdict == same.verdict
    opposites = {"supported": "contradicted", "contradicted": "supported"}
    assert opposites.get(one.verdict, one.verdict) == opposite.verdict


@pytest.mark.parametrize(
    "metric",
    [
        name
        for name, entry in METRICS.entries.items()
        if entry.value.compared in ("images", "ratio", "difference")
        and name not in ONLY_ON_A_GPU
        and name not in ("extracted_images_per_second", "head_epoch_seconds")  # of heads on stored features
        and name not in ("auroc", "top5")  # computed where asked for, and of many classes; see test_ranking
        and not entry.value.at_accuracy
    ],
)
def test_every_measure_of_a_run_can_be_compared(study: CohortSummary, metric: str) -> None:
    """With a p value and seeds, or because all are equal."""
    found = verdict(study, metric=metric)
    assert found.verdict != "not testable"
    assert isinstance(found.measured, Estimate)
    assert (4, "b") == (found.measured.n, found.against)
    assert found.p_value is not None


def test_the_best_is_better_than_each_other(summarize: Summarize) -> None:
    """By seed and image; a tie is undecided, a better one contradicts."""
    summary = summarize(["a", "b", "c"], range(4), accuracies={"a": 0.9, "b": 0.5, "c": 0.7}, num_test=600)
    best = verdict(summary, metric="test_accuracy", others=None)
    assert ("supported", "c", "points") == (best.verdict, best.against, best.unit)
    assert isinstance(best.measured, Estimate)
    assert 0.1 < best.measured.mean < 0.3
    assert "4 seeds × 600 test images" in best.rule
    assert "the difference at the 5 % level. Equivalent where two one-sided ones find it within 1 point." in best.rule
    beaten = verdict(summary, metric="test_accuracy", architecture="c", others=None)
    assert ("contradicted", "a") == (beaten.verdict, beaten.against)
    assert isinstance(beaten.measured, Estimate)
    assert (-best.measured.mean, -(best.measured.high or 0)) == (beaten.measured.mean, beaten.measured.low)


def test_what_cannot_be_told_apart_is_not_the_best(summarize: Summarize) -> None:
    """Nor is it contradicted."""
    summary = summarize(["a", "b"], range(3), accuracies={"a": 0.7, "b": 0.7})
    assert "undecided" == verdict(summary, metric="test_accuracy").verdict


def test_an_unrelated_architecture_changes_no_verdict(summarize: Summarize) -> None:
    """Neither one that finished with fewer seeds or saw other batches nor many that make more pairs: not a digit."""
    accuracies = {"a": 0.72, "b": 0.62, "c": 0.6, "d": 0.61, "e": 0.6}
    alone = summarize(["a", "b"], range(4), accuracies=accuracies)
    crowd = summarize(
        list("abcde"), range(4), accuracies=accuracies, missing=[("c", 0), ("d", 3)], other_batches=[("e", 1)]
    )
    for metric in ("relative_loss_variance", "step_seconds"):
        for relation in ("higher", "lower", "equivalent"):
            assert verdict(alone, metric=metric, relation=relation) == verdict(crowd, metric=metric, relation=relation)


SAYS = {"better": "supported", "worse": "contradicted", "equivalent": "equivalent", "undecided": "undecided"}


IN_LOOKS = SequentialDesign(
    architectures=("a", "b", "c", "d"), seeds=tuple(range(8)), looks=(3, 5, 8), spending="pocock", significance=0.05,
    margin=0.02,
)  # fmt: skip


@pytest.mark.parametrize("design", [None, IN_LOOKS])
@pytest.mark.parametrize("metric", ["test_accuracy", "test_cross_entropy", "brier_score"])
def test_a_claim_says_of_a_pair_what_the_differences_say(
    summarize: Summarize, metric: str, design: SequentialDesign | None
) -> None:
    """At one margin, in both directions: of all four answers, with spent levels, and against several at once."""
    accuracies = {"a": 0.8, "b": 0.765, "c": 0.71, "d": 0.8}
    missing = [("c", seed) for seed in (3, 4)] if design else []
    summary = summarize(
        list("abcd"), range(5), accuracies=accuracies, spread=0.01, num_test=1500, margin=0.02, design=design,
        missing=missing,
    )  # fmt: skip
    names = [architecture.name for architecture in summary.finished]
    margin = 0.02
    pairs = differences(METRICS.get(metric), summary, margin)
    answers = {}
    for pair in pairs:
        first, second = names[pair.first], names[pair.second]
        is_above = pair.better is not None and pair.difference.mean > 0
        answer = pair.answer if pair.answer in ("equivalent", "undecided") else "better" if is_above else "worse"
        changes = {"metric": metric, "margin": margin, "architecture": first, "others": [second]}
        found = verdict(summary, **changes)
        assert (SAYS[answer], pair.difference) == (found.verdict, found.measured)
        opposite = {"supported": "contradicted", "contradicted": "supported"}
        lower = verdict(summary, **(changes | {"relation": "lower"}))
        assert opposite.get(found.verdict, found.verdict) == lower.verdict
        equal = verdict(summary, **(changes | {"relation": "equivalent"}))
        assert ("supported" == equal.verdict) == pair.is_equivalent
        assert 'P values are those of "Differences"' in found.rule
        assert ("the level of the look of the pair" in found.rule) == (design is not None)
        answers[first, second] = found.verdict
    assert set(answers.values()) > {"supported"} or set(answers.values()) > {"contradicted"}
    everyone = verdict(summary, metric=metric, margin=margin, architecture=names[0], others=None)
    of_first = {answer for (first, _), answer in answers.items() if first == names[0]}
    order = ("contradicted", "undecided", "equivalent", "supported")
    assert everyone.verdict == min(of_first, key=order.index)


def test_a_margin_of_its_own_keeps_the_looks(summarize: Summarize) -> None:
    """A claim may ask for a narrower margin than the design: the looks and the levels stay."""
    arguments: dict[str, Any] = {"accuracies": {"a": 0.8, "b": 0.8, "c": 0.4, "d": 0.4}, "num_test": 1500}
    design = msgspec.structs.replace(IN_LOOKS, margin=0.2)
    changes = {"metric": "test_accuracy", "relation": "equivalent", "architecture": "a", "others": ["b"]}
    fewer = summarize(list("abcd"), range(3), design=design, missing=[("b", 1)], **arguments)
    assert "no look with both a and b is complete" == verdict(fewer, margin=0.2, **changes).reason
    summary = summarize(list("abcd"), range(3), design=design, **arguments)
    assert "supported" == verdict(summary, margin=0.2, **changes).verdict
    assert "undecided" == verdict(summary, margin=0.001, **changes).verdict


def test_as_good_as_another_is_shown_within_a_margin(summarize: Summarize) -> None:
    """A wide one holds both, a narrow one neither; the rule has it."""
    summary = summarize(["a", "b"], range(6), accuracies={"a": 0.8, "b": 0.8}, num_test=3000)
    wide, narrow = (verdict(summary, metric="test_accuracy", relation="equivalent", margin=m) for m in (0.05, 1e-6))
    assert ("supported", "undecided") == (wide.verdict, narrow.verdict)
    assert (
        "Paired over 6 seeds × 3,000 test images: two one-sided t tests at the 5 % level that the difference is within "
        "5 points; contradicted where a two-sided one finds it beyond."
        ' P values are those of "Differences": with moderated variances, Holm-corrected over all pairs of the group, '
        "so that the claim and that section say the same of a pair."
    ) == wide.rule
    assert "equivalent" == verdict(summary, metric="test_accuracy", margin=0.05).verdict
    apart = summarize(["a", "b"], range(6), accuracies={"a": 0.8, "b": 0.6})
    assert "contradicted" == verdict(apart, metric="test_accuracy", relation="equivalent").verdict


def test_bytes_are_counted(study: CohortSummary) -> None:
    """Memory that is the same for every seed is a fact, not rounding."""
    found = verdict(study, architecture="b", others=["a"], metric="peak_memory_bytes")
    assert "supported" == found.verdict
    assert isinstance(found.measured, Estimate)
    assert pytest.approx(880 / 700) == found.measured.mean


def test_the_largest_confusions_are_found(summarize: Summarize) -> None:
    """The made-up networks take each class for its neighbour most often; the order within a pair means nothing."""
    summary = summarize(["a"], range(4), accuracies={"a": 0.4}, num_test=900)
    true = [["forest", "buildings"], ["glacier", "mountain"], ["sea", "street"]]
    found = verdict(summary, metric="confusion", classes=true)
    assert ("supported", "points") == (found.verdict, found.unit)
    assert "4 seeds × 900 test images" in found.rule
    assert "It has to hold in each of 36 comparisons" in found.rule
    wrong = verdict(summary, metric="confusion", classes=[["buildings", "street"]])
    assert "contradicted" == wrong.verdict
    assert wrong.against is not None
    assert wrong.against.startswith("buildings/street against ")


def test_images_that_are_all_recognised_are_never_confused(study: CohortSummary) -> None:
    """So no pair is confused most."""
    summary = changed(study, lambda name, run: replace(run, test_predictions=run.test_labels))
    found = verdict(summary, metric="confusion", classes=[["buildings", "street"]])
    assert ("undecided", "buildings/street against any other") == (found.verdict, found.against)


def test_disturbed_step_times_say_so(summarize: Summarize) -> None:
    """The verdict stands, with the number of runs that were."""
    summary = summarize(["a", "b"], range(3), disturbed=[("b", 1)])
    found = verdict(summary, metric="step_seconds", relation="lower")
    assert ("supported", "1 of the 6 runs compared were disturbed by other work") == (found.verdict, found.reason)
