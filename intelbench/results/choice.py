"""Which architecture is meant: the one that a user names, or the cheapest that is not worse by more than the margin."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from intelbench.errors import UserError, one_of, shortened
from intelbench.results.baseline import not_above_baseline
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.comparisons import UNPOOLED_FACTOR, PairedDifference
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.inference import holm, infer_ratio

COSTS = {
    "step_seconds": "step time",
    "num_parameters": "parameters",
    "predicted_peak_bytes": "predicted memory",
}
"""Metrics that are costs, the first of them first, and what they are called in sentences."""


def named(name: str, known: Iterable[str]) -> str | None:
    """Return the full name of the architecture that a user has named; `None` if none of the known ones has that name.

    A name may lack its prefix, such as `torchvision:`, where a single architecture has it.

    Raises:
        UserError: several architectures have that name, with different prefixes.
    """
    known = list(known)
    full_names = [name] if name in known else [full for full in known if full.partition(":")[2] == name]
    if len(full_names) > 1:
        raise UserError(f"architecture {shortened(repr(name))} is the name of several. {one_of('', full_names)}")
    return full_names[0] if full_names else None


def not_inferior(summary: CohortSummary) -> list[ArchitectureSummary]:
    """Return the architectures that learnt something and are shown to be worse than no other one by the margin or more.

    An architecture that is not significantly better than the baseline is left out.
    """
    unlearnt = {architecture.name for architecture in not_above_baseline(summary)}
    return [each for each in within_margin(summary, summary.differences) if each.name not in unlearnt]


def within_margin(summary: CohortSummary, differences: Sequence[PairedDifference]) -> list[ArchitectureSummary]:
    """Return the architectures that these differences show to be worse than no other one by the margin or more.

    An architecture has to pass a test of non-inferiority against every other one (an intersection-union test; Berger,
    1982), which is corrected over the architectures as differences are over pairs, so that the cheapest of them may be
    picked. It does not pass where one of the tests is missing because two architectures lack two seeds in common: the
    other one may be the best. The differences may be those on some of the seeds.
    """
    tested: dict[int, list[tuple[PairedDifference, int]]] = {}
    for pair in differences:
        if pair.p_holm is not None:
            tested.setdefault(pair.first, []).append((pair, 1))
            tested.setdefault(pair.second, []).append((pair, -1))
    pooled = holm(np.array([max(_p_inferior(summary, *each, part=0) for each in pairs) for pairs in tested.values()]))
    passed = []
    for (place, pairs), p_value in zip(tested.items(), pooled.tolist(), strict=True):
        alone = UNPOOLED_FACTOR * max(_p_inferior(summary, *each, part=1) for each in pairs)
        level = min(pair.significance for pair, _ in pairs)
        if len(pairs) == len(tested) - 1 and max(p_value, alone) <= level:
            passed.append(place)
    return [summary.finished[place] for place in sorted(passed)]


def _p_inferior(summary: CohortSummary, pair: PairedDifference, sign: int, part: int) -> float:
    """Return the p value of "worse by at least the margin" with the pooled spreads, or with the unpooled one."""
    inferred = pair.inferred.parts[part]
    lead = sign * summary.ranking.sign * pair.difference.mean
    p_value = inferred.p_above(lead, -summary.margin) if inferred else 0.0
    return 0.0 if p_value is None else p_value


def cheapest(
    architectures: Sequence[ArchitectureSummary], left_out: int | None = None
) -> Mapping[Metric, ArchitectureSummary]:
    """Return the architecture that costs less than all others, by each kind of cost by which there is one.

    A cost that was measured has to be significantly lower than that of every other architecture, paired by seed
    (Bonferroni); a cost that follows from the network only lower. A single architecture is the cheapest one. The step
    time of a head on stored features is no cost of its architecture: the backbone is not part of such a step.

    `left_out` is a seed that does not count.
    """
    by_cost = {}
    on_features = any(architecture.on_features for architecture in architectures)
    for metric in map(METRICS.get, COSTS):
        if metric.name == "step_seconds" and on_features:
            continue
        for architecture in architectures:
            others = [each for each in architectures if each is not architecture]
            if all(_costs_less(metric, architecture, other, len(others), left_out) for other in others):
                by_cost[metric] = architecture
    return by_cost


def recommended(summary: CohortSummary) -> tuple[ArchitectureSummary, str]:
    """Return the architecture to use, and why: the cheapest of those that are shown to be within the margin.

    Kinds of cost are tried in the order of `COSTS`. Without a cheapest one it is the best of them by the metric that
    ranks, and the best of all if no architecture is shown to be within the margin.

    Raises:
        UserError: no run has finished.
    """
    if not summary.finished:
        raise UserError(f"cohort {summary.cohort.key}: no run has finished, so there is no architecture to use")
    good = not_inferior(summary)
    metric = METRICS.get(summary.ranking.metric)
    within = f"shown to be within {metric.margin(summary.margin)} of the best"
    if len(good) == 1:
        return good[0], f"the only architecture {within}"
    if by_cost := cheapest(good):
        cost, architecture = next(iter(by_cost.items()))
        return architecture, f"the cheapest by {COSTS[cost.name]} of {len(good)} architectures {within}"
    highest = f"the {'highest' if summary.ranking.higher_is_better else 'lowest'} {metric.noun}"
    best = max(good or summary.finished, key=lambda architecture: _score(summary, architecture))
    if len(summary.finished) == 1:
        return best, "the only architecture"
    if good:
        return best, f"{highest} of {len(good)} architectures {within}; no single one is the cheapest"
    return best, f"{highest}; no architecture is {within}"


def _score(summary: CohortSummary, architecture: ArchitectureSummary) -> float:
    """Return the mean of the metric that ranks, negative where lower is better."""
    estimate = METRICS.get(summary.ranking.metric).of(architecture)
    return -np.inf if estimate is None else summary.ranking.sign * estimate.mean


def _costs_less(
    metric: Metric, first: ArchitectureSummary, second: ArchitectureSummary, num_tests: int, left_out: int | None
) -> bool:
    if metric.of_profile:
        own, other = (metric.of_profile(each.profile) if each.profile else None for each in (first, second))
        return own is not None and other is not None and own < other
    by_seed = [{run.seed: metric.value(run) for run in each.runs if run.seed != left_out} for each in (first, second)]
    known = [(by_seed[0][seed], by_seed[1].get(seed)) for seed in by_seed[0]]
    pairs = [(own, other) for own, other in known if own is not None and other is not None]
    ratio = infer_ratio(*np.array(pairs, dtype=np.float64).T) if pairs else None
    if ratio is None or ratio.p_value is None:
        return False
    return ratio.estimate.mean < 1 and ratio.p_value * num_tests <= SIGNIFICANCE
