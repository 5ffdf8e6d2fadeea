"""The first sentences of the report: what a busy reader may act on, and nothing that is inside the noise."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from intelbench.reporting.evidence import inference
from intelbench.reporting.evidence.inference import PairedDifference
from intelbench.reporting.evidence.statistics import SIGNIFICANCE
from intelbench.reporting.evidence.summaries import ArchitectureSummary, CohortSummary
from intelbench.reporting.markdown import code, listed, percent, times_interval

MAX_NAMES = 8


def headline(summary: CohortSummary) -> str:
    """Who is above whom in test accuracy and by how much, and who is faster; empty where nothing may be compared."""
    if len(summary.finished) < 2 or not summary.differences or len(summary.cohort.common_seeds) < 2:
        return ""
    terms = "each architecture under its own recipe" if summary.cohort.own_recipes else "at this budget"
    return " ".join(filter(None, [f"**In short:** on these images, {terms},", _accuracy(summary), _speed(summary)]))


def relative_speed(first: ArchitectureSummary, second: ArchitectureSummary) -> inference.Inferred | None:
    """How many times as many images a second the first trains as the second, over the seeds that both have finished."""
    seconds = [
        {run.seed: run.median_total_seconds for run in summary.runs if run.median_total_seconds is not None}
        for summary in (first, second)
    ]
    seeds = sorted(seconds[0].keys() & seconds[1].keys())
    of_first, of_second = (np.array([found[seed] for seed in seeds]) for found in seconds)
    return inference.infer_ratio(of_second, of_first)


def _accuracy(summary: CohortSummary) -> str:
    names = [architecture.name for architecture in summary.finished]
    top = [place for place, architecture in enumerate(summary.finished) if architecture.rank == 1]
    if len(top) == len(names):
        return _nothing_apart(summary)
    below_all = [place for place in range(len(names)) if all(_beats(summary, winner, place) for winner in top)]
    sentences = []
    if len(top) > 1:
        sentences.append(f"{_names(names, top)} cannot be told apart in test accuracy")
    if below_all:
        gaps = [abs(pair.difference.mean) for pair in summary.differences if _between(pair, top, below_all)]
        subject = f"{_each(top)} of them" if len(top) > 1 else code(names[top[0]])
        verb = "are" if len(top) > 1 else "is"
        sentences.append(f"{subject} {verb} above {_names(names, below_all)} by {_points(gaps)}")
    others = [place for place in range(len(names)) if place not in top and place not in below_all]
    for place in others[:MAX_NAMES]:
        winners = [winner for winner in range(len(names)) if _beats(summary, winner, place)]
        sentences.append(f"{code(names[place])} is below {_names(names, winners)} alone")
    return "; ".join(sentences) + "."


def _nothing_apart(summary: CohortSummary) -> str:
    reached = [a.test_accuracy.mean for a in summary.finished if a.test_accuracy is not None]
    missed = [pair.detectable for pair in summary.differences if pair.detectable is not None]
    who = "the two" if len(summary.finished) == 2 else f"no two of the {len(summary.finished)} architectures"
    verb = "cannot" if len(summary.finished) == 2 else "can"
    sentence = f"{who} {verb} be told apart in test accuracy ({percent(min(reached))} to {percent(max(reached))})"
    if missed:
        sentence += f", which does not make them equal: it takes a difference of {_points(missed)} to be found here"
        sentence += " in four cases out of five"
    return sentence + "."


def _speed(summary: CohortSummary) -> str:
    """The fastest of the best against the slowest of them; of a single best one, the fastest of all against it."""
    timed = [a for a in summary.finished if len(a.total_seconds)]
    best = [a for a in timed if a.rank == 1]
    if len(timed) < 2 or not best:
        return ""
    pool = best if len(best) > 1 else timed
    fastest = min(pool, key=_pace)
    other = max(pool, key=_pace) if len(best) > 1 else best[0]
    if fastest is other:
        other = min((a for a in timed if a is not fastest), key=_pace)
    found = relative_speed(fastest, other)
    comparisons = len(list(combinations(pool, 2)))
    if found is None or found.p_value is None or found.p_value * comparisons > SIGNIFICANCE:
        return "In training speed none of these differences stands out." if len(best) > 1 else ""
    return (
        f"{code(fastest.name)} trains {times_interval(found.estimate)} as many images a second as {code(other.name)}."
    )


def _pace(architecture: ArchitectureSummary) -> float:
    return float(np.median(architecture.total_seconds))


def _beats(summary: CohortSummary, winner: int, place: int) -> bool:
    return winner != place and any(
        pair.better == winner and place in (pair.first, pair.second) for pair in summary.differences
    )


def _between(pair: PairedDifference, some: Sequence[int], others: Sequence[int]) -> bool:
    return (pair.first in some and pair.second in others) or (pair.second in some and pair.first in others)


def _each(places: Sequence[int]) -> str:
    return "both" if len(places) == 2 else f"all {len(places)}"


def _points(shares: Sequence[float]) -> str:
    """`3.1 points`, `2.1 to 4.0 points`."""
    low, high = f"{100 * min(shares):.1f}", f"{100 * max(shares):.1f}"
    return f"{low} points" if low == high else f"{low} to {high} points"


def _names(names: Sequence[str], places: Sequence[int]) -> str:
    if len(places) > MAX_NAMES:
        return f"{len(places)} architectures"
    return listed(code(names[place]) for place in places)
