"""The cheapest architecture that is not worse than the best by more than the margin."""

from collections.abc import Mapping, Sequence

import numpy as np

from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.inference import holm, infer_ratio

COSTS = ("step_seconds", "num_parameters", "predicted_peak_bytes")


def not_inferior(summary: CohortSummary) -> list[ArchitectureSummary]:
    """Return the architectures that are shown to be worse than no other one by the margin or more.

    An architecture has to pass a test of non-inferiority against every other one (an intersection-union test; Berger,
    1982), which is Holm-corrected over the architectures, so that the cheapest of them may be picked.
    """
    p_values: dict[int, list[float]] = {}
    for pair in summary.differences:
        for place, sign in ((pair.first, 1), (pair.second, -1)):
            p_value = pair.inferred.p_above(sign * pair.difference.mean, -summary.margin)
            if p_value is not None:
                p_values.setdefault(place, []).append(p_value)
    corrected = holm(np.array([max(of_pairs) for of_pairs in p_values.values()]))
    passed = [place for place, p_value in zip(p_values, corrected, strict=True) if p_value <= summary.significance]
    return [summary.finished[place] for place in sorted(passed)]


def cheapest(architectures: Sequence[ArchitectureSummary]) -> Mapping[Metric, ArchitectureSummary]:
    """Return the architecture that costs less than all others, by each kind of cost by which there is one.

    A cost that was measured has to be significantly lower than that of every other architecture, paired by seed
    (Bonferroni); a cost that follows from the network only lower.
    """
    by_cost = {}
    for metric in map(METRICS.get, COSTS):
        for architecture in architectures:
            others = [each for each in architectures if each is not architecture]
            if others and all(_costs_less(metric, architecture, other, len(others)) for other in others):
                by_cost[metric] = architecture
    return by_cost


def _costs_less(metric: Metric, first: ArchitectureSummary, second: ArchitectureSummary, num_tests: int) -> bool:
    if metric.of_profile:
        own, other = (metric.of_profile(each.profile) if each.profile else None for each in (first, second))
        return own is not None and other is not None and own < other
    by_seed = [{run.seed: metric.value(run) for run in each.runs} for each in (first, second)]
    known = [(by_seed[0][seed], by_seed[1].get(seed)) for seed in by_seed[0]]
    pairs = [(own, other) for own, other in known if own is not None and other is not None]
    ratio = infer_ratio(*np.array(pairs, dtype=np.float64).T) if pairs else None
    if ratio is None or ratio.p_value is None:
        return False
    return ratio.estimate.mean < 1 and ratio.p_value * num_tests <= SIGNIFICANCE
