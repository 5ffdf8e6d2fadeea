"""Published claims compared with a cohort: what was measured, by which rule it was judged, and the verdict.

Shapes: n seeds, N test images. `docs/CLAIMS.md` states the rules. A verdict's texts are plain, not yet Markdown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.reporting import narrative
from intelbench.reporting.formatting import count, fact, listed, percent, plural
from intelbench.results.claims import Claim, differing_conditions, load_claims
from intelbench.results.metric import Metric, differences
from intelbench.results.metrics import METRICS
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics import estimates as statistics
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate

Word = Literal["supported", "reproduced", "contradicted", "inconclusive", "not testable here"]
PUBLISHED_CLASSES = {"buildings", "forest", "glacier", "mountain", "sea", "street"}
"""Of the data that the published claims are about."""
_MAX_CONDITIONS = 4
_NO_PAIR = -1
"""Stands for an image that was recognised, where each confused pair of classes has a number."""


@dataclass(frozen=True)
class Verdict:
    """What the records say of one claim."""

    claim: Claim
    verdict: Word
    measured: Estimate | float | None = None
    """The claim's quantity; of a comparison the difference or ratio to `against`. A number where it is exact."""
    unit: str = ""
    """The metric's; of a comparison `times` (ratio), `points` (difference of shares) or `difference`."""
    against: str | None = None
    """Of several others, the one that decides: least favourable to the claim."""
    p_value: float | None = None
    """Two-sided, corrected as `rule` says; `None` where nothing was tested."""
    rule: str = ""
    """How it was judged; empty where it was not."""
    reason: str = ""
    """Why it could not be judged, or what else a reader must know."""


@dataclass(frozen=True)
class _Compared:
    """The claim's architecture, or pair of classes, against one other."""

    other: str
    estimate: Estimate | None
    """Of the difference or ratio; `None` where a run has a place in the order but no number."""
    effect: float
    """Above 0 where the claim's own is higher."""
    p_value: float
    note: str = ""
    """What else a reader must know."""


class _UntestableError(Exception):
    """Why a claim cannot be judged by these records."""


def claims_about(summary: CohortSummary, chosen: Sequence[Claim] | None) -> Sequence[Claim]:
    """Return the claims to check on a cohort: the chosen ones, or else the published ones where its data are theirs."""
    if chosen is not None:
        return chosen
    return load_claims() if set(summary.data.class_names) == PUBLISHED_CLASSES else ()


def verdicts(summary: CohortSummary, claims: Sequence[Claim]) -> list[Verdict]:
    """Judge each claim by the runs of one cohort, in the order of the claims."""
    judged = []
    for claim in claims:
        try:
            _require_conditions(summary, claim)
            judged.append(_judge(summary, claim))
        except _UntestableError as error:
            judged.append(Verdict(claim, "not testable here", reason=str(error)))
    return judged


def _judge(summary: CohortSummary, claim: Claim) -> Verdict:
    metric = METRICS.get(claim.metric)
    exact = metric.compared == "exact"
    subject = _architecture(summary, claim.architecture, exact)
    others = _others(summary, claim, subject, exact)
    if metric.compared == "confusion":
        return _confusion(summary, claim, subject)
    if exact:
        return _exact(claim, subject, others)
    if (claim.comparative or others) and not summary.cohort.fairness.identical:
        raise _UntestableError("the runs did not demonstrably see the same batches, so nothing may be compared")
    if not claim.comparative:
        verdict = _factor(claim, subject, others[0]) if others else _absolute(claim, subject)
    elif metric.compared == "images":
        verdict = _by_image(summary, claim, subject, others)
    else:
        verdict = _by_seed(claim, subject, others)
    return _with_disturbances(summary, verdict, [subject, *others]) if claim.metric == "step_seconds" else verdict


def _require_conditions(summary: CohortSummary, claim: Claim) -> None:
    differing = [
        f"{key} = {fact(required)} (here {'none' if here is None else fact(here)})"
        for key, (required, here) in differing_conditions(claim, summary.cohort.records).items()
    ]
    if differing:
        more = len(differing) - _MAX_CONDITIONS
        shown = [*differing[:_MAX_CONDITIONS], *([f"and {plural(more, 'other')}"] if more > 0 else [])]
        raise _UntestableError(f"it is about other conditions: {'; '.join(shown)}")


def _architecture(summary: CohortSummary, name: str, exact: bool) -> ArchitectureSummary:
    """Return the architecture of that name; arithmetic needs no finished run of it."""
    matching = [each for each in summary.architectures if name in (each.name, each.records[0].spec.architecture)]
    if not matching:
        raise _UntestableError(f"{name} did not run")
    if len(matching) > 1:
        raise _UntestableError(
            f"several bear the name {name}: {listed(each.name for each in matching)}; name one in full"
        )
    if not matching[0].runs and not exact:
        raise _UntestableError(f"{name} has no finished run: {narrative.failed_runs(matching[0])}")
    return matching[0]


