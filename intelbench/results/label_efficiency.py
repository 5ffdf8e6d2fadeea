"""Test accuracy by how many images of each class were labelled, and which architecture needs the fewest.

Shapes: K numbers of images, n seeds, N test images, P points of a curve.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from intelbench.records.identity import canonical_fields, comparison_digest, digest, machine_digest
from intelbench.results.efficiency import ladder
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import ArchitectureSummary, CohortSummary, same_images
from intelbench.results.tables import Row, estimate_columns
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate, finite
from intelbench.statistics.inference import Inferred, holm, infer

Values = NDArray[np.float64]

TARGET_STEP = 5
"""Per cent: the target is a multiple of it."""
_POINTS = 32
"""Of a curve from one number of images that was run to the next."""


@dataclass(frozen=True)
class LabelCurve:
    """Test accuracy of an architecture by images of each class: straight lines over their logarithm."""

    architecture: ArchitectureSummary
    """Of the runs with the most images."""
    numbers: Values
    """Images of each class that were run, K, rising."""
    correct: NDArray[np.bool_]
    """Whether each test image was recognised, K x n x N."""

    @property
    def name(self) -> str:
        """Of the architecture."""
        return self.architecture.name

    @cached_property
    def points(self) -> Values:
        """Numbers of images from the fewest to the most, P; those that were run are among them."""
        steps = np.linspace(0, len(self.numbers) - 1, _POINTS * (len(self.numbers) - 1) + 1)
        return np.exp(np.interp(steps, np.arange(len(self.numbers)), np.log(self.numbers)))

    def at(self, number: float) -> Values:
        """Right or wrong by seed and image, n x N; between two numbers that were run, the weighted mean of both."""
        place = int(np.clip(np.searchsorted(self.numbers, number), 1, len(self.numbers) - 1)) - 1
        low, high = np.log(self.numbers[place : place + 2])
        share = (np.log(number) - low) / (high - low)
        found: Values = (1 - share) * self.correct[place] + share * self.correct[place + 1]
        return found

    @cached_property
    def inferred(self) -> list[Inferred]:
        """Accuracy at each of the points, over seeds and test images."""
        return [found for number in self.points if (found := infer(self.at(number), 0, 1)) is not None]

    @cached_property
    def accuracy(self) -> Values:
        """Mean at each of the points."""
        means = self.correct.mean(axis=(1, 2))
        found: Values = np.interp(np.log(self.points), np.log(self.numbers), means)
        return found

    @property
    def band(self) -> tuple[Values, Values] | None:
        """Ends of the 95 % interval at each of the points; `None` for one seed."""
        low, high = ([getattr(each.estimate, end) for each in self.inferred] for end in ("low", "high"))
        return None if None in low else (np.array(low), np.array(high))

    def needed(self, target: float) -> Estimate:
        """Images of each class until the accuracy first reaches the target: infinite where it does not.

        The fewest that were run stand for that or less. The interval holds every number at which the target is within
        the interval of the accuracy (a test inverted; Neyman, 1937).
        """
        low, high = (self.first(end, target) for end in reversed(self.band)) if self.band else (None, None)
        return Estimate(self.first(self.accuracy, target), low, high, self.correct.shape[1])

    def excess(self, number: float, target: float) -> Values:
        """How far accuracy at a number of images is above the target (n x N), in logarithms of images.

        That is over the slope with which the curve first reaches the target, which it does between two points.
        """
        end = int(np.argmax(self.accuracy >= target))
        (left, right), (low, high) = self.accuracy[end - 1 : end + 1], np.log(self.points[end - 1 : end + 1])
        found: Values = (self.at(number) - target) * (high - low) / (right - left)
        return found

    def first(self, values: Values, target: float) -> float:
        """Where values at the points first reach the target."""
        reached = np.flatnonzero(values >= target)
        if not len(reached):
            return np.inf
        end = int(reached[0])
        if end == 0:
            return float(self.points[0])
        between = slice(end - 1, end + 1)
        return float(np.exp(np.interp(target, values[between], np.log(self.points[between]))))


@dataclass(frozen=True)
class LabelComparison:
    """Two architectures, and which of them needs fewer images for the target."""

    first: LabelCurve
    second: LabelCurve
    ahead: LabelCurve
    """The one that reaches it first, beyond the noise or not."""
    p_holm: float | None
    """That both need equally many, corrected over all pairs; `None` for one seed."""

    @property
    def fewer(self) -> LabelCurve | None:
        """Which of the two needs fewer, if that is beyond the noise."""
        return self.ahead if self.p_holm is not None and self.p_holm <= SIGNIFICANCE else None

    @property
    def more(self) -> LabelCurve | None:
        """The other one."""
        return next(each for each in (self.first, self.second) if each is not self.fewer) if self.fewer else None


@dataclass(frozen=True)
class LabelStudy:
    """Groups of runs that differ in nothing but how many images of each class they were trained on."""

    summaries: tuple[CohortSummary, ...]
    """The fewest images first."""
    groups: tuple[int, ...]
    """Their places in the report, counted from 1."""

    @cached_property
    def key(self) -> str:
        """Short digest; part of the figure's name."""
        return digest([summary.cohort.key for summary in self.summaries])[:8]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every architecture in any of the groups."""
        return tuple(sorted({a.name for summary in self.summaries for a in summary.architectures}))

    @cached_property
    def curves(self) -> tuple[LabelCurve, ...]:
        """Of the architectures that have finished runs in all groups, by name, over the seeds that all have finished.

        None where batches or test images differ, or there is no such seed.
        """
        seeds = frozenset.intersection(*(frozenset(summary.cohort.common_seeds) for summary in self.summaries))
        if not seeds or not all(summary.correct.size for summary in self.summaries):
            return ()
        numbers = np.array([images_of_each_class(summary) for summary in self.summaries])
        found = []
        for name in self.names:
            runs = [_runs_of(summary, name, seeds) for summary in self.summaries]
            if all(runs) and _comparable([run for each in runs for run in each]):
                architecture = next(a for a in self.summaries[-1].finished if a.name == name)
                found.append(LabelCurve(architecture, numbers, np.array([[r.correct for r in each] for each in runs])))
        return tuple(found)

    @cached_property
    def target(self) -> float | None:
        """The highest rung of a ladder that no result has chosen which all architectures reach."""
        rungs = ladder(len(self.summaries[0].data.class_names), TARGET_STEP)
        reached = [rung for rung in rungs if all(np.isfinite(c.first(c.accuracy, rung)) for c in self.curves)]
        return reached[-1] if reached and self.curves else None

    @cached_property
    def comparisons(self) -> tuple[LabelComparison, ...]:
        """Every pair of architectures."""
        if self.target is None:
            return ()
        pairs = list(combinations(self.curves, 2))
        found = [compare_labels(first, second, self.target) for first, second in pairs]
        raw = [p_value for _, p_value in found if p_value is not None]
        corrected: Sequence[float | None] = holm(np.array(raw)).tolist() if raw else [None] * len(pairs)
        return tuple(
            LabelComparison(first, second, ahead, p_holm)
            for (first, second), (ahead, _), p_holm in zip(pairs, found, corrected, strict=True)
        )

    def plain(self) -> dict[str, object]:
        """All of it as plain values."""
        return {
            "cohorts": [summary.cohort.key for summary in self.summaries],
            "accuracies": [row for summary in self.summaries for row in _accuracies(summary)],
            "target": self.target,
            "needed": [] if self.target is None else [_needed(curve, self.target) for curve in self.curves],
            "comparisons": [_comparison(each) for each in self.comparisons],
        }


def label_studies(summaries: Sequence[CohortSummary]) -> list[LabelStudy]:
    """Put together what differs in the number of training images alone; what stands alone is left out.

    Of two groups with as many images, as `all` and a number that is all, the first counts.
    """
    members: dict[object, dict[float, tuple[CohortSummary, int]]] = defaultdict(dict)
    for place, summary in enumerate(summaries, start=1):
        record = summary.cohort.runs[0].record
        whole = msgspec.structs.replace(record.spec, images_per_class=None)
        key = comparison_digest(whole), machine_digest(record)
        members[key].setdefault(images_of_each_class(summary), (summary, place))
    rising = [[found[number] for number in sorted(found) if number > 0] for found in members.values()]
    return [
        LabelStudy(tuple(each for each, _ in found), tuple(place for _, place in found))
        for found in rising
        if len(found) > 1
    ]


def images_of_each_class(summary: CohortSummary) -> float:
    """Training images of each class; where all are taken and classes differ, their mean."""
    spec = summary.cohort.spec
    return spec.num_train / max(len(spec.data.class_names), 1)


def _comparable(runs: Sequence[RunSummary]) -> bool:
    """Whether all have one recipe, which may be the architecture's own, and the same test images."""
    recipes = {digest(canonical_fields(run.record.spec.conditions)) for run in runs}
    return len(recipes) == 1 and same_images(runs)


