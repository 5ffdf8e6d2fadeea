"""Where a difference comes from: two architectures under recipes of their own, and under one recipe for both.

A difference that is distinguishable under one condition and not under the other does not show that the condition
matters (Gelman and Stern, 2006): how much the recipes change it is a number of its own, with an interval of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.results.summaries import CohortSummary, same_images
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE, Estimate
from intelbench.statistics.inference import Inferred, PairedDifference

Origin = Literal["architecture", "recipe", "hidden by the recipes", "reversed by the recipes", "not decided"]


@dataclass(frozen=True)
class Match:
    """Two cohorts with images and architectures in common, one of which has a recipe for each architecture."""

    own: CohortSummary
    identical: CohortSummary
    architectures: tuple[str, ...]
    """That have finished in both, at least two."""


@dataclass(frozen=True)
class Contrast:
    """Two architectures, the first of which is ahead under recipes of their own; differences of test accuracy."""

    first: str
    second: str
    own: PairedDifference
    identical: PairedDifference
    change: Estimate | None
    """The one minus the other, paired by seed and image; `None` without a seed in common, or on other images."""
    p_change: float | None
    """Two-sided, of no change; Holm-corrected over the pairs. `None` below two seeds in common."""

    @property
    def origin(self) -> Origin:
        """What the runs show the difference to come from."""
        own, identical = _sign(self.own), _sign(self.identical)
        if own and identical:
            return "architecture" if own == identical else "reversed by the recipes"
        if self.changed and own > 0 and self.change is not None and self.change.mean > 0:
            return "recipe"
        if self.changed and identical and self.change is not None and self.change.mean * identical < 0:
            return "hidden by the recipes"
        return "not decided"

    @property
    def changed(self) -> bool:
        """Whether the recipes change the difference beyond the noise."""
        return self.p_change is not None and self.p_change <= SIGNIFICANCE


def matches(cohorts: Sequence[CohortSummary]) -> list[Match]:
    """Every cohort under own recipes with every one under identical conditions that has the same images and size."""
    found = []
    for own in cohorts:
        for identical in cohorts:
            if not own.cohort.own_recipes or identical.cohort.own_recipes or _looks(own) != _looks(identical):
                continue
            names = tuple(sorted(_finished(own) & _finished(identical)))
            if len(names) > 1:
                found.append(Match(own, identical, tuple(name for name, _ in names)))
    return found


def contrasts(match: Match) -> list[Contrast]:
    """Every pair that may be compared under both, the largest difference under own recipes first."""
    found = list(_pairs(match))
    inferred = [_change(match, each.first, each.second) for each in found]
    tested = [each.p_value for each in inferred if each is not None and each.p_value is not None]
    corrected = iter(inference.holm(np.array(tested)).tolist() if tested else [])
    found = [
        replace(
            contrast,
            change=each.estimate if each else None,
            p_change=next(corrected) if each is not None and each.p_value is not None else None,
        )
        for contrast, each in zip(found, inferred, strict=True)
    ]
    return sorted(found, key=lambda each: (-each.own.difference.mean, each.first, each.second))


def _pairs(match: Match) -> Iterator[Contrast]:
    """Without what the recipes change."""
    for pair in combinations(match.architectures, 2):
        own, identical = _difference(match.own, *pair), _difference(match.identical, *pair)
        if own is None or identical is None:
            continue
        if own.difference.mean < 0:
            yield Contrast(pair[1], pair[0], _turned(own), _turned(identical), None, None)
        else:
            yield Contrast(*pair, own, identical, None, None)


def _looks(summary: CohortSummary) -> tuple[str, int, int | None]:
    """Which images, and in what size."""
    spec, conditions = summary.cohort.spec, summary.cohort.conditions
    return spec.data.digest, conditions.image_size, spec.images_per_class


def _finished(summary: CohortSummary) -> frozenset[tuple[str, str]]:
    """Name and provider of each architecture with a finished run."""
    return frozenset((each.name, each.runs[0].record.spec.provider) for each in summary.finished)


def _places(summary: CohortSummary, *names: str) -> list[int]:
    known = [architecture.name for architecture in summary.finished]
    return [known.index(name) for name in names]


def _difference(summary: CohortSummary, first: str, second: str) -> PairedDifference | None:
    """First minus second; `None` where nothing may be ranked."""
    a, b = _places(summary, first, second)
    for pair in summary.differences:
        if (pair.first, pair.second) == (a, b):
            return pair
        if (pair.first, pair.second) == (b, a):
            return _turned(pair)
    return None


def _turned(pair: PairedDifference) -> PairedDifference:
    """The same, second minus first."""
    mean, low, high = pair.difference.mean, pair.difference.low, pair.difference.high
    turned = Estimate(-mean, None if high is None else -high, None if low is None else -low, pair.difference.n)
    return replace(pair, first=pair.second, second=pair.first, difference=turned)


def _change(match: Match, first: str, second: str) -> Inferred | None:
    """What own recipes add to first minus second, on the seeds and test images in common (n x N)."""
    runs = [each.finished[0].runs[0] for each in (match.own, match.identical)]
    seeds = sorted(set(match.own.cohort.common_seeds) & set(match.identical.cohort.common_seeds))
    if not seeds or not same_images(runs):
        return None
    own, identical = (_differences(each, first, second, seeds) for each in (match.own, match.identical))
    return inference.infer(own - identical, -2, 2)


def _differences(summary: CohortSummary, first: str, second: str, seeds: Sequence[int]) -> NDArray[np.int8]:
    """Right by the first alone: 1, by the second alone: -1 (n x N)."""
    a, b = _places(summary, first, second)
    rows = [summary.cohort.common_seeds.index(seed) for seed in seeds]
    values = summary.correct[:, rows].astype(np.int8)
    difference: NDArray[np.int8] = values[a] - values[b]
    return difference


def _sign(pair: PairedDifference) -> int:
    """Of a difference that is distinguishable; 0 of one that is not."""
    return 0 if pair.better is None else 1 if pair.better == pair.first else -1