def _others(
    summary: CohortSummary, claim: Claim, subject: ArchitectureSummary, exact: bool
) -> list[ArchitectureSummary]:
    """Return the architectures that a claim names, or every other finished one if a comparison names none."""
    if claim.others is not None:
        return [_architecture(summary, name, exact) for name in claim.others]
    if not claim.comparative or claim.classes:
        return []
    others = [each for each in summary.architectures if each is not subject and (each.runs or exact)]
    if not others:
        raise _UntestableError("no other architecture has a finished run")
    return others


def _exact(claim: Claim, subject: ArchitectureSummary, others: Sequence[ArchitectureSummary]) -> Verdict:
    """Judge a claim by arithmetic, which needs no test."""
    rule = "Arithmetic on the network as it is defined: exact, without a test, and no measurement of a run."
    metric = METRICS.get(claim.metric)
    own, unit = _counted(metric, subject), "times" if others else metric.unit
    ratios = {other.name: own / _counted(metric, other) for other in others}
    if not claim.comparative:
        measured = next(iter(ratios.values()), own)
        word: Word = "reproduced" if _meets(claim, measured, measured) == "supported" else "contradicted"
        return Verdict(claim, word, measured, unit, next(iter(ratios), None), rule=rule)
    sign = 1 if claim.relation == "higher" else -1
    against = min(ratios, key=lambda name: sign * ratios[name])
    word = "reproduced" if sign * (ratios[against] - 1) > 0 else "contradicted"
    return Verdict(claim, word, ratios[against], unit, against, rule=rule)


def _counted(metric: Metric, architecture: ArchitectureSummary) -> float:
    profile = architecture.profile
    if profile is None:
        why = next(filter(None, (record.profile_absent for record in architecture.records)), "no reason was recorded")
        raise _UntestableError(f"the records of {architecture.name} hold no profile: {why}")
    value = metric.of_profile(profile) if metric.of_profile else None
    if not value:
        why = profile.absent.get(metric.profile_field, "no reason was recorded")
        raise _UntestableError(f"the profile of {architecture.name} lacks it: {why}")
    return float(value)


def _absolute(claim: Claim, subject: ArchitectureSummary) -> Verdict:
    """Judge a published figure by an interval over seeds."""
    metric, values = METRICS.get(claim.metric), _values(claim, subject)
    estimate = statistics.mean_interval(list(values.values()), *metric.limits)
    if metric.per_image:
        estimate = metric.of(subject)  # its interval is over the images too
    if estimate is None:
        raise _UntestableError(_unreached(claim, subject, values) or f"no run of {subject.name} tells it")
    return _judged(claim, estimate, metric.unit, None)


def _factor(claim: Claim, subject: ArchitectureSummary, other: ArchitectureSummary) -> Verdict:
    """Judge a published factor by a ratio's interval, paired by seed."""
    first, second = _values(claim, subject), _values(claim, other)
    reason = _unreached(claim, subject, first) or _unreached(claim, other, second)
    if reason:
        raise _UntestableError(reason)
    inferred = inference.infer_ratio(*_aligned(subject, other, first, second)[1:])
    if inferred is None:
        raise _UntestableError("there is no ratio: a value is not above 0")
    return _judged(claim, inferred.estimate, "times", other.name)


def _judged(claim: Claim, estimate: Estimate, unit: str, against: str | None) -> Verdict:
    if estimate.low is None or estimate.high is None:
        raise _UntestableError("one finished seed gives no interval; it takes two")
    rule = (
        f"95 % interval of the {'ratio, paired' if against else 'mean'} over {estimate.n} seeds, compared with "
        "the published figure and its tolerance: supported within, contradicted wholly outside, else inconclusive."
    )
    return Verdict(claim, _meets(claim, estimate.low, estimate.high), estimate, unit, against, rule=rule)


def _meets(claim: Claim, low: float, high: float) -> Word:
    assert claim.value is not None
    least = -np.inf if claim.relation == "at_most" else claim.value - claim.tolerance
    most = np.inf if claim.relation == "at_least" else claim.value + claim.tolerance
    if least <= low and high <= most:
        return "supported"
    return "contradicted" if high < least or most < low else "inconclusive"


