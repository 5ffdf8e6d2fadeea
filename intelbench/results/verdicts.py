"""The rules by which published claims are judged: numbers in, a word out. `docs/claims.md` states them.

Shapes: n seeds, N images. A metric that has values of images is a table of n x N, any other metric n numbers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.errors import plural
from intelbench.results.claims import Claim
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.reaching import points_decide
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, same_images
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate
from intelbench.statistics.inference import Inferred
from intelbench.statistics.prediction import predict
from intelbench.statistics.shares import share_estimate

Word = Literal["supported", "contradicted", "equivalent", "reproduced", "undecided", "not testable"]
_WORST_FIRST: tuple[Word, ...] = ("contradicted", "undecided", "equivalent", "supported", "reproduced")
"""The word of a claim about several others is the first that any of them has."""
_NO_SPREAD = 1e-9
"""Standard error over effect, up to which all seeds differ by the same amount but for rounding."""


class UntestableError(Exception):
    """Reason why these records cannot judge a claim."""


@dataclass(frozen=True)
class Compared:
    """The architecture of a claim, or its pair of classes, compared with one other."""

    other: str
    estimate: Estimate | None
    """Difference or ratio; `None` where a run has a place in the order but no number."""
    effect: float
    """Difference, or logarithm of the ratio: above 0 where the claim's own is higher."""
    p_value: float
    """Two-sided p value of no difference."""
    p_within: float
    """P value of a difference of the margin or more: two one-sided tests."""
    p_beyond: float
    """Two-sided p value of a difference of at most the margin."""
    note: str = ""
    """What else a reader must know."""
    level: float = SIGNIFICANCE
    """Significance level; of the look of the pair, where seeds were added in looks."""
    is_reported: bool = False
    """Whether the p values are those of the report's differences, corrected over all pairs of the cohort."""
    by_sign: bool = False
    """Whether the p values are those of sign tests."""
    num_seeds: int = 0
    """Seeds that it is over; 0 where it says nothing of its own."""


@dataclass(frozen=True)
class Decision:
    """The word that one comparison gives a claim."""

    word: Word
    compared: Compared
    p_value: float
    """P value of the test that gave the word, or failed to give a better one."""
    favour: tuple[float, float]
    """Lower where the comparison is less favourable to the claim."""


def observe(claim: Claim, *architectures: ArchitectureSummary) -> list[NDArray[Any]]:
    """Return the metric of each architecture on the seeds that all of these have: n numbers, or a table of n x N.

    A table of right and wrong answers stays one of truth values.

    Raises:
        UntestableError: no run has a value, two architectures have less than two seeds in common, the images differ, or
            the evaluation points decide which of two architectures needs fewer steps.
    """
    runs = [_observed(claim, architecture) for architecture in architectures]
    seeds = sorted(set.intersection(*map(set, runs)))
    if len(architectures) > 1 and len(seeds) < 2:
        names = " and ".join(architecture.name for architecture in architectures)
        raise UntestableError(f"{names} have {plural(len(seeds), 'seed')} in common, of two")
    chosen = [of_architecture[seed] for of_architecture in runs for seed in seeds]
    split, shapes = METRICS.get(claim.metric).split, {values.shape for _, values in chosen}
    if shapes != {()} and (len(shapes) > 1 or not same_images([run for run, _ in chosen], split)):
        raise UntestableError("the runs were not evaluated on the same images")
    chosen_runs = [[of_architecture[seed][0] for seed in seeds] for of_architecture in runs]
    if claim.accuracy is not None and points_decide(chosen_runs[0], chosen_runs[-1], claim.accuracy):
        raise UntestableError(
            "the runs were evaluated at different steps, and the evaluation points are too far apart to say which "
            "needs fewer"
        )
    return [np.stack([of_architecture[seed][1] for seed in seeds]) for of_architecture in runs]


def _observed(claim: Claim, architecture: ArchitectureSummary) -> dict[int, tuple[RunSummary, NDArray[Any]]]:
    """Return the runs that have the metric, with their values, by seed."""
    found = {}
    for run in architecture.runs:
        value = _value(claim, run)
        if value is not None and value.size and (claim.accuracy is not None or np.isfinite(value).all()):
            found[run.seed] = run, value
    if not found:
        raise UntestableError(f"no run of {architecture.name} tells it")
    return found


def _value(claim: Claim, run: RunSummary) -> NDArray[Any] | None:
    """Return the values of the N images of a run, or one number; infinity where it did not reach an accuracy."""
    metric = METRICS.get(claim.metric)
    is_number = metric.name in run.of_logits and run.of_logits[metric.name].ndim == 0
    value: NDArray[np.generic] | float | None
    if metric.at_accuracy and claim.accuracy is not None:
        value = metric.at_accuracy(run, claim.accuracy)
    else:
        value = metric.per_image(run) if metric.per_image and not is_number else metric.value(run)
    if value is None:
        return None
    values = np.asarray(value)
    return values if values.dtype == np.bool_ else values.astype(np.float64)


