"""The rules of verdicts: which tests give which word, what is corrected, and which comparison decides."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.results.claims import Claim
from intelbench.results.verdicts import (
    Compared,
    Decision,
    compare,
    compared,
    decide,
    decide_arithmetic,
    judge_figure,
)
from intelbench.statistics import inference
from intelbench.statistics.estimates import Estimate, positive_mean_interval


def claim(**changes: Any) -> Claim:
    """That `a` is more accurate than every other one, with changes."""
    fields: dict[str, Any] = {"id": "c", "statement": "s", "source": "r", "metric": "test_accuracy"}
    fields |= {"relation": "higher", "architecture": "a"}
    return msgspec.convert(fields | changes, Claim)


def comparison(other: str, effect: float, p_value: float, p_within: float = 1.0, p_beyond: float = 1.0) -> Compared:
    """One with these p values."""
    return Compared(other, Estimate(effect, None, None, 4), effect, p_value, p_within, p_beyond)


def decision(*comparisons: Compared, **changes: Any) -> Decision:
    """The one that decides."""
    return decide(claim(**changes), comparisons)[0]


def test_all_have_to_be_surpassed_without_a_correction() -> None:
    """Three p values of 0.04, which Holm would make 0.12, support; one of 0.06 does not, and is shown."""
    ahead = [comparison(other, 0.1, 0.04) for other in "bcd"]
    assert ("supported", 0.04) == (decision(*ahead).word, decision(*ahead).p_value)
    found = decision(*ahead, comparison("e", 0.2, 0.06))
    assert ("undecided", "e", 0.06) == (found.word, found.compared.other, found.p_value)


def test_what_contradicts_is_corrected_over_the_comparisons_of_the_claim() -> None:
    """One of two with 0.03 is not enough, with 0.02 it is; its p value is the corrected one."""
    ahead = comparison("b", 0.1, 0.5)
    word = {p: decision(ahead, comparison("c", -0.1, p)) for p in (0.02, 0.03)}
    assert ("contradicted", "c", 0.04) == (word[0.02].word, word[0.02].compared.other, word[0.02].p_value)
    assert ("undecided", "c", 0.06) == (word[0.03].word, word[0.03].compared.other, word[0.03].p_value)
    assert "contradicted" == decision(comparison("c", -0.1, 0.03)).word


def test_a_difference_within_the_margin_is_equivalent_in_both_directions() -> None:
    """However significant it is; next to one that is surpassed too, but not next to one that is undecided."""
    for relation in ("higher", "lower"):
        found = decision(comparison("b", 0.001, 0.0001, 0.01), relation=relation)
        assert ("equivalent", 0.01) == (found.word, found.p_value)
    close, ahead, unclear = (comparison("b", -0.001, 0.3, 0.01), comparison("c", 0.2, 0.01), comparison("d", 0.1, 0.2))
    assert ("equivalent", "b") == (decision(ahead, close).word, decision(ahead, close).compared.other)
    assert "undecided" == decision(ahead, close, unclear).word


def test_a_claim_of_equivalence_is_supported_within_and_contradicted_beyond() -> None:
    """Each has to be within, uncorrected; what is beyond is Holm-corrected."""
    within, beyond = comparison("b", 0.0, 1.0, 0.04), comparison("c", 0.1, 0.001, 1.0, 0.02)
    equal = {"relation": "equivalent"}
    assert ("supported", 0.04) == (decision(within, **equal).word, decision(within, **equal).p_value)
    assert "supported" == decision(within, within, within, **equal).word
    found = decision(within, beyond, **equal)
    assert ("contradicted", "c", 0.04) == (found.word, found.compared.other, found.p_value)
    assert "undecided" == decision(within, within, beyond, **equal).word
    assert "undecided" == decision(comparison("b", 0.1, 0.01, 0.2, 0.2), **equal).word


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_the_opposite_claim_gets_the_opposite_word(values: list[tuple[float, float, float]]) -> None:
    """About one other; of several, what supports one contradicts the other, or is lost to the correction."""
    comparisons = [comparison(str(place), *each) for place, each in enumerate(values)]
    higher, lower = (decision(*comparisons, relation=relation).word for relation in ("higher", "lower"))
    opposites = {"supported": "contradicted", "contradicted": "supported"}
    if len(values) == 1:
        assert opposites.get(higher, higher) == lower
    assert ("supported", "supported") != (higher, lower)


@pytest.mark.parametrize(
    ("relation", "ratio", "margin", "word"),
    [
        ("higher", 1.5, None, "reproduced"),
        ("higher", 1 + 512e-10, None, "equivalent"),
        ("higher", 1.0, 0.0, "equivalent"),
        ("higher", 1 + 512e-10, 0.0, "reproduced"),
        ("higher", 0.5, None, "contradicted"),
        ("lower", 0.5, None, "reproduced"),
        ("lower", 0.99, None, "equivalent"),
        ("lower", 0.99, 0.005, "reproduced"),
        ("equivalent", 0.99, None, "reproduced"),
        ("equivalent", 1.5, None, "contradicted"),
    ],
)
def test_arithmetic_within_the_margin_is_equivalent(relation: str, ratio: float, margin: float, word: str) -> None:
    """2 % unless the claim names another; no arithmetic is supported. The least favourable of several decides."""
    exact = claim(metric="num_parameters", relation=relation, margin=margin)
    assert (word, "b") == decide_arithmetic(exact, {"b": ratio})
    better = {"higher": 9.0, "lower": 0.1, "equivalent": 1.0}[relation]
    assert (word, "b") == decide_arithmetic(exact, {"c": better, "b": ratio, "d": better})


def test_tests_of_a_table_are_over_seeds_and_images() -> None:
    """For a metric with values of images; both one-sided tests of the margin are those of its two spreads."""
    random = np.random.default_rng(0)
    first, second = (random.random((2, 4, 200)) < [[[0.9]], [[0.88]]]).astype(np.float64)
    found = compare(claim(), "b", first, second)
    inferred = inference.infer(first - second)
    assert (inferred.estimate.mean, inferred.p_value) == (found.effect, found.p_value)
    assert max(inferred.p_above(sign * found.effect, -0.01) for sign in (-1, 1)) == found.p_within
    assert min(inferred.p_above(abs(found.effect), 0.01, sides=2), 1.0) == found.p_beyond


def test_a_margin_of_a_ratio_is_a_fraction() -> None:
    """1.02 times and 1/1.02 times are equally far from 1."""
    random = np.random.default_rng(1)
    second = 1 + 0.001 * random.random(6)
    close = claim(metric="step_seconds")
    for factor, within in ((1.01, True), (1 / 1.01, True), (1.04, False), (1 / 1.04, False)):
        found = compare(close, "b", factor * second * (1 + 0.001 * random.random(6)), second)
        assert within == (found.p_within <= 0.05)
        assert within == (found.p_beyond > 0.05)


def test_seeds_that_agree_are_few_signs() -> None:
    """Five seeds that are equal show that the two are equivalent, four do not: 1 in 16 would be by chance."""
    values = np.full(5, 0.25)
    by_number = [compare(claim(metric="dead_share"), "b", values[:n], values[:n]) for n in (4, 5)]
    assert [(1.0, 1 / 16, 1.0), (1.0, 1 / 32, 1.0)] == [(c.p_value, c.p_within, c.p_beyond) for c in by_number]
    assert "equal in every seed" == by_number[0].note


def test_one_table_has_no_test() -> None:
    """One seed supports nothing and contradicts nothing."""
    inferred = inference.infer(np.ones((1, 5)))
    assert inferred is not None
    assert "undecided" == decision(compared("b", inferred, 0.01)).word


@pytest.mark.parametrize(
    ("relation", "value", "tolerance", "runs", "word"),
    [
        ("equal", 2.0, 0.3, 1, "supported"),
        ("equal", 2.0, 0.1, 1, "undecided"),
        ("equal", 2.5, 0.0, 1, "undecided"),
        ("equal", 2.5, 0.0, 1000, "contradicted"),
        ("equal", 2.5, 0.25, 1000, "undecided"),
        ("equal", 2.7, 0.0, 1, "contradicted"),
        ("equal", 1.3, 0.0, 1, "contradicted"),
        ("at_least", 1.7, 0.0, 1, "supported"),
        ("at_least", 2.5, 0.0, 1, "undecided"),
        ("at_least", 2.5, 0.0, 1000, "contradicted"),
        ("at_least", 2.7, 0.0, 1, "contradicted"),
        ("at_most", 2.3, 0.0, 1, "supported"),
        ("at_most", 1.5, 0.0, 1, "undecided"),
        ("at_most", 1.3, 0.0, 1, "contradicted"),
    ],
)
def test_a_figure_of_one_run_is_judged_by_a_prediction(
    relation: str, value: float, tolerance: float, runs: int, word: str
) -> None:
    """Four seeds with the mean 2: its interval is [1.74, 2.26], that of one further run [1.42, 2.58]."""
    inferred = inference.infer_from_seeds(np.array([1.8, 2.0, 2.2, 2.0]))
    figure = claim(metric="step_seconds", relation=relation, value=value, tolerance=tolerance, runs=runs)
    found, mean, predicted = judge_figure(figure, inferred)
    assert word == found
    assert (1.74, 2.26) == (round(mean.low, 2), round(mean.high, 2))
    if runs == 1:
        assert (1.42, 2.58) == (round(predicted.low, 2), round(predicted.high, 2))


def test_a_positive_figure_has_intervals_of_its_logarithm() -> None:
    """As in the tables: neither the interval of the mean nor that of one further run reaches 0."""
    values = np.array([0.5, 1.0, 3.5])
    inferred = inference.infer_positive_from_seeds(values)
    assert inferred is not None
    _, mean, predicted = judge_figure(claim(metric="step_seconds", relation="equal", value=1.0), inferred)
    expected = positive_mean_interval(values)
    assert expected is not None
    assert (expected.low, expected.high) == pytest.approx((mean.low, mean.high))
    assert np.sqrt(1 + 3) * np.log(mean.high / mean.mean) == pytest.approx(np.log(predicted.high / mean.mean))
    assert predicted.low * predicted.high == pytest.approx(mean.mean**2)
    assert inference.infer_positive_from_seeds(values - 0.5) == inference.infer_from_seeds(values - 0.5)


def test_a_perfect_accuracy_is_no_certainty() -> None:
    """No error on 60 images in three seeds: a published 99 % is no contradiction, since the intervals are Wilson's."""
    figure = claim(relation="equal", value=0.99, tolerance=0.0)
    inferred = inference.infer(np.ones((3, 60)))
    assert inferred is not None
    found, mean, predicted = judge_figure(figure, inferred, 60)
    assert "undecided" == found
    assert predicted.low < mean.low < 0.99 < mean.high == predicted.high == 1
    assert "contradicted" == judge_figure(figure, inferred)[0]