def _by_image(
    summary: CohortSummary, claim: Claim, subject: ArchitectureSummary, others: Sequence[ArchitectureSummary]
) -> Verdict:
    """Judge a comparison of means over the test images by pairs, as the report's ranks are."""
    metric = METRICS.get(claim.metric)
    place = {each.name: index for index, each in enumerate(summary.finished)}
    pairs = {(pair.first, pair.second): pair for pair in differences(metric, summary)}
    compared = []
    for other in others:
        first, second = place[subject.name], place[other.name]
        pair = pairs.get((first, second)) or pairs.get((second, first))
        if pair is None or pair.p_holm is None:
            raise _UntestableError("fewer than two seeds were finished by both architectures, and tested on images")
        difference = pair.difference if pair.first == first else -pair.difference
        compared.append(_Compared(other.name, difference, difference.mean, pair.p_holm))
    num_images, num_tested = len(subject.runs[0].test_ids), sum(pair.p_holm is not None for pair in pairs.values())
    num_seeds = listed(dict.fromkeys(str(each.estimate.n) for each in compared if each.estimate))
    is_number = any(run.of_logits[metric.name].ndim == 0 for run in subject.runs if metric.name in run.of_logits)
    images = "" if is_number else f" × {num_images:,} test images"
    rule = _t_test_rule(f"{num_seeds} seeds{images}", "the difference")
    rule = f"{rule}, Holm-corrected over {plural(num_tested, 'pair')} as the ranks are."
    return _decided(claim, compared, metric.change, rule)


def _by_seed(claim: Claim, subject: ArchitectureSummary, others: Sequence[ArchitectureSummary]) -> Verdict:
    """Judge a comparison of values of runs, paired over the seeds that both have."""
    metric, own = METRICS.get(claim.metric), _values(claim, subject)
    aligned = [_aligned(subject, other, own, _values(claim, other)) for other in others]
    if not any(np.isfinite([first, second]).any() for _, first, second in aligned):
        assert claim.accuracy is not None
        raise _UntestableError(f"no run reached a validation accuracy of {percent(claim.accuracy, 0)} in its budget")
    compared = _holm([_pair(claim, *each) for each in aligned])
    num_seeds = listed(dict.fromkeys(str(len(first)) for _, first, _ in aligned))
    ratio = metric.compared == "ratio"
    rule = _t_test_rule(f"{num_seeds} seeds", "the logarithm of the ratio" if ratio else "the difference")
    if len(compared) > 1:
        rule = f"{rule}, Holm-corrected over {len(compared)} comparisons"
    unit = "times" if ratio else metric.change
    return _decided(claim, compared, unit, f"{rule}.")


def _pair(claim: Claim, other: str, first: NDArray[np.float64], second: NDArray[np.float64]) -> _Compared:
    """Compare two architectures on n seeds. A run that never reached an accuracy is later than all that did."""
    metric, never = METRICS.get(claim.metric), int(np.isinf([first, second]).sum())
    if never:
        more, less = (first > second).sum(), (first < second).sum()
        p_value = float(inference.sign_p_values(more, less))
        note = f"{never} of {2 * len(first)} runs did not reach it, so this is a sign test and there is no ratio"
        return _Compared(other, None, float(np.sign(more - less)), p_value, note)
    ratio = metric.compared == "ratio"
    inferred = inference.infer_ratio(first, second) if ratio else inference.infer_from_seeds(first - second)
    if inferred is None or inferred.p_value is None or inferred.error is None:
        raise _UntestableError("there is no ratio: a value is not above 0")
    effect = float(np.log(inferred.estimate.mean)) if ratio else inferred.estimate.mean
    if np.array_equal(first, second):
        note = "equal in every seed" if first.any() else "0 in every run of both"
        return _Compared(other, inferred.estimate, 0.0, 1.0, note)
    if (
        inferred.error <= 1e-9 * abs(effect) and metric.unit != "bytes"
    ):  # no spread is rounding, unless bytes are counted
        note = "every seed differs by the same amount, so this is a sign test"
        return _Compared(other, inferred.estimate, effect, inference.smallest_sign_p_value(len(first)), note)
    return _Compared(other, inferred.estimate, effect, inferred.p_value)


def _confusion(summary: CohortSummary, claim: Claim, subject: ArchitectureSummary) -> Verdict:
    """Judge each claimed pair of classes against every other one, on the same seeds and images."""
    names = summary.data.class_names
    missing = sorted({name for pair in claim.classes for name in pair if name not in names})
    if missing:
        raise _UntestableError(f"the data have no class {listed(missing)}")
    if len(subject.runs) < 2 or not subject.same_images:
        raise _UntestableError(f"{subject.name} has no two finished runs that were tested on the same images")
    pairs = _confused(subject.runs, len(names))
    places = [sorted(map(names.index, pair)) for pair in claim.classes]
    claimed = [first * len(names) + second for first, second in places]
    others = [pair for pair in np.unique(pairs).tolist() if pair not in (_NO_PAIR, *claimed)] or [_NO_PAIR - 1]
    compared = []
    for pair in claimed:
        for other in others:
            inferred = inference.infer((pairs == pair).astype(np.int8) - (pairs == other), -1, 1)
            assert inferred is not None and inferred.p_value is not None
            between = f"{_pair_name(pair, names)} against {_pair_name(other, names)}"
            compared.append(_Compared(between, inferred.estimate, inferred.estimate.mean, inferred.p_value))
    rule = _t_test_rule(f"{len(subject.runs)} seeds × {count(pairs.shape[1])} test images", "the difference of shares")
    return _decided(claim, _holm(compared), "points", f"{rule}, Holm-corrected over {len(compared)} comparisons.")