def infer_mean(values: NDArray[Any], *, by_ratio: bool = False) -> Inferred:
    """Return the mean of n finite numbers or of a table of n x N; `by_ratio` where numbers are compared by ratio."""
    of_numbers = inference.infer_positive_from_seeds if by_ratio else inference.infer_from_seeds
    inferred = inference.infer(values) if values.ndim == 2 else of_numbers(values)
    assert inferred is not None
    return inferred


def num_independent(metric: Metric, architecture: ArchitectureSummary, table: NDArray[Any]) -> float | None:
    """Return the number of independent images of which the mean of a table (n x N) is a share; `None` if it is none."""
    if table.dtype == np.bool_:
        return float(table.shape[1])
    return metric.num_independent(architecture.runs[0]) if metric.num_independent and table.ndim == 2 else None


def infer_difference(first: NDArray[Any], second: NDArray[Any], limit: float) -> Inferred:
    """Return the mean difference of n finite numbers or of tables of n x N, of which `limit` is the largest."""
    difference = first.astype(np.float64) - second
    if difference.ndim == 1:
        return infer_mean(difference)
    images = inference.Images.of(np.stack([first, second])) if np.isfinite(limit) else None
    return inference.infer(difference, -limit, limit, images=images)


def infer_ratio(first: NDArray[Any], second: NDArray[Any]) -> Inferred:
    """Return the ratio of two metrics on the same seeds.

    Raises:
        UntestableError: a value, or the mean of a table, is not above 0.
    """
    tables = first.ndim == 2
    inferred = inference.infer_ratio_of_means(first, second) if tables else inference.infer_ratio(first, second)
    if inferred is None:
        raise UntestableError("there is no ratio: a value is not above 0")
    return inferred


def compare(claim: Claim, other: str, first: NDArray[Any], second: NDArray[Any]) -> Compared:
    """Compare the architecture of a claim with one other on n seeds: their numbers, or their tables of n x N.

    A run that never reached an accuracy is later than all that did, and one that had it before its first evaluation
    point is sooner than all that had it after theirs. Where every seed differs by the same amount, that
    is rounding and no certainty, unless bytes are counted: the p values are then those of sign tests.

    Raises:
        UntestableError: there is no ratio.
    """
    metric = METRICS.get(claim.metric)
    if unknown := without_number(np.array([first, second])):
        return _compared_by_order(claim, other, first, second, unknown)
    ratio = metric.change == "ratio"
    margin = math.log1p(claim.largest_equivalent) if ratio else claim.largest_equivalent
    largest = metric.limits[1] - metric.limits[0]
    inferred = infer_ratio(first, second) if ratio else infer_difference(first, second, largest)
    found = compared(other, inferred, margin)
    if inferred.error is None or inferred.error > _NO_SPREAD * abs(found.effect) or metric.unit == "bytes":
        return found
    p_value = min(1.0, 2.0 ** (1 - len(first)))  # the smallest of a sign test
    return replace(
        found,
        p_value=p_value if found.effect else 1.0,
        p_within=p_value / 2 if abs(found.effect) < margin else 1.0,
        p_beyond=p_value if abs(found.effect) > margin else 1.0,
        note=_constant(first, second),
        by_sign=True,
    )


def _constant(first: NDArray[Any], second: NDArray[Any]) -> str:
    """Say that all seeds differ by the same amount, or not at all."""
    if not np.array_equal(first, second):
        return "every seed differs by the same amount"
    return "equal in every seed" if first.any() else "0 in every run of both"


def compared(other: str, inferred: Inferred, margin: float) -> Compared:
    """Return a comparison with its tests: of no difference, and of one within or beyond the margin."""
    effect = inferred.location
    tests = inferred.p_value, inferred.p_equivalent(margin), inferred.p_above(abs(effect), margin, sides=2)
    p_value, p_within, p_beyond = (1.0 if p is None else min(p, 1.0) for p in tests)
    return Compared(other, inferred.estimate, effect, p_value, p_within, p_beyond)


def _compared_by_order(
    claim: Claim, other: str, first: NDArray[np.float64], second: NDArray[np.float64], unknown: str
) -> Compared:
    """Compare by a sign test two architectures of which some runs have no number; `unknown` says which."""
    if claim.relation == "equivalent":
        raise UntestableError(f"{unknown}, so there is no ratio")
    more, less = (first > second).sum(), (first < second).sum()
    p_value = float(inference.sign_p_values(more, less))
    note = f"{unknown}, so there is no ratio"
    return Compared(other, None, float(np.sign(more - less)), p_value, 1.0, p_value, note, by_sign=True)


def without_number(steps: NDArray[np.float64], accuracy: str = "it") -> str:
    """Say how many runs have no number of steps to an accuracy, and why; empty where all have one."""
    late, early = int(np.isposinf(steps).sum()), int(np.isneginf(steps).sum())
    parts = [f"{late} of {steps.size} runs did not reach {accuracy}"] if late else []
    parts += [f"{early} of {steps.size} runs reached {accuracy} before the first evaluation point"] if early else []
    return " and ".join(parts)


