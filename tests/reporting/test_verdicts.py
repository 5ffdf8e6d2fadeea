"""Verdicts on studies whose truth is known: each word is reached, by the rule that is said, and for a reason."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.config.sequential import SequentialDesign
from intelbench.records.profiles import TorchsummaryEstimate
from intelbench.reporting.verdicts import Verdict, verdicts
from intelbench.results.claims import Claim, load_claims
from intelbench.results.metric import differences
from intelbench.results.metrics import METRICS
from intelbench.results.runs import RunSummary
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate
from tests.synthetic import CONDITIONS, Study, Summarize, failure, synthetic_runs

Change = Callable[[RunSummary], RunSummary]
ONLY_ON_A_GPU = ("joules", "peak_cuda_allocated_bytes", "peak_cuda_reserved_bytes", "peak_nvml_process_bytes")
REFERENCE_RUNS = Path(__file__).parents[2] / "results" / "reference" / "runs"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> CohortSummary:
    """Three architectures, four seeds each, whose values the tests replace."""
    folder = tmp_path_factory.mktemp("runs")
    synthetic_runs(folder, ["a", "b", "c"], range(4))
    return read(folder).cohorts[0]


def claim(**changes: Any) -> Claim:
    """That `a` has a higher relative loss variance than `b`, with changes."""
    fields: dict[str, Any] = {"id": "c", "statement": "s", "source": "r", "metric": "relative_loss_variance"}
    fields |= {"relation": "higher", "architecture": "a"} | (
        {} if "others" in changes or "classes" in changes else {"others": ["b"]}
    )
    return msgspec.convert({key: value for key, value in (fields | changes).items() if value is not None}, Claim)


def verdict(summary: CohortSummary, **changes: Any) -> Verdict:
    """On that claim."""
    (found,) = verdicts(summary, [claim(**changes)])
    return found


def changed(summary: CohortSummary, change: Callable[[str, RunSummary], RunSummary]) -> CohortSummary:
    """The summary with every run changed."""
    return replace(
        summary,
        architectures=tuple(
            replace(each, runs=tuple(change(each.name, run) for run in each.runs)) for each in summary.architectures
        ),
    )


def with_values(summary: CohortSummary, values: Mapping[str, Sequence[float]]) -> CohortSummary:
    """Relative loss variances, by architecture and seed."""
    return changed(
        summary,
        lambda name, run: replace(run, relative_loss_variance=values[name][run.seed] if name in values else 1.0),
    )


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
            lambda _, run: replace(run, stability=replace(run.stability, spike_score=0.0)),
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


def test_a_published_figure_is_judged_by_two_intervals(study: CohortSummary) -> None:
    """Of the mean, [1.74, 2.26], and of one further run, [1.42, 2.58]; the rule says how, and has the second."""
    summary = with_values(study, {"a": [1.8, 2.0, 2.2, 2.0]})
    figure = {"relation": "equal", "others": None}
    words = {value: verdict(summary, value=value, tolerance=0.1, **figure).verdict for value in (2.5, 3.0)}
    assert {2.5: "undecided", 3.0: "contradicted"} == words
    found = verdict(summary, value=2.0, tolerance=0.3, **figure)
    assert "supported" == found.verdict
    assert isinstance(found.measured, Estimate)
    assert pytest.approx(2.0) == found.measured.mean
    rule = (
        "Supported where the 95 % interval of the mean over 4 seeds lies within what is claimed, tolerance included. "
        "The published figure is regarded as that of one training run: contradicted where the claim lies outside the "
        "95 % prediction interval of such a figure, 2.00 [1.42, 2.58]; else undecided."
    )
    assert rule == found.rule
    of_many = verdict(summary, value=2.5, tolerance=0.1, runs=1000, **figure)
    assert "contradicted" == of_many.verdict
    assert "The figure is a requirement: contradicted where it lies outside the interval of the mean" in of_many.rule
    of_some = verdict(summary, value=2.5, tolerance=0.1, runs=900, **figure)
    assert "that of 900 training runs: contradicted" in of_some.rule


def test_a_published_factor_is_held_against_the_ratio(study: CohortSummary) -> None:
    """Paired by seed."""
    summary = with_values(study, {"a": [2, 4.2, 7.9, 6], "b": [1, 2, 4, 3]})
    twice, thrice = (
        verdict(summary, relation="equal", value=value, tolerance=0.2, others=["b"]) for value in (2.0, 3.0)
    )
    assert ("supported", "contradicted") == (twice.verdict, thrice.verdict)
    assert ("times", "b") == (twice.unit, twice.against)
    assert "95 % interval of the ratio, paired over 4 seeds lies" in twice.rule


def test_arithmetic_is_exact(study: CohortSummary) -> None:
    """Parameters with 1000 classes are a quarter of their bytes; memory is torchsummary's total; no test is made."""

    def profiled(name: str, run: RunSummary) -> RunSummary:
        published = TorchsummaryEstimate(
            activations_bytes=1_167_135_040,
            parameters_bytes=240_771_232 * (2 if name == "b" else 1),
            input_bytes=1_080_000,
            num_calls=514,
        )
        assert run.record.profile is not None
        profile = msgspec.structs.replace(run.record.profile, published=published)
        return replace(run, record=msgspec.structs.replace(run.record, profile=profile))

    summary = changed(study, profiled)
    figure = {"relation": "equal", "others": None, "metric": "num_parameters_1000_classes"}
    found = verdict(summary, value=60e6, tolerance=0.5e6, **figure)
    assert ("reproduced", 60_192_808, None) == (found.verdict, found.measured, found.p_value)
    assert "exact" in found.rule
    assert "contradicted" == verdict(summary, value=60e6, tolerance=0.1e6, **figure).verdict
    memory = verdict(summary, **(figure | {"metric": "torchsummary_memory_mebibytes"}), value=1300, tolerance=50)
    assert isinstance(memory.measured, float)
    assert ("reproduced", 1343.71) == (memory.verdict, round(memory.measured, 2))
    double = verdict(summary, architecture="b", others=["a"], relation="equal", value=2, metric=figure["metric"])
    assert ("reproduced", 2.0, "times") == (double.verdict, double.measured, double.unit)
    equal = verdict(summary, metric=figure["metric"], others=["c"])
    assert ("equivalent", 1.0) == (equal.verdict, equal.measured)
    assert equal.rule.endswith("no measurement of a run. A difference of at most 2 % is equivalent.")
    assert "reproduced" == verdict(summary, metric=figure["metric"], others=["c"], relation="equivalent").verdict
    assert "reproduced" == verdict(summary, architecture="b", others=None, metric=figure["metric"]).verdict


