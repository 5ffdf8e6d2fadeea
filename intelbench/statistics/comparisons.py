"""Comparisons of every pair of architectures on the same seeds and images: pure functions on arrays.

Shapes: A architectures, n seeds, N images. A pair is compared on the seeds that both have finished, so the missing runs
of one architecture change nothing for the others.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from string import ascii_lowercase
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from intelbench.statistics.estimates import SIGNIFICANCE, Estimate
from intelbench.statistics.inference import (
    Images,
    Inferred,
    holm_known,
    infer_moments,
    sign_p_values,
)
from intelbench.statistics.moderation import PairVariance, pair_variances
from intelbench.statistics.moments import Moments, without_each_seed
from intelbench.statistics.seed_table import SeedTable

MARGIN = 0.01
"""Largest difference of two accuracies that counts as equivalent, unless a suite or a report has another."""

UNPOOLED_FACTOR = 2.0
"""Correction of the p values with unpooled spreads; chosen by the simulation of docs/statistics.md."""
Answer = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class SeedDiscordance:
    """Images of one seed that only one of two architectures got right."""

    first_only: int
    second_only: int
    p_value: float
    """Two-sided p value of the exact McNemar test (1947) that the counts of these two trained networks are equal."""


@dataclass(frozen=True)
class PairedDifference:
    """Difference of a value, such as test accuracy, between two architectures on the same seeds and images."""

    first: int
    second: int
    seeds: tuple[int, ...]
    """Seeds that both have finished, at least one."""
    inferred: Inferred
    p_holm: float | None
    """Two-sided p value after Holm's step-down correction (1979) over all pairs; `None` for less than two seeds."""
    p_equivalent: float | None
    """P value of a difference of the margin or more, after Holm's correction; `None` for less than two seeds."""
    discordance: tuple[SeedDiscordance, ...]
    """By seed; empty unless the value of an image is right or wrong."""
    higher_is_better: bool = True
    significance: float = SIGNIFICANCE

    @property
    def difference(self) -> Estimate:
        """Return the mean difference, first minus second; its interval is not corrected for other pairs."""
        return self.inferred.estimate

    @property
    def p_value(self) -> float | None:
        """Return the two-sided p value, not corrected for other pairs; `None` for less than two seeds."""
        return self.inferred.p_value

    @property
    def better(self) -> int | None:
        """Return the architecture that is significantly better, or `None`."""
        if self.p_holm is None or self.p_holm > self.significance:
            return None
        return self.first if (self.difference.mean > 0) == self.higher_is_better else self.second

    @property
    def is_equivalent(self) -> bool:
        """Return whether the difference is shown to be smaller than the margin."""
        return self.p_equivalent is not None and self.p_equivalent <= self.significance

    @property
    def answer(self) -> Answer | None:
        """Return what is known of the first architecture against the second; `None` for less than two seeds.

        A difference that is significant and smaller than the margin is `equivalent`.
        """
        if self.p_holm is None:
            return None
        if self.is_equivalent:
            return "equivalent"
        return "undecided" if self.better is None else "better" if self.better == self.first else "worse"


@dataclass(frozen=True)
class Omnibus:
    """Cochran's Q test (1950) that all architectures of one seed are right on equally many of the same images."""

    statistic: float
    freedom: int
    p_value: float


@dataclass(frozen=True)
class Scale:
    """How the values of the images are judged."""

    limit: float = 1.0
    """Largest possible difference of two values."""
    higher_is_better: bool = True
    margin: float = MARGIN
    """Largest difference that counts as equivalent."""
    significance: float = SIGNIFICANCE


def paired_differences(table: SeedTable, scale: Scale = Scale()) -> list[PairedDifference]:
    """Compare every pair of architectures on the seeds that both have finished, with moderated variances.

    A pair without a seed in common is left out; one with a single seed in common has no p value and is not part of
    Holm's correction.
    """
    pairs = _pairs(table)
    moments, counts = [], []
    for pair in pairs:  # one after the other: the tables of all pairs may take a gigabyte
        first, second = table.of_pair(*pair)
        moments.append(Moments.of(first.astype(np.float64) - second))
        counts.append(discordance(first, second) if table.padded.dtype == np.bool_ else ())
    images = _images(table, scale)
    inferred = _inferred(moments, pair_variances(table.means, table.finished, pairs), scale.limit, images)
    return _corrected(pairs, [table.common(*pair) for pair in pairs], inferred, scale, counts)


def differences_without_each_seed(table: SeedTable, scale: Scale = Scale()) -> dict[int, list[PairedDifference]]:
    """Return what `paired_differences` returns without each of the seeds, by seed, but for the discordance.

    All of it takes little longer than `paired_differences` itself, because the tables of the pairs are read once.
    """
    pairs = _pairs(table)
    common = {pair: table.common(*pair) for pair in pairs}
    without: dict[tuple[int, int], dict[int, Moments]] = {}
    """Moments of each pair without each seed."""
    for pair in pairs:
        first, second = table.of_pair(*pair)
        difference = first.astype(np.float64) - second
        without[pair] = dict.fromkeys(table.seeds, Moments.of(difference))
        if len(difference) > 1:
            without[pair] |= zip(common[pair], without_each_seed(difference), strict=True)
    compared, images = {}, _images(table, scale)
    for column, seed in enumerate(table.seeds):
        finished = table.finished.copy()
        finished[:, column] = False
        kept = [pair for pair in pairs if set(common[pair]) != {seed}]
        moments = [without[pair][seed] for pair in kept]
        inferred = _inferred(moments, pair_variances(table.means, finished, kept), scale.limit, images)
        seeds = [tuple(other for other in common[pair] if other != seed) for pair in kept]
        compared[seed] = _corrected(kept, seeds, inferred, scale, [()] * len(kept))
    return compared


