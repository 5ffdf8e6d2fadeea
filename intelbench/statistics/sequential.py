"""Group sequential comparison: seeds are added in planned looks, and the significance level is spent over the looks.

A look at results that decides whether more seeds are run is a test. Five looks at 5 % each find a difference between
two equal architectures in 14 %. Here the level that is spent up to each look is fixed in advance by a function of the
share of the seeds (Lan and DeMets, 1983), and each look tests at what is spent between the look before and this one, so
that the error of all looks together is at most the level, however their tests depend on each other. The nominal levels
of Armitage, McPherson and Rowe (1969) are higher, but they hold for known variances: with t tests from three seeds on
they are too high (docs/statistics.md).

Over several pairs and looks, Holm's step-down procedure has the first false difference in a pair whose p value is
corrected for the number of pairs of equal architectures at least. So it holds over looks too.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise

from scipy.special import ndtr, ndtri

from intelbench.statistics.comparisons import PairedDifference, Scale, corrected_p_values, paired_differences
from intelbench.statistics.seed_table import SeedTable

_FIRST_LOOK = 3
"""Seeds; two have one degree of freedom, and find next to nothing."""
Pair = tuple[int, int]


def _obrien_fleming(share: float, significance: float) -> float:
    return float(2 * ndtr(ndtri(significance / 2) / math.sqrt(share)))


def _pocock(share: float, significance: float) -> float:
    return significance * math.log(1 + (math.e - 1) * share)


SPENDING: Mapping[str, Callable[[float, float], float]] = {"obrien-fleming": _obrien_fleming, "pocock": _pocock}
"""Part of a significance level that is spent when a share of the seeds has been run."""


def planned_looks(num_seeds: int) -> tuple[int, ...]:
    """Return the numbers of seeds at which results are tested: 3, 5, 8, 12, each half as many again, and `num_seeds`.

    There is one look at all seeds if there are at most three.
    """
    looks, next_look = [], _FIRST_LOOK
    while next_look < num_seeds:
        looks.append(next_look)
        next_look = math.ceil(1.5 * next_look)
    return (*looks, num_seeds)


@dataclass(frozen=True)
class Looks:
    """Planned looks, each with its number of seeds and its levels."""

    num_seeds: tuple[int, ...]
    spent: tuple[float, ...]
    """Part of the significance level that is spent up to each look."""
    levels: tuple[float, ...]
    """Largest p value after Holm's correction that is significant at each look."""


def looks_at(num_seeds: Sequence[int], spending: str, significance: float) -> Looks:
    """Return the looks of a comparison.

    Args:
        num_seeds: Number of seeds at each look, the last one that of all seeds.
        spending: Name of a function in `SPENDING`.
        significance: Probability of any false difference at any look.
    """
    spent = [SPENDING[spending](number / num_seeds[-1], significance) for number in num_seeds]
    levels = [now - before for before, now in pairwise([0.0, *spent])]
    return Looks(tuple(num_seeds), tuple(spent), tuple(levels))


@dataclass(frozen=True)
class Race:
    """Architectures that are compared in planned looks; one that is significantly worse than another leaves."""

    looks: Looks
    margin: float
    """Difference up to which two architectures are equivalent."""
    num_architectures: int
    racing: tuple[int, ...]
    """Architectures that have not left."""
    num_looks: int = 0
    """Looks so far."""
    pairs: Mapping[Pair, PairedDifference] = field(default_factory=dict)
    """Each pair at the look at which it was decided, else at the last look that both were in."""
    failed: tuple[int, ...] = ()
    """Architectures that have left because a run failed."""

    @classmethod
    def start(cls, looks: Looks, margin: float, num_architectures: int) -> "Race":
        """Return a race before its first look."""
        return cls(looks, margin, num_architectures, tuple(range(num_architectures)))

    @property
    def open(self) -> tuple[Pair, ...]:
        """Return the pairs in the race that are not decided."""
        pairs = combinations(self.racing, 2)
        return tuple(pair for pair in pairs if pair not in self.pairs or not is_decided(self.pairs[pair]))

    @property
    def over(self) -> bool:
        """Return whether no look follows: every pair is decided, or all looks were taken."""
        return not self.open or self.num_looks == len(self.looks.num_seeds)

    @property
    def num_different(self) -> int:
        """Return the number of pairs that differ significantly."""
        return sum(pair.better is not None for pair in self.pairs.values())

    @property
    def level_left(self) -> float:
        """Return the part of the significance level that no look has spent."""
        return self.looks.spent[-1] - (self.looks.spent[self.num_looks - 1] if self.num_looks else 0.0)

    @property
    def num_pairs(self) -> int:
        """Return the number of pairs of all architectures."""
        return self.num_architectures * (self.num_architectures - 1) // 2

    def without(self, failed: Collection[int]) -> "Race":
        """Return the race after architectures have left because a run failed."""
        left = tuple(index for index in self.racing if index in failed)
        racing = tuple(index for index in self.racing if index not in failed)
        return replace(self, racing=racing, failed=self.failed + left)

    def look(self, table: SeedTable) -> "Race":
        """Return the race after its next look.

        Args:
            table: Values of all architectures: of those in `racing` on the seeds of the look; what those that have left
                have finished tells how much seeds vary.
        """
        scale = Scale(margin=self.margin, significance=self.looks.levels[self.num_looks])
        found = {(pair.first, pair.second): pair for pair in paired_differences(table, scale)}
        tested = [found[pair] for pair in self.open]
        num_equivalent = sum(pair.is_equivalent for pair in self.pairs.values())
        corrected = corrected_pairs(
            tested, self.margin, self.num_pairs - self.num_different, self.num_pairs - num_equivalent
        )
        pairs = {**self.pairs, **{(pair.first, pair.second): pair for pair in corrected}}
        worse = {worse_of(pair) for pair in pairs.values()}
        racing = tuple(index for index in self.racing if index not in worse)
        return replace(self, num_looks=self.num_looks + 1, pairs=pairs, racing=racing)


def is_decided(pair: PairedDifference) -> bool:
    """Return whether one of two architectures is significantly better, or both are equivalent."""
    return pair.answer in ("better", "worse", "equivalent")


def worse_of(pair: PairedDifference) -> int | None:
    """Return the architecture that is significantly worse and not equivalent, or `None`."""
    return {"better": pair.second, "worse": pair.first}.get(pair.answer or "")


def corrected_pairs(
    pairs: Sequence[PairedDifference], margin: float, num_differing: int, num_equivalent: int
) -> list[PairedDifference]:
    """Return pairs with p values after Holm's correction among more comparisons, whose p values count as 1.

    `num_differing` comparisons are for a difference, and `num_equivalent` for an equivalence within the margin.
    """
    inferred = [pair.inferred for pair in pairs]
    differing = corrected_p_values(inferred, lambda mean: mean.p_value, num_differing)
    equivalent = corrected_p_values(inferred, lambda mean: mean.p_equivalent(margin), num_equivalent)
    return [
        replace(pair, p_holm=p_holm, p_equivalent=p_equivalent)
        for pair, p_holm, p_equivalent in zip(pairs, differing, equivalent, strict=True)
    ]