def test_arithmetic_needs_no_finished_run(summarize: Summarize) -> None:
    """Neither equal batches nor several seeds; what was trained does need them."""
    summary = summarize(["a", "b"], [0], failures={("a", 0): failure(step=None)}, other_batches=[("b", 0)])
    assert "contradicted" == verdict(summary, metric="num_parameters").verdict
    assert "a has no finished run: out of memory (1 run)" == verdict(summary).reason


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


def test_a_test_accuracy_is_held_against_its_interval(summarize: Summarize) -> None:
    """The one of the main table, which is Wilson's."""
    summary = summarize(["a"], range(3), accuracies={"a": 0.8}, num_test=600)
    figure = {"metric": "test_accuracy", "relation": "at_least", "others": None}
    found = verdict(summary, value=0.6, **figure)
    assert ("supported", summary.finished[0].test_accuracy) == (found.verdict, found.measured)
    assert "contradicted" == verdict(summary, value=0.99, **figure).verdict
    assert "over 3 seeds × 600 test images lies" in found.rule
    assert "one training run, tested on as many other test images: contradicted" in found.rule


def test_a_factor_of_accuracies_is_over_seeds_and_images(summarize: Summarize) -> None:
    """Of the two means; seeds alone would leave out the chance of the images."""
    summary = summarize(["a", "b"], range(4), accuracies={"a": 0.8, "b": 0.4}, num_test=600)
    found = verdict(summary, metric="test_accuracy", relation="equal", value=2.0, tolerance=0.5)
    assert isinstance(found.measured, Estimate)
    first, second = (summary.architectures[place].test_accuracy for place in (0, 1))
    assert ("supported", pytest.approx(first.mean / second.mean)) == (found.verdict, found.measured.mean)
    assert "paired over 4 seeds × 600 test images lies" in found.rule


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "d"}, r"^d did not run$"),
        ({"others": ["b", "d"]}, r"^d did not run$"),
        ({"conditions": {"weights": "imagenet"}}, r"other conditions: weights = imagenet \(here random\)$"),
        ({"conditions": {"budget": {"epochs": 2}}}, r"budget.epochs = 2 \(here none\)$"),
        (
            {"conditions": {"image_size": 8, "weights": "x", "head": "x", "backbone": "x", "data.num_test": 1}},
            r"image_size = 8 \(here 64\); .*; and 1 other$",
        ),
        ({"metric": "confusion", "classes": [["sea", "desert"]]}, r"no class desert$"),
        ({"metric": "steps_to_accuracy", "accuracy": 0.99}, r"^no run reached a validation accuracy of 99 %"),
        (
            {"metric": "steps_to_accuracy", "accuracy": 0.99, "relation": "at_most", "value": 9, "others": None},
            r"^a: 4 of 4 runs did not reach a validation accuracy of 99 %",
        ),
    ],
)
def test_what_is_not_testable_says_why(study: CohortSummary, changes: dict[str, Any], reason: str) -> None:
    """Nothing is measured then, and no rule applied."""
    found = verdict(study, **changes)
    assert ("not testable", None, "") == (found.verdict, found.measured, found.rule)
    assert re.search(reason, found.reason)