def _pairs(table: SeedTable) -> list[tuple[int, int]]:
    """Return the pairs of architectures that have finished a seed in common."""
    every_pair = combinations(range(len(table.finished)), 2)
    return [pair for pair in every_pair if table.common(*pair) and table.padded.shape[2]]


def _images(table: SeedTable, scale: Scale) -> Images | None:
    """Return the images of the differences; `None` of values without a limit."""
    return Images.of(table.padded) if np.isfinite(scale.limit) else None


def _inferred(
    moments: Sequence[Moments], variances: Sequence[PairVariance | None], limit: float, images: Images | None
) -> list[Inferred]:
    inferred = []
    for of_pair, variance in zip(moments, variances, strict=True):
        known = None if of_pair.is_zero else variance  # nothing is pooled for a pair that never differs
        moderated, unpooled = (known.moderated, known.unpooled) if known else (None, None)
        inferred.append(infer_moments(of_pair, -limit, limit, moderated, unpooled, images))
    return inferred


def _corrected(
    pairs: Sequence[tuple[int, int]],
    seeds: Sequence[tuple[int, ...]],
    inferred: Sequence[Inferred],
    scale: Scale,
    counts: Sequence[tuple[SeedDiscordance, ...]],
) -> list[PairedDifference]:
    """Return the differences of pairs, with Holm's correction over all of them."""
    differing = corrected_p_values(inferred, lambda mean: mean.p_value)
    equivalent = corrected_p_values(inferred, lambda mean: mean.p_equivalent(scale.margin))
    of_pairs = zip(pairs, seeds, inferred, differing, equivalent, counts, strict=True)
    return [
        PairedDifference(
            first, second, of_pair, mean, p_holm, p_equivalent, discordant, scale.higher_is_better, scale.significance
        )
        for (first, second), of_pair, mean, p_holm, p_equivalent, discordant in of_pairs
    ]


def corrected_p_values(
    inferred: Sequence[Inferred], p_value: Callable[[Inferred], float | None], num_comparisons: int = 0
) -> list[float | None]:
    """Return the p values of comparisons after Holm's correction (1979); `None` where there is none.

    With more than these comparisons, the p values of the others count as 1.

    The p values with unpooled spreads are multiplied by 2, for whatever number of comparisons. That keeps the error
    where one architecture varies more than the others, and costs less power than Holm's correction would.
    """
    parts = [each.parts for each in inferred]
    corrected = holm_known([p_value(mean) for mean, _ in parts], num_comparisons)
    unpooled = [None if mean is None else p_value(mean) for _, mean in parts]
    return [
        p if p is None or p_alone is None else min(max(p, UNPOOLED_FACTOR * p_alone), 1.0)
        for p, p_alone in zip(corrected, unpooled, strict=True)
    ]


def discordance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[SeedDiscordance, ...]:
    """Count the images that only one of two networks got right, and test whether the counts differ (n x N each)."""
    first_only, second_only = np.count_nonzero(first & ~second, axis=1), np.count_nonzero(second & ~first, axis=1)
    p_values = sign_p_values(first_only, second_only)
    by_seed = zip(first_only.tolist(), second_only.tolist(), p_values.tolist(), strict=True)
    return tuple(SeedDiscordance(*counts) for counts in by_seed)


def omnibus(correct: NDArray[np.bool_]) -> Omnibus | None:
    """Compare all architectures of one seed (correct: A x N); `None` if all are right on the same images."""
    informative = correct.any(axis=0) & ~correct.all(axis=0)
    if not informative.any():
        return None
    num_architectures, by_image = len(correct), correct.sum(axis=0)
    by_architecture = correct.sum(axis=1)
    spread = num_architectures * (by_architecture**2).sum() - by_architecture.sum() ** 2
    statistic = (num_architectures - 1) * spread / (num_architectures * by_image.sum() - (by_image**2).sum())
    return Omnibus(float(statistic), num_architectures - 1, float(chdtrc(num_architectures - 1, statistic)))


def ranks(num_architectures: int, differences: Sequence[PairedDifference]) -> list[int | None]:
    """Return 1 + the number of significantly better architectures, for each architecture.

    An architecture that was tested against no other one has no rank.
    """
    tested = {index for pair in differences if pair.p_value is not None for index in (pair.first, pair.second)}
    num_better = Counter(
        pair.second if pair.better == pair.first else pair.first for pair in differences if pair.better is not None
    )
    return [1 + num_better[index] if index in tested else None for index in range(num_architectures)]


def letters(num_architectures: int, differences: Sequence[PairedDifference]) -> list[str]:
    """Return a compact letter display: two architectures share a letter unless they differ significantly.

    This is the insert-and-absorb algorithm of Piepho (2004). Letters follow the order of the architectures.
    """
    groups = [frozenset(range(num_architectures))]
    for pair in differences:
        if pair.better is None:
            continue
        split = [
            part
            for group in groups
            for part in (
                (group - {pair.first}, group - {pair.second}) if {pair.first, pair.second} <= group else (group,)
            )
        ]
        groups = [
            group
            for index, group in enumerate(split)
            if not any(group < other or (group == other and index > at) for at, other in enumerate(split))
        ]
    groups.sort(key=sorted)
    names = [*ascii_lowercase, *(f"({number})" for number in range(len(ascii_lowercase) + 1, len(groups) + 1))]
    return [
        "".join(name for name, group in zip(names, groups, strict=False) if a in group)
        for a in range(num_architectures)
    ]
