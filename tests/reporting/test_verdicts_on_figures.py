"""Verdicts on published figures, factors and arithmetic: each word is reached, by the rule that is said."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.records.profiles import TorchsummaryEstimate
from intelbench.reporting.verdicts import Verdict, verdicts
from intelbench.results.claims import load_claims
from intelbench.results.metric import mean
from intelbench.results.metrics import METRICS
from intelbench.results.runs import RunSummary
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate
from tests.reporting.claimed import changed, verdict, with_values
from tests.synthetic import Summarize, failure

REFERENCE_RUNS = Path(__file__).parents[2] / "results" / "reference" / "runs"


def test_a_published_figure_is_judged_by_two_intervals(study: CohortSummary) -> None:
    """Of the mean, [1.76, 2.28], and of one further run, [1.50, 2.67]; the rule says how, and has the second."""
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
        "95 % prediction interval of such a figure, 2.00 [1.50, 2.67]; else undecided."
    )
    assert rule == found.rule
    of_many = verdict(summary, value=2.5, tolerance=0.1, runs=1000, **figure)
    assert "contradicted" == of_many.verdict
    assert "The figure is a requirement: contradicted where it lies outside the interval of the mean" in of_many.rule
    of_some = verdict(summary, value=2.5, tolerance=0.1, runs=900, **figure)
    assert "that of 900 training runs: contradicted" in of_some.rule


def test_a_figure_has_the_interval_of_the_tables(study: CohortSummary) -> None:
    """Claims and tables of one report say the same of a metric, whatever kind of interval it has."""
    subject = next(each for each in study.finished if each.name == "a")
    several = 0
    for metric in [entry.value for entry in METRICS.entries.values()]:
        expected = mean(metric, subject)
        if metric.compared == "exact" or expected is None or expected.low is None:
            continue
        measured = verdict(study, metric=metric.name, relation="equal", value=0.5, others=None).measured
        assert isinstance(measured, Estimate), metric.name
        assert (expected.mean, expected.low, expected.high) == pytest.approx(
            (measured.mean, measured.low, measured.high), rel=1e-4, abs=1e-6
        ), metric.name
        assert str(measured.low) != "-0.0", metric.name
        several += 1
    assert several > 30


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


def test_records_without_a_profile_have_no_arithmetic(study: CohortSummary) -> None:
    """The reason in the record is passed on."""

    def unprofiled(name: str, run: RunSummary) -> RunSummary:
        return replace(run, record=msgspec.structs.replace(run.record, profile=None, profile_absent="it crashed"))

    found = verdict(changed(study, unprofiled), metric="num_parameters")
    assert "the records of a hold no profile: it crashed" == found.reason


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