def test_conditions_that_hold_let_the_claim_be_judged(study: CohortSummary) -> None:
    """A list as a tuple, a whole number as a fraction."""
    held = {"image_size": 64, "recipe": {"optimizer": "adam", "label_smoothing": 0}, "weights": "random"}
    assert verdict(study, conditions=held).verdict != "not testable"


@pytest.mark.parametrize("metric", ["relative_loss_variance", "test_accuracy"])
def test_one_seed_in_common_is_too_few(summarize: Summarize, metric: str) -> None:
    """For a comparison as for an interval."""
    summary = summarize(["a", "b"], [0, 1], missing=[("b", 1)])
    assert "not testable" == verdict(summary, metric=metric).verdict
    figure = verdict(summary, metric=metric, architecture="b", relation="equal", value=0.5, others=None)
    assert "one finished seed gives no interval; it takes two" == figure.reason


def test_other_batches_are_not_compared(summarize: Summarize) -> None:
    """A figure of one architecture is still held against what was published."""
    summary = summarize(["a", "b"], range(3), other_batches=[("b", 1)])
    for metric in ("relative_loss_variance", "test_accuracy"):
        found = verdict(summary, metric=metric)
        assert "not testable" == found.verdict
        assert "same batches" in found.reason
    assert "supported" == verdict(summary, relation="at_least", value=0.0, others=None).verdict


def test_one_architecture_alone_is_not_the_highest(summarize: Summarize) -> None:
    """There is nobody to compare it with."""
    found = verdict(summarize(["a"], range(3)), others=None)
    assert "no other architecture has a finished run" == found.reason


def test_records_without_a_profile_have_no_arithmetic(study: CohortSummary) -> None:
    """The reason in the record is passed on."""

    def unprofiled(name: str, run: RunSummary) -> RunSummary:
        return replace(run, record=msgspec.structs.replace(run.record, profile=None, profile_absent="it crashed"))

    found = verdict(changed(study, unprofiled), metric="num_parameters")
    assert "the records of a hold no profile: it crashed" == found.reason


def test_a_network_without_rectifiers_has_no_dead_units(study: CohortSummary) -> None:
    """So none can be counted; where both have them and none is dead, there is nothing to avoid."""
    changes = {"metric": "dead_share", "relation": "lower"}
    without = changed(study, lambda name, run: replace(run, rectifiers=None) if name == "b" else run)
    assert "no run of b tells it" == verdict(without, **changes).reason

    def alive(name: str, run: RunSummary) -> RunSummary:
        assert run.rectifiers is not None
        return replace(run, rectifiers=replace(run.rectifiers, last_dead_share=0.0))

    found = verdict(changed(study, alive), **changes)
    assert ("undecided", "0 in every run of both") == (found.verdict, found.reason)


