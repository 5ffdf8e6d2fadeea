"""Test accuracy by the number of labelled images of each class, and which architecture needs the fewest.

Shapes: K numbers of images, n seeds, N test images, P points of a curve.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from intelbench.records.identity import comparison_digest, digest, machine_digest
from intelbench.results.columns import Row, estimate_columns
from intelbench.results.efficiency import ladder
from intelbench.results.reaching import spent_until
from intelbench.results.summaries import ArchitectureSummary, CohortSummary, are_comparable
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate, finite
from intelbench.statistics.inference import Inferred, holm_known, infer

Values = NDArray[np.float64]

TARGET_STEP = 5
"""The target is a multiple of this, in per cent."""
_POINTS = 32
"""Points of a curve between two numbers of images that were run."""


@dataclass(frozen=True)
class LabelCurve:
    """Test accuracy of an architecture by images of each class: straight lines over their logarithm."""

    architecture: ArchitectureSummary
    """Runs with the most images."""
    numbers: Values
    """Images of each class in the runs (K), rising."""
    seeds: tuple[int, ...]
    """Seeds that the architecture has finished with every number of images."""
    correct: NDArray[np.bool_]
    """Whether each test image was recognised, K x n x N."""

    @property
    def name(self) -> str:
        """Return the name of the architecture."""
        return self.architecture.name

    def on(self, seeds: Sequence[int]) -> "LabelCurve":
        """Return the curve over some of its seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return replace(self, seeds=tuple(seeds), correct=self.correct[:, rows])

    @cached_property
    def _log_points(self) -> Values:
        steps = np.linspace(0, len(self.numbers) - 1, _POINTS * (len(self.numbers) - 1) + 1)
        points: Values = np.interp(steps, np.arange(len(self.numbers)), np.log(self.numbers))
        return points

    @cached_property
    def points(self) -> Values:
        """Return the numbers of images (P), from the smallest to the largest; `numbers` are among them."""
        return np.exp(self._log_points)

    def at(self, num_images: float) -> Values:
        """Return 1 or 0 by seed and image (n x N); between two numbers that were run, the weighted mean of both."""
        left = int(np.clip(np.searchsorted(self.numbers, num_images), 1, len(self.numbers) - 1)) - 1
        low, high = np.log(self.numbers[left : left + 2])
        share = (np.log(num_images) - low) / (high - low)
        correct: Values = (1 - share) * self.correct[left] + share * self.correct[left + 1]
        return correct

    @cached_property
    def inferred(self) -> list[Inferred]:
        """Return the accuracy at each point, over seeds and test images."""
        return [infer(self.at(num_images), 0, 1) for num_images in self.points]

    @cached_property
    def accuracy(self) -> Values:
        """Return the mean accuracy at each point."""
        means = self.correct.mean(axis=(1, 2))
        accuracy: Values = np.interp(np.log(self.points), np.log(self.numbers), means)
        return accuracy

    @property
    def band(self) -> tuple[Values, Values] | None:
        """Return the ends of the 95 % interval of the accuracy at each point; `None` for one seed."""
        low, high = ([getattr(inferred.estimate, end) for inferred in self.inferred] for end in ("low", "high"))
        return None if None in low else (np.array(low), np.array(high))

    def needed(self, target: float) -> Estimate:
        """Return the images of each class at which the accuracy first reaches the target; infinite where it does not.

        The smallest number that was run means that number or less. The interval holds every number at which the target
        is within the interval of the accuracy (a test inverted; Neyman, 1937).
        """
        low, high = (self.first(end, target) for end in reversed(self.band)) if self.band else (None, None)
        return Estimate(self.first(self.accuracy, target), low, high, len(self.seeds))

    def excess(self, num_images: float, target: float) -> Values:
        """Return the difference of accuracy at a number of images and the target (n x N), in logarithms of images.

        It is divided by the slope with which the curve first reaches the target, which it does between two points.
        """
        end = int(np.argmax(self.accuracy >= target))
        (left, right), (low, high) = self.accuracy[end - 1 : end + 1], np.log(self.points[end - 1 : end + 1])
        difference: Values = (self.at(num_images) - target) * (high - low) / (right - left)
        return difference

    def first(self, values: Values, target: float) -> float:
        """Return the number of images at which values at the points first reach the target; infinite without one."""
        return float(np.exp(spent_until(self._log_points, values, [target])[0]))


