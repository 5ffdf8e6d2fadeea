"""The first sentences of the report: what a busy reader may act on, and nothing that is inside the noise."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from intelbench.errors import plural
from intelbench.reporting import narrative
from intelbench.reporting.document import Block, Paragraph
from intelbench.reporting.formatting import (
    code,
    listed,
    percent,
    percent_interval,
    plural_number,
    times_interval,
)
from intelbench.reporting.narrative import MAX_NAMES
from intelbench.reporting.sections.disturbances import disturbed_answer
from intelbench.results import baseline, choice
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.statistics import inference
from intelbench.statistics.comparisons import PairedDifference
from intelbench.statistics.estimates import SIGNIFICANCE

_COST_NAMES = {
    "step_seconds": "step time",
    "num_parameters": "parameters",
    "predicted_peak_bytes": "predicted memory",
}


def opening(summary: CohortSummary) -> list[Block]:
    """Return what may be concluded, and one paragraph on who was compared, on what and how."""
    said = " ".join(filter(None, [narrative.reading(summary), disturbed_answer(summary)]))
    return [Paragraph(text) for text in (headline(summary), said) if text]


def headline(summary: CohortSummary) -> str:
    """Say who is above whom in test accuracy, who failed or learnt nothing, and who is faster; empty without any.

    Architectures are compared on at least two seeds; the majority baseline is compared with every one.
    """
    sentences = [*narrative.failures(summary), *_learnt_nothing(summary)]
    if summary.ranked:
        compared = " ".join(filter(None, [_accuracy(summary), narrative.not_compared(summary)]))
        sentences = [compared, *_within_margin(summary), *sentences, *_speed(summary)]
    if not sentences:
        return ""
    terms = "each architecture under its own recipe" if summary.cohort.own_recipes else "at this budget"
    return " ".join([f"**In short:** on these images, {terms},", *sentences])


def relative_speed(first: ArchitectureSummary, second: ArchitectureSummary) -> inference.Inferred | None:
    """Return the ratio of the images a second of two architectures, over the seeds that both have finished."""
    seconds = [
        {run.seed: run.median_total_seconds for run in summary.runs if run.median_total_seconds is not None}
        for summary in (first, second)
    ]
    seeds = sorted(seconds[0].keys() & seconds[1].keys())
    of_first, of_second = (np.array([by_seed[seed] for seed in seeds]) for by_seed in seconds)
    return inference.infer_ratio(of_second, of_first)


def _accuracy(summary: CohortSummary) -> str:
    names = [architecture.name for architecture in summary.ranked]
    top = [place for place, architecture in enumerate(summary.ranked) if architecture.rank == 1]
    if len(top) == len(names):
        return _nothing_apart(summary)
    below_all = [place for place in range(len(names)) if all(_beats(summary, winner, place) for winner in top)]
    sentences = []
    if len(top) > 1:
        sentences.append(f"{_names(names, top)} are not significantly different in test accuracy")
    if below_all:
        subject, verb = code(names[top[0]]), "is"
        if len(top) > 1:
            subject, verb = f"{'both' if len(top) == 2 else f'all {len(top)}'} of them", "are"
        gaps = [{winner, place} for winner in top for place in below_all]
        pairs = [pair for pair in summary.differences if {pair.first, pair.second} in gaps]
        sentences.append(f"{subject} {verb} above {_names(names, below_all)}{_smallest_gap(pairs, names)}")
    others = [place for place in range(len(names)) if place not in top and place not in below_all]
    for place in others[:MAX_NAMES]:
        winners = [winner for winner in range(len(names)) if _beats(summary, winner, place)]
        sentences.append(f"{code(names[place])} is below {_names(names, winners)} alone")
    return "; ".join(sentences) + "."


def _nothing_apart(summary: CohortSummary) -> str:
    reached = [a.test_accuracy.mean for a in summary.ranked if a.test_accuracy is not None]
    means = f"means: {percent(min(reached))} the lowest, {percent(max(reached))} the highest"
    subject = narrative.none_differ(len(summary.ranked))
    if narrative.finished_unranked(summary):
        subject = f"of {listed(code(a.name) for a in summary.ranked[:MAX_NAMES])}, {subject}"
    sentence = f"{subject} significantly different in test accuracy ({means})"
    tested = [pair for pair in summary.differences if pair.p_holm is not None]
    equivalent = sum(pair.is_equivalent for pair in tested)
    if equivalent == len(tested):
        return f"{sentence}, and all are equivalent within {_margin(summary)}."
    shown = f"{equivalent} of {plural(len(tested), 'pair')} are" if equivalent else "no pair is"
    return f"{sentence}. That does not make them equal: {shown} shown to be equivalent within {_margin(summary)}."


def _within_margin(summary: CohortSummary) -> list[str]:
    """Say which architectures are worse than no other one by the margin, and which of them is the cheapest."""
    good = choice.not_inferior(summary)
    if not good:
        return [f"For no architecture is it shown that it is within {_margin(summary)} of the best."]
    names = listed(code(a.name) for a in good) if len(good) <= MAX_NAMES else f"{len(good)} architectures"
    text = f"{names} {'is' if len(good) == 1 else 'are'} shown to be within {_margin(summary)} of the best"
    by_architecture: dict[str, list[str]] = {}
    for metric, architecture in choice.cheapest(good).items():
        by_architecture.setdefault(architecture.name, []).append(_COST_NAMES[metric.name])
    cheapest = [f"{code(name)} by {listed(kinds)}" for name, kinds in by_architecture.items()]
    return [f"{text}; the cheapest of them is {listed(cheapest)}." if cheapest else f"{text}."]


def _margin(summary: CohortSummary) -> str:
    return plural_number(100 * summary.margin, "point")


def _learnt_nothing(summary: CohortSummary) -> list[str]:
    """Say which architectures are not above the majority baseline, and which answer one class for every image."""
    sentences = []
    names = [architecture.name for architecture in summary.finished]
    low = [names.index(architecture.name) for architecture in baseline.not_above_majority(summary.finished)]
    if low:
        share = percent(summary.finished[low[0]].majority_share("test"))
        verb = "is" if len(low) == 1 else "are"
        sentences.append(
            f"{_names(names, low)} {verb} not significantly above the majority baseline: answering the largest class "
            f"for every image is right for {share} of them."
        )
    constant = [(architecture, baseline.single_class_runs(architecture)) for architecture in summary.finished]
    constant = [(architecture, runs) for architecture, runs in constant if runs]
    for architecture, runs in constant[:MAX_NAMES]:
        classes = [code(summary.data.class_names[label]) for label in runs]
        total, number = len(architecture.runs), sum(runs.values())
        where = "" if number == total else f" in {number} of {total} runs"
        which = classes[0] if len(classes) == 1 else "one class"
        by_run = f": {' or '.join(classes)}, depending on the run" if len(classes) > 1 else ""
        sentences.append(f"{code(architecture.name)} predicts {which} for every test image{where}{by_run}.")
    if len(constant) > MAX_NAMES:
        sentences.append(f"So do {len(constant) - MAX_NAMES} more architectures.")
    return sentences


def _speed(summary: CohortSummary) -> list[str]:
    """Compare the fastest of the best with the slowest of them, or the fastest of all with the single best."""
    timed = [a for a in summary.ranked if len(a.total_seconds)]
    best = [a for a in timed if a.rank == 1]
    if len(timed) < 2 or not best:
        return []
    pool = best if len(best) > 1 else timed
    fastest = min(pool, key=_pace)
    other = max(pool, key=_pace) if len(best) > 1 else best[0]
    if fastest is other:
        other = min((a for a in timed if a is not fastest), key=_pace)
    speed = relative_speed(fastest, other)
    comparisons = len(list(combinations(pool, 2)))
    if speed is None or speed.p_value is None or speed.p_value * comparisons > SIGNIFICANCE:
        return ["In training speed those on the first rank do not differ significantly."] if len(best) > 1 else []
    return [
        f"{code(fastest.name)} trains {times_interval(speed.estimate)} as many images a second as {code(other.name)}."
    ]


def _pace(architecture: ArchitectureSummary) -> float:
    return float(np.median(architecture.total_seconds))


def _beats(summary: CohortSummary, winner: int, place: int) -> bool:
    return winner != place and any(
        pair.better == winner and place in (pair.first, pair.second) for pair in summary.differences
    )


def _smallest_gap(pairs: Sequence[PairedDifference], names: Sequence[str]) -> str:
    """Write ` by 8.4 [3.4, 13.5] points`; of several pairs ` (smallest difference: `a` over `c` by 8.4 ... points)`."""
    smallest = min(pairs, key=lambda pair: abs(pair.difference.mean))
    gap = smallest.difference if smallest.difference.mean > 0 else -smallest.difference
    text = f"by {percent_interval(gap, unit='')} points"
    over = [names[place] for place in (smallest.first, smallest.second)][:: 1 if gap is smallest.difference else -1]
    return f" {text}" if len(pairs) == 1 else f" (smallest difference: {' over '.join(map(code, over))} {text})"


def _names(names: Sequence[str], places: Sequence[int]) -> str:
    if len(places) > MAX_NAMES:
        return f"{len(places)} architectures"
    return listed(code(names[place]) for place in places)