def steps_to_half(summary: CohortSummary, reached: Mapping[str, Sequence[int | None]]) -> CohortSummary:
    """Runs that reach a validation accuracy of 50 % at these steps, or never."""

    def change(name: str, run: RunSummary) -> RunSummary:
        at = reached.get(name, [10] * 9)[run.seed]
        steps = np.arange(1, 101, dtype=np.float64)
        accuracy = np.where(steps >= at, 0.6, 0.4) if at is not None else np.full(100, 0.4)
        return replace(run, evaluation_step=steps, evaluation_accuracy=accuracy)

    return changed(summary, change)


def test_fewer_steps_are_faster(study: CohortSummary) -> None:
    """To the first evaluation point that has the accuracy."""
    changes = {"metric": "steps_to_accuracy", "relation": "lower", "accuracy": 0.5}
    found = verdict(steps_to_half(study, {"a": [10, 22, 29, 41], "b": [20, 40, 60, 80]}), **changes)
    assert ("supported", "times") == (found.verdict, found.unit)
    assert isinstance(found.measured, Estimate)
    assert 0.5 == round(found.measured.mean, 1)


def test_who_never_arrives_is_the_slower(summarize: Summarize) -> None:
    """By a sign test, as there is no number: six seeds can tell, five cannot."""
    changes = {"metric": "steps_to_accuracy", "relation": "lower", "accuracy": 0.5}
    summary = summarize(["a", "b"], range(6))
    six = verdict(steps_to_half(summary, {"a": [10] * 6, "b": [None] * 6}), **changes)
    assert ("supported", None, 0.03125) == (six.verdict, six.measured, six.p_value)
    assert "6 of 12 runs did not reach it" in six.reason
    five = verdict(steps_to_half(summary, {"a": [10] * 5 + [None], "b": [None] * 6}), **changes)
    assert "undecided" == five.verdict
    equal = verdict(steps_to_half(summary, {"a": [10] * 6, "b": [None] * 6}), **(changes | {"relation": "equivalent"}))
    assert ("not testable", "6 of 12 runs did not reach it, so there is no ratio") == (equal.verdict, equal.reason)


def test_who_had_it_at_the_first_evaluation_is_the_faster(summarize: Summarize) -> None:
    """By a sign test as well, since nobody knows how much sooner; and there is no figure."""
    changes = {"metric": "steps_to_accuracy", "relation": "lower", "accuracy": 0.5}
    summary = steps_to_half(summarize(["a", "b"], range(6)), {"a": [1] * 6, "b": [40] * 5 + [None]})
    found = verdict(summary, **changes)
    assert ("supported", None, 0.03125) == (found.verdict, found.measured, found.p_value)
    both = "1 of 12 runs did not reach it and 6 of 12 runs reached it before the first evaluation point"
    assert found.reason.startswith(both)
    figure = verdict(summary, **(changes | {"relation": "at_most", "value": 9, "others": None}))
    assert "a: 6 of 6 runs reached a validation accuracy of 50 % before the first evaluation point" == figure.reason


def test_evaluation_points_decide_nothing(study: CohortSummary) -> None:
    """Equal curves, of which one is evaluated at later steps, cannot be compared with few points, and can with many."""

    def evaluated(num_points: int) -> CohortSummary:
        def change(name: str, run: RunSummary) -> RunSummary:
            last = 110.0 if name == "a" else 40.0 if name == "b" and num_points > 3 else 100.0
            steps = last * np.arange(1, num_points + 1) / num_points
            accuracy = 0.2 + 0.6 * steps / last + 0.01 * run.seed * (name == "a")
            return replace(run, evaluation_step=steps, evaluation_accuracy=accuracy)

        return changed(study, change)

    changes = {"metric": "steps_to_accuracy", "relation": "higher", "accuracy": 0.5}
    few, many = (verdict(evaluated(num_points), **changes) for num_points in (3, 20))
    assert "not testable" == few.verdict
    assert few.reason.startswith("the runs were evaluated at different steps")
    assert ("supported", "times") == (many.verdict, many.unit)


