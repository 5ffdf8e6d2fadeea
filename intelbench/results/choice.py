"""The cheapest architecture that is not worse than the best by more than the margin."""

from collections.abc import Mapping, Sequence

import numpy as np

from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics.inference import holm

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
    """Return the cheapest architecture by each kind of cost that all of them have and in which they differ."""
    by_cost = {}
    for metric in map(METRICS.get, COSTS):
        values = [_cost(metric, architecture) for architecture in architectures]
        known = [value for value in values if value is not None]
        if len(known) == len(values) and len(set(known)) > 1:
            by_cost[metric] = architectures[values.index(min(known))]
    return by_cost


def _cost(metric: Metric, architecture: ArchitectureSummary) -> float | None:
    if metric.of_profile:
        return metric.of_profile(architecture.profile) if architecture.profile else None
    value = metric.of(architecture)
    return None if value is None else value.mean
