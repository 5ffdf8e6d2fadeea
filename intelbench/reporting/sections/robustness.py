"""Whether the first sentences of the report hang on single seeds or on disturbed runs: a description, no test."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from intelbench.errors import plural
from intelbench.reporting import metrics
from intelbench.reporting.formatting import code, numbers
from intelbench.reporting.narrative import MAX_NAMES
from intelbench.results import answers
from intelbench.results.answers import MIN_SEEDS, Answer
from intelbench.results.choice import COSTS
from intelbench.results.summaries import CohortSummary


def margin_of(summary: CohortSummary) -> str:
    """Write `1 point`, or `0.02 nats`."""
    return metrics.ranking(summary).margin(summary.margin)


@dataclass(frozen=True)
class Robustness:
    """What follows a statement in brackets: whether it is still concluded if any one seed is left out."""

    by_seed: Mapping[int, Answer]
    """What is concluded without each seed; empty where nothing is said about it."""
    concluded: Answer
    note: Sequence[str]
    """What the brackets mean, or why there are none, as one sentence."""

    @classmethod
    def of(cls, summary: CohortSummary, concluded: Answer) -> "Robustness":
        """Return what is known of the conclusions of a cohort."""
        if not (concluded.better or concluded.equivalent or concluded.within_margin or concluded.faster):
            return cls({}, concluded, ())
        by_seed = answers.answers_without_each_seed(summary)
        if by_seed is not None:
            return cls(by_seed, concluded, ())
        fewest = min(len(pair.seeds) for pair in summary.differences if pair.p_holm is not None)
        if summary.sequential or fewest >= MIN_SEEDS:
            return cls({}, concluded, ())
        pairs = "With two seeds" if len(summary.cohort.seeds) == fewest else "Where two have two seeds in common"
        return cls({}, concluded, (f"{pairs}, it cannot be said whether one of them decides.",))

    def not_different(self, names: Sequence[str]) -> str:
        """Name the seeds without which some of these architectures differ; empty where there are none."""
        lost = self._lost(lambda answer: not any({first, second} <= set(names) for first, second in answer.better))
        if not lost:
            return ""
        which = "they are" if len(names) == 2 else "some of them are"
        return f" ({which} significantly different if {_seeds(lost, len(self.by_seed))} is left out)"

    def bracket(self, stated: Set[Any], concluded: Callable[[Answer], Set[Any]]) -> str:
        """Write whether `stated` is part of what is concluded without each seed; empty where nothing is said of it."""
        lost = self._lost(lambda answer: stated <= concluded(answer))
        if lost:
            return f" (does not hold if {_seeds(lost, len(self.by_seed))} is left out)"
        return " (holds if any one seed is left out)" if self.by_seed else ""

    def _lost(self, holds: Callable[[Answer], bool]) -> list[int]:
        return [seed for seed, answer in self.by_seed.items() if not holds(answer)]


def _seeds(seeds: Sequence[int], total: int) -> str:
    """Write `seed 3`, `seed 0 or 2`, `any one of the seeds 0–3`, `any one seed`."""
    if len(seeds) == total:
        return "any one seed"
    return f"seed {' or '.join(map(str, seeds))}" if len(seeds) < 3 else f"any one of the seeds {numbers(seeds)}"


def without_disturbed_runs(summary: CohortSummary, concluded: Answer) -> list[str]:
    """Say what changes without the disturbed runs, where speed has a part in what is concluded; nothing without any."""
    number = sum(bool(each.reasons) for each in summary.disturbances)
    if not number or not (summary.cohort.in_seconds or answers.speed_comparison(summary)):
        return []
    runs = "the disturbed run" if number == 1 else f"the {number} disturbed runs"
    rest = answers.without_disturbed_runs(summary)
    if rest is None:
        why = "seeds were added in planned looks, which would end elsewhere" if summary.sequential else "no run is left"
        return [f"What is left without {runs} cannot be said: {why}."]
    changes = _changes(concluded, rest, margin_of(summary), metrics.comparatives(summary)[0])
    if not changes:
        return [f"Without {runs} the answer is the same."]
    shown, more = changes[:MAX_NAMES], len(changes) - MAX_NAMES
    shown += [plural(more, "other change")] if more > 0 else []
    return [f"Without {runs} the answer changes: {'; '.join(shown)}."]


def _changes(before: Answer, after: Answer, margin: str, better: str) -> list[str]:
    """Return what is no longer concluded, or is concluded in addition; `better` is `above` or `better than`."""
    changes = []
    for answer, other, negated in ((before, after, "not "), (after, before, "")):
        changes += [
            f"{code(first)} is {negated}significantly {better} {code(second)}"
            for first, second in sorted(answer.better - other.better)
        ]
        changes += [
            f"{code(first)} and {code(second)} are {negated}shown to be equivalent"
            for first, second in sorted(answer.equivalent - other.equivalent)
        ]
        changes += [
            f"{code(name)} is {negated}shown to be within {margin} of the best"
            for name in sorted(answer.within_margin - other.within_margin)
        ]
    for cost in sorted(before.cheapest.keys() | after.cheapest.keys()):
        new = after.cheapest.get(cost)
        if new != before.cheapest.get(cost):
            changes.append(f"the cheapest by {COSTS[cost]} is {code(new) if new else 'open'}")
    for pair, verb in ((before.faster, "does not train"), (after.faster, "trains")):
        if pair and before.faster != after.faster:
            first, second = map(code, pair)
            changes.append(f"{first} {verb} significantly more images a second than {second}")
    return changes