def test_bytes_are_counted(study: CohortSummary) -> None:
    """Memory that is the same for every seed is a fact, not rounding."""
    found = verdict(study, architecture="b", others=["a"], metric="peak_memory_bytes")
    assert "supported" == found.verdict
    assert isinstance(found.measured, Estimate)
    assert pytest.approx(880 / 700) == found.measured.mean


def test_setbacks_leave_progress_out(study: CohortSummary) -> None:
    """A run that only improves has none, however fast it does."""
    curves = {"a": [0.1, 0.5, 0.9], "b": [0.5, 0.4, 0.5], "c": [0.5, 0.5, 0.5]}

    def evaluated(name: str, run: RunSummary) -> RunSummary:
        right = np.arange(60) < 60 * np.array(curves[name])[:, None]
        images = replace(run.images, validation_right=np.packbits(right, axis=1))
        return replace(run, evaluation_accuracy=right.mean(axis=1), images=images)

    summary = changed(study, evaluated)
    figure = {"metric": "accuracy_setback", "relation": "equal", "others": None}
    assert "supported" == verdict(summary, value=0.0, **figure).verdict
    assert "supported" == verdict(summary, architecture="b", value=0.05, tolerance=0.04, **figure).verdict


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


def test_two_of_one_name_are_asked_to_be_told_apart(tmp_path: Path) -> None:
    """By the name in full, which the report shows."""
    synthetic_runs(tmp_path, ["a", "b"], range(3))
    synthetic_runs(tmp_path, ["a", "b"], range(3), Study(providers={"a": "mine"}))
    (summary,) = read(tmp_path).cohorts
    assert "several bear the name a: a (mine) and a (torchvision); name one in full" == verdict(summary).reason
    assert verdict(summary, architecture="a (mine)").verdict != "not testable"


def test_disturbed_step_times_say_so(summarize: Summarize) -> None:
    """The verdict stands, with the number of runs that were."""
    summary = summarize(["a", "b"], range(3), disturbed=[("b", 1)])
    found = verdict(summary, metric="step_seconds", relation="lower")
    assert ("supported", "1 of the 6 runs compared were disturbed by other work") == (found.verdict, found.reason)


def test_every_built_in_claim_gets_a_verdict(summarize: Summarize) -> None:
    """In their order; a study of other architectures can test none of them, one that failed says so."""
    claims = load_claims()
    assert [each.id for each in claims] == [found.claim.id for found in verdicts(summarize(["mine"]), claims)]
    assert {"not testable"} == {found.verdict for found in verdicts(summarize(["mine"]), claims)}


def test_the_reference_records_bear_out_the_arithmetic() -> None:
    """Real profiles: parameters with 1000 classes, Inception's auxiliary head included, and torchsummary's totals."""
    summary = read(REFERENCE_RUNS).cohorts[0]
    found = {each.claim.id: each for each in verdicts(summary, load_claims())}
    figures = {
        "resnet152-parameters": 60_192_808,
        "wrn-parameters": 126_886_696,
        "inception-parameters": 27_161_264,
        "resnet152-memory": 1343.71,
        "wrn-memory": 1481.65,
        "inception-memory": 333.30,
    }
    assert figures == {name: round(measured(found[name]), 2) for name in figures}
    assert {"reproduced"} == {found[name].verdict for name in [*figures, "wrn-double-resnet152", "wrn-costly-flops"]}
    assert "not testable" == found["resnet152-accuracy"].verdict


def measured(found: Verdict) -> float:
    """A number without an interval."""
    assert isinstance(found.measured, float)
    return found.measured


def test_the_budget_is_a_condition(study: CohortSummary) -> None:
    """As it was given: in steps here."""
    assert 60 == CONDITIONS.budget.steps
    assert verdict(study, conditions={"budget.steps": 60}).verdict != "not testable"
