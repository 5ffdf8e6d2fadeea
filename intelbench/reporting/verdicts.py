"""Published claims compared with a cohort: what was measured, by which rule it was judged, and the verdict.

`intelbench.results.verdicts` has the rules. A verdict's texts are plain, not yet Markdown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intelbench.errors import plural
from intelbench.reporting import metrics, narrative
from intelbench.reporting.formatting import count, fact, listed, percent, plural_number, significant
from intelbench.results import verdicts as rules
from intelbench.results.claims import Claim, differing_conditions, load_claims
from intelbench.results.columns import Columns, column, estimate, fields, table
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.reported_pairs import compared_as_reported
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.results.verdicts import Compared, UntestableError, Word
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate

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
    """P value of the test that decided, corrected as `rule` says; `None` where nothing was tested."""
    predicted: Estimate | None = None
    """Prediction interval with which a published figure was compared."""
    rule: str = ""
    """How it was judged; empty where it was not."""
    reason: str = ""
    """Why it could not be judged, or what else a reader must know."""

    @property
    def estimate(self) -> Estimate | None:
        """What was measured, also where it is exact and has no interval."""
        measured = self.measured
        return Estimate(measured, None, None, 1) if isinstance(measured, int | float) else measured

    @property
    def base_unit(self) -> str | None:
        """Return the unit of `measured` in files and frames, where a difference of shares is a fraction."""
        return "share" if self.unit == "points" else self.unit or None


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
        except UntestableError as error:
            judged.append(Verdict(claim, "not testable", reason=str(error)))
    return judged


def _judge(summary: CohortSummary, claim: Claim) -> Verdict:
    metric = METRICS.get(claim.metric)
    exact = metric.compared == "exact"
    subject = _architecture(summary, claim.architecture, exact)
    others = _others(summary, claim, subject, exact)
    if not exact and (vary := summary.cohort.spec.vary) != "all":
        raise UntestableError(f"only {vary} varies between the seeds, so intervals miss other sources of variance")
    if metric.compared == "confusion":
        return _confusion(summary, claim, subject)
    if exact:
        return _exact(claim, subject, others)
    if others and not _same_batches(summary, [subject, *others]):
        raise UntestableError("the runs did not demonstrably see the same batches, so nothing may be compared")
    verdict = _comparison(summary, claim, subject, others) if claim.comparative else _figure(claim, subject, *others)
    return _with_disturbances(summary, verdict, [subject, *others]) if claim.metric == "step_seconds" else verdict


def _same_batches(summary: CohortSummary, involved: Sequence[ArchitectureSummary]) -> bool:
    """Return whether the runs of each seed of these architectures saw the same batches, whatever others saw."""
    ids = {record.run_id for architecture in involved for record in architecture.records}
    runs = tuple(run for run in summary.cohort.runs if run.record.run_id in ids)
    return replace(summary.cohort, runs=runs).fairness.identical


def _require_conditions(summary: CohortSummary, claim: Claim) -> None:
    differing = [
        f"{key} = {fact(required)} (here {'none' if here is None else fact(here)})"
        for key, (required, here) in differing_conditions(claim, summary.cohort.records).items()
    ]
    if differing:
        more = len(differing) - _MAX_CONDITIONS
        shown = [*differing[:_MAX_CONDITIONS], *([f"and {plural(more, 'other')}"] if more > 0 else [])]
        raise UntestableError(f"it is about other conditions: {'; '.join(shown)}")


def _architecture(summary: CohortSummary, name: str, exact: bool) -> ArchitectureSummary:
    """Return the architecture of that name; arithmetic needs no finished run of it."""
    matching = [each for each in summary.architectures if name in (each.name, each.records[0].spec.architecture)]
    if not matching:
        raise UntestableError(f"{name} did not run")
    if len(matching) > 1:
        raise UntestableError(
            f"several bear the name {name}: {listed(each.name for each in matching)}; name one in full"
        )
    if not matching[0].runs and not exact:
        raise UntestableError(f"{name} has no finished run: {narrative.failed_runs(matching[0])}")
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
        raise UntestableError("no other architecture has a finished run")
    return others


def _exact(claim: Claim, subject: ArchitectureSummary, others: Sequence[ArchitectureSummary]) -> Verdict:
    """Judge a claim by arithmetic, which needs no test."""
    rule = "Arithmetic on the network as it is defined: exact, without a test, and no measurement of a run."
    metric = METRICS.get(claim.metric)
    own, unit = _counted(metric, subject), "times" if others else metric.unit
    ratios = {other.name: own / _counted(metric, other) for other in others}
    if not claim.comparative:
        figure = next(iter(ratios.values()), own)
        word: Word = "reproduced" if rules.reproduces(claim, figure) else "contradicted"
        return Verdict(claim, word, figure, unit, next(iter(ratios), None), rule=rule)
    word, against = rules.decide_arithmetic(claim, ratios)
    rule = f"{rule} A difference of at most {_margin(claim)} is equivalent."
    return Verdict(claim, word, ratios[against], unit, against, rule=rule)


def _counted(metric: Metric, architecture: ArchitectureSummary) -> float:
    profile = architecture.profile
    if profile is None:
        why = next(filter(None, (record.profile_absent for record in architecture.records)), "no reason was recorded")
        raise UntestableError(f"the records of {architecture.name} hold no profile: {why}")
    value = metric.of_profile(profile) if metric.of_profile else None
    if not value:
        why = profile.absent.get(metric.profile_field, "no reason was recorded")
        raise UntestableError(f"the profile of {architecture.name} lacks it: {why}")
    return float(value)


def _figure(claim: Claim, subject: ArchitectureSummary, other: ArchitectureSummary | None = None) -> Verdict:
    """Judge a published figure, or the factor by which it exceeds that of another architecture."""
    metric, architectures = METRICS.get(claim.metric), [each for each in (subject, other) if each]
    observed = rules.observe(claim, *architectures)
    for architecture, values in zip(architectures, observed, strict=True):
        if unknown := rules.without_number(values, f"a validation accuracy of {percent(claim.accuracy, 0)}"):
            raise UntestableError(f"{architecture.name}: {unknown}")
    by_ratio = metric.change == "ratio"
    inferred = rules.infer_ratio(*observed) if other else rules.infer_mean(observed[0], by_ratio=by_ratio)
    num_images = None if other else rules.num_independent(metric, subject, observed[0])
    word, mean, predicted = rules.judge_figure(claim, inferred, num_images)
    unit, against = ("times", other.name) if other else (metric.unit, None)
    size = _size(metric, observed[:1])
    rule = (
        f"Supported where the 95 % interval of the {'ratio, paired' if other else 'mean'} over {size} lies within what "
        f"is claimed, tolerance included. {_published(claim, metric, observed[0].ndim == 2)}, "
        f"{metrics.interval(predicted, unit)}; else undecided."
    )
    return Verdict(claim, word, mean, unit, against, predicted=predicted, rule=rule)


def _published(claim: Claim, metric: Metric, of_images: bool) -> str:
    """Say what the published figure is regarded as, and when it is contradicted."""
    if claim.is_requirement:
        return "The figure is a requirement: contradicted where it lies outside the interval of the mean"
    published = "one training run" if claim.runs == 1 else f"{count(claim.runs)} training runs"
    images = f", tested on as many other {metric.split} images" if of_images else ""
    return (
        f"The published figure is regarded as that of {published}{images}: contradicted where the claim lies outside "
        "the 95 % prediction interval of such a figure"
    )


def _comparison(
    summary: CohortSummary, claim: Claim, subject: ArchitectureSummary, others: Sequence[ArchitectureSummary]
) -> Verdict:
    """Judge a claim that compares architectures, on the seeds that each two of them have in common."""
    metric, pairs = METRICS.get(claim.metric), [rules.observe(claim, subject, other) for other in others]
    if claim.accuracy is not None and all(np.isposinf(pair).all() for pair in pairs):
        raise UntestableError(f"no run reached a validation accuracy of {percent(claim.accuracy, 0)} in its budget")
    comparisons = compared_as_reported(claim, summary, subject, others) or [
        replace(
            rules.compare(claim, other.name, *pair),
            level=summary.level_on([subject.name, other.name], subject.seeds & other.seeds),
        )
        for other, pair in zip(others, pairs, strict=True)
    ]
    size = _size(metric, [own for own, _ in pairs], [each.num_seeds for each in comparisons if each.num_seeds])
    if metric.change == "ratio":
        return _decided(claim, comparisons, "times", size, "the logarithm of the ratio")
    return _decided(claim, comparisons, metric.change, size, "the difference")


def _confusion(summary: CohortSummary, claim: Claim, subject: ArchitectureSummary) -> Verdict:
    """Judge each claimed pair of classes against every other one, on the same seeds and images."""
    names = summary.data.class_names
    missing = sorted({name for pair in claim.classes for name in pair if name not in names})
    if missing:
        raise UntestableError(f"the data have no class {listed(missing)}")
    if len(subject.runs) < 2 or not subject.same_images:
        raise UntestableError(f"{subject.name} has no two finished runs that were tested on the same images")
    labels = subject.runs[0].test_labels.astype(np.int64)
    predicted = np.array([run.test_predictions for run in subject.runs], dtype=np.int64)
    within = np.minimum(labels, predicted) * len(names) + np.maximum(labels, predicted)
    pairs = np.where(predicted == labels, _NO_PAIR, within)  # number of the pair: lower class x classes + higher
    places = [sorted(map(names.index, pair)) for pair in claim.classes]
    claimed = [first * len(names) + second for first, second in places]
    others = [pair for pair in np.unique(pairs).tolist() if pair not in (_NO_PAIR, *claimed)] or [_NO_PAIR - 1]
    comparisons = []
    for pair in claimed:
        for other in others:
            inferred = rules.infer_difference(pairs == pair, pairs == other, 1)
            between = f"{_pair_name(pair, names)} against {_pair_name(other, names)}"
            comparisons.append(rules.compared(between, inferred, claim.largest_equivalent))
    size = f"{len(subject.runs)} seeds × {count(pairs.shape[1])} test images"
    return _decided(claim, comparisons, "points", size, "the difference of shares")


def _pair_name(pair: int, names: Sequence[str]) -> str:
    return "any other" if pair < 0 else "/".join(names[place] for place in divmod(pair, len(names)))


def _decided(claim: Claim, comparisons: Sequence[Compared], unit: str, size: str, what: str) -> Verdict:
    """Return the verdict of the comparison that is least favourable to the claim.

    Args:
        claim: The claim.
        comparisons: Of its architecture, or pair of classes, with each other one.
        unit: Of what is compared.
        size: Numbers of seeds and images.
        what: What is tested, as `the difference`.
    """
    decisions = rules.decide(claim, comparisons)
    decided, number = decisions[0], len(decisions)
    shown = decided.compared
    holding = sum(each.word == "supported" for each in decisions)
    note = shown.note or (f"it holds in {holding} of {number} comparisons" if number > 1 else "")
    rule = f"Paired over {size}: {_tests(claim, what, shown)}{_correction(number, shown)}"
    return Verdict(claim, decided.word, shown.estimate, unit, shown.other, decided.p_value, rule=rule, reason=note)


def _tests(claim: Claim, what: str, compared: Compared) -> str:
    """Say how one comparison is tested."""
    level = f"at the {percent(SIGNIFICANCE, 0)} level"
    if compared.level != SIGNIFICANCE:
        level = f"at {significant(compared.level, 2)}, the level of the look of the pair"
    test = "sign test" if compared.by_sign else "t test"
    if claim.relation == "equivalent":
        within = f"two one-sided {test}s {level} that {what} is within {_margin(claim)}"
        return f"{within}; contradicted where a two-sided one finds it beyond."
    test = f"two-sided {test} of {what} {level}."
    if not claim.largest_equivalent:
        return test
    return f"{test} Equivalent where two one-sided ones find it within {_margin(claim)}."


def _correction(number: int, compared: Compared) -> str:
    if compared.is_reported:
        every = f" It has to hold in each of {number} comparisons." if number > 1 else ""
        return (
            ' P values are those of "Differences": with moderated variances, Holm-corrected over all pairs of the '
            f"group, so that the claim and that section say the same of a pair.{every}"
        )
    if number == 1:
        return ""
    return (
        f" It has to hold in each of {number} comparisons, so their p values are not corrected; one that contradicts "
        f"it is enough, so these are Holm-corrected over the {number}."
    )


def _margin(claim: Claim) -> str:
    metric, margin = METRICS.get(claim.metric), claim.largest_equivalent
    if metric.compared in ("exact", "ratio"):
        return f"{100 * margin:g} %"
    if metric.change == "points":
        return plural_number(100 * margin, "point")
    return metrics.figure(margin, metric.unit)


def _size(metric: Metric, tables: Sequence[NDArray[Any]], num_seeds: Sequence[int] = ()) -> str:
    """Write `3 seeds`, or `3 seeds × 900 test images`; `3 or 4 seeds` where comparisons have several numbers."""
    seeds = f"{' or '.join(dict.fromkeys(map(str, num_seeds or map(len, tables))))} seeds"
    return f"{seeds} × {count(tables[0].shape[1])} {metric.split} images" if tables[0].ndim == 2 else seeds


def _with_disturbances(summary: CohortSummary, verdict: Verdict, involved: Sequence[ArchitectureSummary]) -> Verdict:
    """Say of step times in how many of the runs other work made the median step longer."""
    ids = {run.record.run_id for architecture in involved for run in architecture.runs}
    disturbed = [each for each in summary.disturbances if each.step_reasons and each.run.record.run_id in ids]
    reason = f"{len(disturbed)} of the {len(ids)} runs compared were disturbed by other work"
    return replace(verdict, reason=reason) if disturbed else verdict


_COLUMNS: Sequence[Columns[Verdict]] = (
    column("claim", str, lambda each: each.claim.id),
    fields(str, lambda each: each.claim, "statement", "source", "metric", "architecture"),
    column("against", str, lambda each: each.against),
    estimate("measured", lambda each: each.estimate),
    column("unit", str, lambda each: each.base_unit),
    column("verdict", str, lambda each: each.verdict),
    column("p_value", float, lambda each: each.p_value),
    column("rule", str, lambda each: each.rule or None),
    column("reason", str, lambda each: each.reason or None),
)


@table(lambda: _COLUMNS)
def verdict_table(summary: CohortSummary, chosen: Sequence[Claim] | None = None) -> list[Verdict]:
    """Return one row for each claim: the verdict, what was measured, and why."""
    return verdicts(summary, claims_about(summary, chosen))