def _runs_of(summary: CohortSummary, name: str, seeds: frozenset[int]) -> list[RunSummary]:
    return [run for each in summary.finished if each.name == name for run in each.runs if run.seed in seeds]


def compare_labels(first: LabelCurve, second: LabelCurve, target: float) -> tuple[LabelCurve, float | None]:
    """Which of two is ahead, and the p value of equal needs; `None` for one seed.

    Where both numbers lie between those that were run: if the needs were equal, there would be one number at which
    both have an excess of 0, so that the difference of the two excesses is tested, at the number that either seems to
    need, and the larger p counts. Else at the number at which their mean reaches the target, or an end: one has to be
    above it there and the other below, each beyond the noise (an intersection-union test; Berger, 1982).
    """
    needed = [curve.first(curve.accuracy, target) for curve in (first, second)]
    ahead, behind = (first, second) if needed[0] < needed[1] else (second, first)
    if all(first.points[0] < number < np.inf for number in needed):
        return ahead, _p_value([ahead.excess(number, target) - behind.excess(number, target) for number in needed])
    number = min(first.first((first.accuracy + second.accuracy) / 2, target), float(first.points[-1]))
    return ahead, _p_value([ahead.at(number) - target, target - behind.at(number)])


def _p_value(tables: Sequence[Values]) -> float | None:
    """That not all have a mean above 0 (n x N each): the largest of their p values, two-sided; `None` for one seed."""
    inferred = [found for table in tables if (found := infer(table)) is not None]
    p_values = [each.p_above(each.location, 0.0, sides=2) for each in inferred]
    known = [p_value for p_value in p_values if p_value is not None]
    return min(1.0, max(known)) if known else None


def _accuracies(summary: CohortSummary) -> list[Row]:
    return [
        {
            "architecture": architecture.name,
            "images_per_class": images_of_each_class(summary),
            "num_runs": len(architecture.runs),
            **estimate_columns("test_accuracy", architecture.test_accuracy),
            "group": summary.groups.get(architecture.name),
        }
        for architecture in summary.finished
    ]


def _needed(curve: LabelCurve, target: float) -> Row:
    found = curve.needed(target)
    return {
        "architecture": curve.name,
        "num_seeds": found.n,
        "images_per_class": finite(found.mean),
        "images_per_class_low": None if found.low is None else finite(found.low),
        "images_per_class_high": None if found.high is None else finite(found.high),
    }


def _comparison(each: LabelComparison) -> Row:
    return {
        "first": each.first.name,
        "second": each.second.name,
        "p_holm": each.p_holm,
        "fewer": each.fewer.name if each.fewer else None,
    }
