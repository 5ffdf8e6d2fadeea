"""The origin of a difference: two architectures under recipes of their own, and under one recipe for both.

A difference that is distinguishable under one condition and not under the other does not show that the condition
matters (Gelman and Stern, 2006), and one that is distinguishable under both may come from the recipes all the same: how
much the recipes change it is a number of its own, with an interval of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.results.summaries import CohortSummary, same_images
from intelbench.statistics import inference
from intelbench.statistics.comparisons import PairedDifference
from intelbench.statistics.estimates import Estimate

Origin = Literal[
    "architecture",
    "architecture and recipe",
    "reduced by the recipes",
    "recipe",
    "hidden by the recipes",
    "reversed by the recipes",
    "not decided",
]


@dataclass(frozen=True)
class Match:
    """Two cohorts with images and architectures in common, one of which has a recipe for each architecture."""

    own: CohortSummary
    identical: CohortSummary
    architectures: tuple[str, ...]
    """Architectures that have finished in both, at least two."""


@dataclass(frozen=True)
class Contrast:
    """Two architectures, the first of which is ahead under recipes of their own; differences of test accuracy."""

    first: str
    second: str
    own: PairedDifference
    identical: PairedDifference
    change: Estimate | None
    """`own` minus `identical`, paired by seed and image; `None` without a seed in common, or on different images."""
    p_change: float | None
    """Two-sided p value of no change, Holm-corrected over the pairs; `None` below two seeds in common."""
    recipe_share: Estimate | None
    """`change` over `own` on the seeds in common; the rest is the architecture's, under one recipe for both. `None`
    unless `own` is distinguishable."""

    @property
    def origin(self) -> Origin:
        """Return the origin of the difference, as far as the runs show it; the change decides first."""
        own, identical = _sign(self.own), _sign(self.identical)
        change = self.change.mean if self.change and self.changed else 0.0
        if own * identical < 0:
            return "reversed by the recipes"
        if own and identical:
            return "architecture and recipe" if change > 0 else "reduced by the recipes" if change else "architecture"
        if own > 0 and change > 0:
            return "recipe"
        return "hidden by the recipes" if change * identical < 0 else "not decided"

    @property
    def changed(self) -> bool:
        """Return whether the recipes change the difference beyond the noise; at the smaller level of both, in looks."""
        level = min(self.own.significance, self.identical.significance)
        return self.p_change is not None and self.p_change <= level


def matches(cohorts: Sequence[CohortSummary]) -> list[Match]:
    """Return the pairs of a cohort under own recipes and one under identical conditions, with the same images."""
    pairs = []
    for own in cohorts:
        for identical in cohorts:
            if not own.cohort.own_recipes or identical.cohort.own_recipes or _images(own) != _images(identical):
                continue
            names = tuple(sorted(_finished(own) & _finished(identical)))
            if len(names) > 1:
                pairs.append(Match(own, identical, tuple(name for name, _ in names)))
    return pairs


def contrasts(match: Match) -> list[Contrast]:
    """Return every pair that may be compared under both, the largest difference under own recipes first."""
    own, identical = _by_names(match.own), _by_names(match.identical)
    pairs: list[Contrast] = []
    for names in combinations(match.architectures, 2):
        if names in own and names in identical:
            first, second = names if own[names].difference.mean >= 0 else names[::-1]
            pairs.append(_contrast(match, first, second, own[first, second], identical[first, second]))
    corrected = inference.holm_known([pair.p_change for pair in pairs])
    pairs = [replace(pair, p_change=p_change) for pair, p_change in zip(pairs, corrected, strict=True)]
    return sorted(pairs, key=lambda pair: (-pair.own.difference.mean, pair.first, pair.second))


def _images(summary: CohortSummary) -> tuple[object, ...]:
    """Return what determines the images of a cohort: data, image size, number, and what differs between seeds."""
    spec, conditions = summary.cohort.spec, summary.cohort.conditions
    data = spec.data.comparable_digest
    return data, conditions.image_size, spec.images_per_class, spec.vary, spec.fixed_seed


def _finished(summary: CohortSummary) -> frozenset[tuple[str, str]]:
    """Return the name and provider of each architecture with a finished run."""
    return frozenset(
        (architecture.name, architecture.runs[0].record.spec.provider) for architecture in summary.finished
    )


def _by_names(summary: CohortSummary) -> dict[tuple[str, str], PairedDifference]:
    """Return the differences by the names of both architectures, in either order: the first minus the second."""
    names = [architecture.name for architecture in summary.finished]
    pairs = {(names[pair.first], names[pair.second]): pair for pair in summary.accuracy_differences}
    return pairs | {(second, first): _reversed(pair) for (first, second), pair in pairs.items()}


def _reversed(pair: PairedDifference) -> PairedDifference:
    """Return a difference as second minus first."""
    inferred = replace(pair.inferred, estimate=-pair.difference)
    return replace(pair, first=pair.second, second=pair.first, inferred=inferred)


def _contrast(match: Match, first: str, second: str, own: PairedDifference, identical: PairedDifference) -> Contrast:
    """Return what own recipes add to first minus second, on the seeds and test images in common."""
    seeds = [seed for seed in own.seeds if seed in identical.seeds]
    if not seeds or not same_images([summary.runs[0] for summary in (match.own, match.identical)]):
        return Contrast(first, second, own, identical, None, None, None)
    total = _differences(match.own, first, second, seeds)
    added = total - _differences(match.identical, first, second, seeds)
    change = inference.infer(added, -2, 2)
    share = inference.infer_part(added, total) if own.better is not None else None
    return Contrast(first, second, own, identical, change.estimate, change.p_value, share)


def _differences(summary: CohortSummary, first: str, second: str, seeds: Sequence[int]) -> NDArray[np.int8]:
    """Return 1 where only the first is right, -1 where only the second is, else 0 (n x N)."""
    assert summary.correct is not None
    known = [architecture.name for architecture in summary.finished]
    a, b = (summary.correct.of(known.index(name), seeds).astype(np.int8) for name in (first, second))
    difference: NDArray[np.int8] = a - b
    return difference


def _sign(pair: PairedDifference) -> int:
    """Return the sign of a difference; 0 unless it is distinguishable."""
    return 0 if pair.better is None else 1 if pair.better == pair.first else -1