@dataclass(frozen=True)
class LabelComparison:
    """Two architectures, and which of them needs fewer images for the target."""

    first: LabelCurve
    second: LabelCurve
    ahead: LabelCurve
    """The architecture that reaches the target with fewer images, beyond the noise or not."""
    p_holm: float | None
    """P value of equal needs, corrected over the pairs; `None` for less than two seeds in common."""
    level: float = SIGNIFICANCE
    """Significance level."""

    @property
    def fewer(self) -> LabelCurve | None:
        """Return the architecture that needs fewer images, if that is beyond the noise."""
        return self.ahead if self.p_holm is not None and self.p_holm <= self.level else None

    @property
    def more(self) -> LabelCurve | None:
        """Return the architecture that needs more images, if that is beyond the noise."""
        return next(curve for curve in (self.first, self.second) if curve is not self.fewer) if self.fewer else None


@dataclass(frozen=True)
class LabelStudy:
    """Groups of runs that differ only in the number of training images of each class."""

    summaries: tuple[CohortSummary, ...]
    """By number of images, rising."""
    groups: tuple[int, ...]
    """Numbers of the groups in the report, counted from 1."""

    @cached_property
    def key(self) -> str:
        """Return the short digest in the name of the figure."""
        return digest([summary.cohort.key for summary in self.summaries])[:8]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of the architectures in any of the groups."""
        return tuple(sorted({a.name for summary in self.summaries for a in summary.architectures}))

    @cached_property
    def curves(self) -> tuple[LabelCurve, ...]:
        """Return the curves of architectures with finished runs of a seed in all groups, over all such seeds.

        There are none where batches or test images differ.
        """
        if any(summary.correct is None for summary in self.summaries):
            return ()
        numbers = np.array([images_of_each_class(summary) for summary in self.summaries])
        curves = []
        for name in self.names:
            members = [a for summary in self.summaries for a in summary.finished if a.name == name]
            if len(members) < len(self.summaries):
                continue
            seeds = tuple(sorted(frozenset.intersection(*(architecture.seeds for architecture in members))))
            runs = [[run for run in architecture.runs if run.seed in seeds] for architecture in members]
            if seeds and are_comparable([run for of_group in runs for run in of_group]):
                correct = np.array([[run.correct for run in of_group] for of_group in runs])
                curves.append(LabelCurve(members[-1], numbers, seeds, correct))
        return tuple(curves)

    @cached_property
    def target(self) -> float | None:
        """Return the highest accuracy of `ladder` that all architectures reach; `None` without one."""
        rungs = ladder(len(self.summaries[0].data.class_names), TARGET_STEP)
        reached = [rung for rung in rungs if all(np.isfinite(c.first(c.accuracy, rung)) for c in self.curves)]
        return reached[-1] if reached and self.curves else None

    @cached_property
    def comparisons(self) -> tuple[LabelComparison, ...]:
        """Return the comparisons of every pair of architectures."""
        if self.target is None:
            return ()
        pairs = list(combinations(self.curves, 2))
        compared = [compare_labels(first, second, self.target) for first, second in pairs]
        corrected = holm_known([p_value for _, p_value in compared])
        return tuple(
            LabelComparison(first, second, ahead, p_holm, self._level(first, second))
            for (first, second), (ahead, _), p_holm in zip(pairs, compared, corrected, strict=True)
        )

    def _level(self, first: LabelCurve, second: LabelCurve) -> float:
        """Return the smallest level of any group, on the seeds that a pair has in common there."""
        levels = []
        for summary in self.summaries:
            seeds = [each.seeds for each in summary.finished if each.name in (first.name, second.name)]
            levels.append(summary.level_on([first.name, second.name], frozenset.intersection(*seeds)))
        return min(levels)

    def plain(self) -> dict[str, object]:
        """Return accuracies, target, needs and comparisons as plain values."""
        return {
            "cohorts": [summary.cohort.key for summary in self.summaries],
            "accuracies": [
                {
                    "architecture": architecture.name,
                    "images_per_class": images_of_each_class(summary),
                    "num_runs": len(architecture.runs),
                    **estimate_columns("test_accuracy", architecture.test_accuracy),
                    "group": summary.groups.get(architecture.name),
                }
                for summary in self.summaries
                for architecture in summary.finished
            ],
            "target": self.target,
            "needed": [] if self.target is None else [_needed(curve, self.target) for curve in self.curves],
            "comparisons": [
                {
                    "first": pair.first.name,
                    "second": pair.second.name,
                    "p_holm": pair.p_holm,
                    "fewer": pair.fewer.name if pair.fewer else None,
                }
                for pair in self.comparisons
            ],
        }


def label_studies(summaries: Sequence[CohortSummary]) -> list[LabelStudy]:
    """Return the groups that differ only in the number of training images, put together; single groups are left out.

    Of two groups with equally many images, as `all` and a number that is all, the first counts. Groups in which only
    one source of variance differs between the seeds are left out.
    """
    members: dict[object, dict[float, tuple[CohortSummary, int]]] = defaultdict(dict)
    for group, summary in enumerate(summaries, start=1):
        record = summary.cohort.runs[0].record
        if record.spec.vary != "all":
            continue
        with_all = msgspec.structs.replace(record.spec, images_per_class=None)
        key = comparison_digest(with_all), machine_digest(record)
        members[key].setdefault(images_of_each_class(summary), (summary, group))
    rising = [[by_size[size] for size in sorted(by_size) if size > 0] for by_size in members.values()]
    return [
        LabelStudy(tuple(summary for summary, _ in numbered), tuple(group for _, group in numbered))
        for numbered in rising
        if len(numbered) > 1
    ]


def images_of_each_class(summary: CohortSummary) -> float:
    """Return the number of training images of each class, on average."""
    spec = summary.cohort.spec
    return spec.num_train / max(len(spec.data.class_names), 1)


def compare_labels(first: LabelCurve, second: LabelCurve, target: float) -> tuple[LabelCurve, float | None]:
    """Return which of two curves is ahead, and the p value of equal needs; `None` for less than two seeds in common.

    Where both needs are between the numbers that were run: if the needs were equal, both curves would have an excess of
    0 at one number, so the difference of the two excesses is tested, at the need of either curve, and the larger p
    counts. Else at the number at which their mean reaches the target, or an end: one curve has to be above the target
    there and the other below, each beyond the noise (an intersection-union test; Berger, 1982).
    """
    seeds = [seed for seed in first.seeds if seed in second.seeds]
    ours, theirs = (first.on(seeds), second.on(seeds)) if len(seeds) > 1 else (first, second)
    needed = [curve.first(curve.accuracy, target) for curve in (ours, theirs)]
    leads = needed[0] < needed[1]
    ahead = first if leads else second
    if len(seeds) < 2:
        return ahead, None
    less, more = (ours, theirs) if leads else (theirs, ours)
    if all(ours.points[0] < need < np.inf for need in needed):
        return ahead, _p_value([less.excess(need, target) - more.excess(need, target) for need in needed])
    num_images = min(ours.first((ours.accuracy + theirs.accuracy) / 2, target), float(ours.points[-1]))
    return ahead, _p_value([less.at(num_images) - target, target - more.at(num_images)])


def _p_value(tables: Sequence[Values]) -> float | None:
    """Return the two-sided p value that not all tables (n x N) have a mean above 0; `None` for one seed."""
    inferred = [infer(table) for table in tables]
    p_values = [mean.p_above(mean.location, 0.0, sides=2) for mean in inferred]
    known = [p_value for p_value in p_values if p_value is not None]
    return min(1.0, max(known)) if known else None


def _needed(curve: LabelCurve, target: float) -> Row:
    needed = curve.needed(target)
    return {
        "architecture": curve.name,
        "num_seeds": needed.n,
        "images_per_class": finite(needed.mean),
        "images_per_class_low": finite(needed.low),
        "images_per_class_high": finite(needed.high),
    }