def decide(claim: Claim, comparisons: Sequence[Compared]) -> list[Decision]:
    """Judge a claim by each comparison, least favourable first: the word of the first is that of the claim.

    A claim holds if it holds for every comparison, which needs no correction for their number (an intersection-union
    test; Berger, 1982). It is contradicted if one comparison contradicts it, so these p values are Holm-corrected, over
    the comparisons of this claim alone. P values of the report are corrected over all pairs of the cohort already.
    """
    equivalence = claim.relation == "equivalent"
    p_values = [each.p_beyond if equivalence else each.p_value for each in comparisons]
    if not all(each.is_reported for each in comparisons):
        p_values = inference.holm(np.array(p_values)).tolist()
    sign = 1 if claim.relation == "higher" else -1
    decisions = [
        _equivalence(each, p_holm) if equivalence else _direction(each, p_holm, sign)
        for each, p_holm in zip(comparisons, p_values, strict=True)
    ]
    return sorted(decisions, key=lambda each: (_WORST_FIRST.index(each.word), each.favour))


def _direction(each: Compared, p_holm: float, sign: int) -> Decision:
    """Judge by one comparison that the claim's own is higher (sign 1) or lower (-1) than the other."""
    ahead = sign * each.effect > 0
    p_value = each.p_value if ahead else p_holm
    favour = (1 - p_value if ahead else p_value - 1, sign * each.effect)
    if each.p_within <= each.level:
        return Decision("equivalent", each, each.p_within, favour)
    if p_value > each.level or each.effect == 0:
        return Decision("undecided", each, p_value, favour)
    return Decision("supported" if ahead else "contradicted", each, p_value, favour)


def _equivalence(each: Compared, p_holm: float) -> Decision:
    """Judge by one comparison that the two differ by less than the margin."""
    favour = (-each.p_within, -abs(each.effect))
    if each.p_within <= each.level:
        return Decision("supported", each, each.p_within, favour)
    if p_holm <= each.level:
        return Decision("contradicted", each, p_holm, favour)
    return Decision("undecided", each, each.p_within, favour)


def decide_arithmetic(claim: Claim, ratios: Mapping[str, float]) -> tuple[Word, str]:
    """Judge a claim by exact ratios to others; return the word, and the other that is least favourable to the claim."""
    words = {name: _exactly(claim, math.log(ratio)) for name, ratio in ratios.items()}
    other = min(words, key=lambda name: (_WORST_FIRST.index(words[name][0]), words[name][1]))
    return words[other][0], other


def _exactly(claim: Claim, effect: float) -> tuple[Word, float]:
    """Return the word for the logarithm of one exact ratio, and how much the ratio is in favour of the claim."""
    within = abs(effect) <= math.log1p(claim.largest_equivalent)
    if claim.relation == "equivalent":
        return "reproduced" if within else "contradicted", -abs(effect)
    ahead = effect if claim.relation == "higher" else -effect
    return "equivalent" if within else "reproduced" if ahead > 0 else "contradicted", ahead


def reproduces(claim: Claim, figure: float) -> bool:
    """Return whether an exact figure is the published one, within the tolerance."""
    least, most = _accepted(claim)
    return least <= figure <= most


def judge_figure(claim: Claim, inferred: Inferred, num_images: float | None = None) -> tuple[Word, Estimate, Estimate]:
    """Judge a published figure; return the word, the mean or ratio, and the same with its prediction interval.

    What is said of the architecture holds if the mean satisfies it. A publication, however, reports a few runs, often
    one: its figure is contradicted only if that number of further runs would not give it.

    `num_images` is the number of independent images, if the mean is a share of them.

    Raises:
        UntestableError: one seed has no interval.
    """
    predicted = predict(inferred, None if claim.is_requirement else claim.runs, num_images)
    if predicted is None:
        raise UntestableError("one finished seed gives no interval; it takes two")
    limits = (0.0, np.inf) if claim.others else METRICS.get(claim.metric).limits
    mean = inferred.estimate if num_images is None else share_estimate(inferred, num_images)
    low, high = _interval(mean, *limits)
    lowest, highest = _interval(predicted, *limits)
    least, most = _accepted(claim)
    word: Word = "contradicted" if highest < least or most < lowest else "undecided"
    if least <= low and high <= most:
        word = "supported"
    return word, replace(mean, low=low, high=high), replace(predicted, low=lowest, high=highest)


def _interval(estimate: Estimate, lower: float, upper: float) -> tuple[float, float]:
    """Return the interval of an estimate that has one, cut to [lower, upper]."""
    assert estimate.low is not None
    assert estimate.high is not None
    return max(estimate.low, lower), min(estimate.high, upper)


def _accepted(claim: Claim) -> tuple[float, float]:
    """Return the smallest and the largest figure that the claim accepts."""
    assert claim.value is not None
    least = -np.inf if claim.relation == "at_most" else claim.value - claim.tolerance
    most = np.inf if claim.relation == "at_least" else claim.value + claim.tolerance
    return least, most