def _confused(runs: Sequence[RunSummary], num_classes: int) -> NDArray[np.int64]:
    """Return the number of the pair of classes that an image was confused within (n x N): lower x classes + higher."""
    labels = runs[0].test_labels.astype(np.int64)
    predicted = np.array([run.test_predictions for run in runs], dtype=np.int64)
    pairs = np.minimum(labels, predicted) * num_classes + np.maximum(labels, predicted)
    return np.where(predicted == labels, _NO_PAIR, pairs)


def _pair_name(pair: int, names: Sequence[str]) -> str:
    return "any other" if pair < 0 else "/".join(names[place] for place in divmod(pair, len(names)))


def _decided(claim: Claim, compared: Sequence[_Compared], unit: str, rule: str) -> Verdict:
    """Judge: supported if all comparisons are significant as claimed, contradicted if one is the other way round."""
    sign = 1 if claim.relation == "higher" else -1
    significant = [each for each in compared if each.p_value <= SIGNIFICANCE and each.effect]
    opposed = [each for each in significant if sign * each.effect < 0]
    word: Word = "contradicted" if opposed else "supported" if len(significant) == len(compared) else "inconclusive"
    shown = min(opposed or compared, key=lambda each: sign * each.effect)
    counted = f"significantly so in {len(significant) - len(opposed)} of {len(compared)} comparisons"
    note = shown.note or (counted if len(compared) > 1 else "")
    return Verdict(claim, word, shown.estimate, unit, shown.other, shown.p_value, rule, note)


def _holm(compared: Sequence[_Compared]) -> Sequence[_Compared]:
    corrected = inference.holm(np.array([each.p_value for each in compared])).tolist()
    return [replace(each, p_value=p_value) for each, p_value in zip(compared, corrected, strict=True)]


def _aligned(
    subject: ArchitectureSummary, other: ArchitectureSummary, first: Mapping[int, float], second: Mapping[int, float]
) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    """Return the other's name, and the values of both on the n seeds that both have."""
    seeds = sorted(first.keys() & second.keys())
    for architecture, values in ((subject, first), (other, second)):
        if not values:
            raise _UntestableError(f"no run of {architecture.name} tells it")
    if len(seeds) < 2:
        raise _UntestableError(f"{subject.name} and {other.name} have {plural(len(seeds), 'seed')} in common, of two")
    return other.name, np.array([first[seed] for seed in seeds]), np.array([second[seed] for seed in seeds])


def _values(claim: Claim, architecture: ArchitectureSummary) -> dict[int, float]:
    """Return the metric by seed, as far as runs have it; infinitely many steps where an accuracy was not reached."""
    values = {run.seed: _value(claim, run) for run in architecture.runs}
    return {seed: value for seed, value in values.items() if value is not None}


def _value(claim: Claim, run: RunSummary) -> float | None:
    metric = METRICS.get(claim.metric)
    if metric.at_accuracy and claim.accuracy is not None:
        return metric.at_accuracy(run, claim.accuracy)
    return metric.value(run)


def _unreached(claim: Claim, architecture: ArchitectureSummary, values: Mapping[int, float]) -> str:
    """Say how many runs never reached the accuracy, if any."""
    never = sum(not np.isfinite(value) for value in values.values())
    if not never or claim.accuracy is None:
        return ""
    runs = f"{never} of {plural(len(values), 'run')} of {architecture.name}"
    return f"{runs} did not reach a validation accuracy of {percent(claim.accuracy, 0)}"


def _with_disturbances(summary: CohortSummary, verdict: Verdict, involved: Sequence[ArchitectureSummary]) -> Verdict:
    """Say of step times in how many of the runs other work made the median step longer."""
    ids = {run.record.run_id for architecture in involved for run in architecture.runs}
    disturbed = [each for each in summary.disturbances if each.step_reasons and each.run.record.run_id in ids]
    reason = f"{len(disturbed)} of the {len(ids)} runs compared were disturbed by other work"
    return replace(verdict, reason=reason) if disturbed else verdict


def _t_test_rule(n: str, what: str) -> str:
    return f"Paired over {n}: two-sided t test of {what} at the {percent(SIGNIFICANCE, 0)} level"
