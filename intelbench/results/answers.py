"""What the first sentences of a report conclude, and whether that hangs on single seeds or on disturbed runs.

Leaving out a seed, or the disturbed runs, applies the same rules to the rest. That is a description and no test: fewer
runs have less power, so a difference near the border is lost whichever run is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from intelbench.results import baseline, choice, summaries
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics import inference
from intelbench.statistics.comparisons import PairedDifference, Scale, differences_without_each_seed
from intelbench.statistics.estimates import SIGNIFICANCE

MIN_SEEDS = 3
"""Seeds of a pair from which one can be left out: a test takes two."""
MAX_SEEDS = 100
"""Seeds up to which each is left out: of more, none has a weight worth a sentence."""
MAX_PAIRS = 500
"""Pairs up to which seeds are left out, as many as a report shows."""
Pair = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What is concluded of architectures, by name."""

    better: frozenset[Pair]
    """Pairs of which the first is significantly better by the metric that ranks."""
    equivalent: frozenset[Pair]
    """Pairs shown to be equivalent within the margin, each in alphabetical order."""
    within_margin: frozenset[str]
    """Architectures shown to be within the margin of the best."""
    cheapest: Mapping[str, str]
    """The cheapest of these by the name of the cost; absent where there is none."""
    faster: Pair | None
    """The pair that is compared by training speed, if its first is significantly faster."""


@dataclass(frozen=True)
class SpeedComparison:
    """Two architectures, compared by how many images a second they train."""

    first: ArchitectureSummary
    second: ArchitectureSummary
    num_comparisons: int
    """Pairs from which they were chosen, for which the p value is corrected (Bonferroni)."""

    def ratio(self, left_out: int | None = None) -> inference.Inferred | None:
        """Return the ratio of the images a second, over the seeds that both have finished; `None` unless above 1.

        It has to be above 1 significantly. `left_out` is a seed that does not count.
        """
        seconds = [
            {run.seed: run.median_total_seconds for run in each.runs if run.median_total_seconds is not None}
            for each in (self.first, self.second)
        ]
        seeds = sorted((seconds[0].keys() & seconds[1].keys()) - {left_out})
        of_first, of_second = (np.array([by_seed[seed] for seed in seeds]) for by_seed in seconds)
        speed = inference.infer_ratio(of_second, of_first)
        if speed is None or speed.p_value is None or speed.p_value * self.num_comparisons > SIGNIFICANCE:
            return None
        return speed if speed.estimate.mean > 1 else None


def speed_comparison(summary: CohortSummary) -> SpeedComparison | None:
    """Return the fastest and the slowest of the best, or the fastest of all and the single best; `None` without two."""
    timed = [a for a in summary.ranked if len(a.total_seconds)]
    best = [a for a in timed if a.rank == 1]
    if len(timed) < 2 or not best:
        return None
    pool = best if len(best) > 1 else timed
    fastest = min(pool, key=_pace)
    other = max(pool, key=_pace) if len(best) > 1 else best[0]
    if fastest is other:
        other = min((a for a in timed if a is not fastest), key=_pace)
    return SpeedComparison(fastest, other, len(list(combinations(pool, 2))))


def _pace(architecture: ArchitectureSummary) -> float:
    return float(np.median(architecture.total_seconds))


def answer(summary: CohortSummary) -> Answer:
    """Return what the runs of a cohort conclude."""
    return _answer(summary, summary.differences, choice.not_inferior(summary), speed_comparison(summary))


def answers_without_each_seed(summary: CohortSummary) -> Mapping[int, Answer] | None:
    """Return what is concluded without each of the seeds, by seed; `None` where that tells nothing.

    It tells nothing where a pair that is compared has fewer than three seeds, of which two are left, and where seeds
    were added in planned looks, because without one of them the looks would have ended elsewhere. With more than
    `MAX_SEEDS` seeds or `MAX_PAIRS` pairs it would take too long.
    """
    tested = [pair for pair in summary.differences if pair.p_holm is not None]
    if summary.values is None or summary.sequential or not 0 < len(tested) <= MAX_PAIRS:
        return None
    if min(len(pair.seeds) for pair in tested) < MIN_SEEDS or len(summary.values.seeds) > MAX_SEEDS:
        return None
    ranking = summary.ranking
    speed = speed_comparison(summary)
    scale = Scale(ranking.limit, ranking.higher_is_better, summary.margin, summary.significance)
    unlearnt = {architecture.name for architecture in baseline.not_above_baseline(summary)}
    by_seed = {}
    for seed, differences in differences_without_each_seed(summary.values, scale).items():
        good = [each for each in choice.within_margin(summary, differences) if each.name not in unlearnt]
        by_seed[seed] = _answer(summary, differences, good, speed, seed)
    return by_seed


def without_disturbed_runs(summary: CohortSummary) -> Answer | None:
    """Return what is concluded without the disturbed runs; `None` where no run is disturbed, or every one is.

    It is `None` too where seeds were added in planned looks, which the missing runs would make incomplete.
    """
    disturbed = {each.run.record.run_id for each in summary.disturbances if each.reasons}
    kept = tuple(run for run in summary.cohort.runs if run.record.run_id not in disturbed)
    if not disturbed or not kept or summary.sequential:
        return None
    observed = {run.record.run_id: run for run in summary.runs}
    rest = summaries.summarize(replace(summary.cohort, runs=kept), observed, summary.margin, summary.ranking)
    speed = speed_comparison(summary)
    known = {architecture.name: architecture for architecture in rest.finished}
    if speed and {speed.first.name, speed.second.name} <= known.keys():
        speed = replace(speed, first=known[speed.first.name], second=known[speed.second.name])
    else:
        speed = None
    return _answer(rest, rest.differences, choice.not_inferior(rest), speed)


def _answer(
    summary: CohortSummary,
    differences: Sequence[PairedDifference],
    good: Sequence[ArchitectureSummary],
    speed: SpeedComparison | None,
    left_out: int | None = None,
) -> Answer:
    names = [architecture.name for architecture in summary.finished]
    better = {
        (names[pair.better], names[pair.first + pair.second - pair.better])
        for pair in differences
        if pair.better is not None
    }
    equivalent = {tuple(sorted((names[p.first], names[p.second]))) for p in differences if p.is_equivalent}
    return Answer(
        frozenset(better),
        frozenset((first, second) for first, second in equivalent),
        frozenset(architecture.name for architecture in good),
        {metric.name: architecture.name for metric, architecture in choice.cheapest(good, left_out).items()},
        (speed.first.name, speed.second.name) if speed and speed.ratio(left_out) else None,
    )
