"""Intervals and paired comparisons: pure functions on arrays.

Shapes: A architectures, n seeds, N images. Every architecture has trained on the same seeds and is tested on the same
images, so the values of an architecture form a table, seeds x images, and two architectures are compared by the
differences of their tables. A mean over such a table varies for three reasons: the seeds drawn, the images drawn, and
chance in each cell; its variance is estimated without bias by the analysis of variance of the two-way table (Cornfield
and Tukey, 1956; Owen, 2007, section 3):

    V = max(V_seeds - V_cells, 0) + max(V_images - V_cells, 0) + V_cells

V_seeds is the squared standard error of the n seeds' means, V_images that of the N images' means, and V_cells, which
both of them contain, that of what remains. Student's quantile has (n - 1) (V / V_seeds)^2 degrees of freedom (Rubin,
1987), at most N - 1. Where few seeds happen to be alike that is too sure, so the conclusion has to hold over the seeds
alone as well, with V_seeds and n - 1 degrees of freedom (an intersection-union test; Berger, 1982): the interval is the
longer of the two and the p value the larger. `docs/STATISTICS.md` shows the coverage by simulation, and why no
percentile bootstrap of seeds and images is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, chdtrc, nctdtr, ndtri, stdtr, stdtrit

from intelbench.statistics.estimates import CONFIDENCE, SIGNIFICANCE, Estimate

POWER = 0.8
_UPPER = (1 + CONFIDENCE) / 2
_NORMAL = float(ndtri(_UPPER))
"""The standard normal's quantile of the same."""


@dataclass(frozen=True)
class Spread:
    """The uncertainty of a mean."""

    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom of Student's distribution."""


@dataclass(frozen=True)
class Inferred:
    """A mean with its uncertainty, and how far from 0 it is."""

    estimate: Estimate
    spreads: tuple[Spread, ...]
    """A conclusion must hold with each of them; empty for one seed."""

    @property
    def error(self) -> float | None:
        """The largest standard error."""
        return max((spread.error for spread in self.spreads), default=None)

    @property
    def p_value(self) -> float | None:
        """Two-sided, of a mean of 0 (of a ratio of 1)."""
        return self.p_above(abs(self.location), 0.0, sides=2)

    @property
    def location(self) -> float:
        """What is compared with the spreads: the mean, and of a ratio its logarithm."""
        return self.estimate.mean

    def p_above(self, value: float, margin: float, sides: int = 1) -> float | None:
        """P value of a true mean of at most `margin` where `value` was seen."""
        return max((sides * _tail(value - margin, spread) for spread in self.spreads), default=None)


@dataclass(frozen=True)
class InferredRatio(Inferred):
    """The same of a ratio, whose logarithm has the spreads."""

    @property
    def location(self) -> float:
        """The logarithm."""
        return float(np.log(self.estimate.mean))


@dataclass(frozen=True)
class SeedDiscordance:
    """Images of one seed that only one of two architectures got right."""

    first_only: int
    second_only: int
    p_value: float
    """Exact McNemar test (1947), two-sided: whether the two counts differ, for these two networks as trained."""


@dataclass(frozen=True)
class PairedDifference:
    """Value of one architecture minus that of another, on the same seeds and images: of test accuracy, say."""

    first: int
    second: int
    difference: Estimate
    p_value: float | None
    """Two-sided; `None` below two seeds, as the next two."""
    p_holm: float | None
    """The same after Holm's step-down correction (1979) over all pairs."""
    detectable: float | None
    """Smallest true difference that would be found with 80 % power at the level of Holm's first step."""
    discordance: tuple[SeedDiscordance, ...]
    """By seed; empty where the value of an image is more than right or wrong."""
    higher_is_better: bool = True

    @property
    def better(self) -> int | None:
        """Which of the two is significantly better, if either is."""
        if self.p_holm is None or self.p_holm > SIGNIFICANCE:
            return None
        return self.first if (self.difference.mean > 0) == self.higher_is_better else self.second


@dataclass(frozen=True)
class Omnibus:
    """Cochran's Q (1950): whether the architectures of one seed are equally often right on the same images."""

    statistic: float
    freedom: int
    p_value: float


def infer(values: NDArray[np.generic], lower: float = -np.inf, upper: float = np.inf) -> Inferred | None:
    """Mean of a table (n x N) and its 95 % interval over seeds and images, cut to [lower, upper].

    One seed has no interval; `None` for an empty table.
    """
    table = np.asarray(values, dtype=np.float64)
    num_seeds, num_images = table.shape
    if table.size == 0:
        return None
    mean = float(table.mean())
    if num_seeds == 1:
        return Inferred(Estimate(mean, None, None, 1), ())
    by_seed, by_image = table.mean(axis=1), table.mean(axis=0)
    seeds = float(by_seed.var(ddof=1)) / num_seeds
    images = float(by_image.var(ddof=1)) / num_images if num_images > 1 else 0.0
    rest = table - by_seed[:, None] - by_image + mean
    cell_freedom = (num_seeds - 1) * (num_images - 1)
    cells = float((rest * rest).sum()) / cell_freedom / table.size if cell_freedom else 0.0
    variance = max(seeds - cells, 0.0) + max(images - cells, 0.0) + cells
    freedom = max(num_images - 1, 1)
    if seeds * np.sqrt(freedom) > variance * np.sqrt(num_seeds - 1):
        freedom = (num_seeds - 1) * (variance / seeds) ** 2
    return _with_interval(
        mean, num_seeds, (Spread(np.sqrt(seeds), num_seeds - 1), Spread(np.sqrt(variance), freedom)), lower, upper
    )


def infer_from_seeds(values: NDArray[np.generic]) -> Inferred | None:
    """Mean of a value a seed (n) and Student's (1908) interval; for what is not a mean over images."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        return None
    mean = float(array.mean())
    if array.size == 1:
        return Inferred(Estimate(mean, None, None, 1), ())
    spread = Spread(float(np.sqrt(array.var(ddof=1) / array.size)), array.size - 1)
    return _with_interval(mean, array.size, (spread,), -np.inf, np.inf)


def infer_ratio(first: NDArray[np.floating], second: NDArray[np.floating]) -> InferredRatio | None:
    """Geometric mean of `first / second`, paired by seed (n each, positive), and its interval: Student's of the logs.

    `None` where a value is not positive.
    """
    if len(first) == 0 or not (np.minimum(first, second) > 0).all():
        return None
    found = infer_from_seeds(np.log(first) - np.log(second))
    if found is None:
        return None
    low, high = (None if bound is None else float(np.exp(bound)) for bound in (found.estimate.low, found.estimate.high))
    return InferredRatio(Estimate(float(np.exp(found.estimate.mean)), low, high, found.estimate.n), found.spreads)


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Interval of a share of `total` images, for one run: of the images alone (Wilson, 1927)."""
    share, squared = successes / total, _NORMAL**2
    centre = (share + squared / (2 * total)) / (1 + squared / total)
    half = _NORMAL / (1 + squared / total) * math.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    return centre - half, centre + half


def paired_differences(
    values: NDArray[np.bool_] | NDArray[np.float64], limit: float = 1, higher_is_better: bool = True
) -> list[PairedDifference]:
    """Compare every pair of A architectures on the same seeds and images (values: A x n x N).

    Args:
        values: Whether each image is right, or a number for it.
        limit: Largest possible difference of two values.
        higher_is_better: Which architecture of a pair is the better one.
    """
    num_architectures, num_seeds, num_images = values.shape
    pairs = [(a, b) for a in range(num_architectures) for b in range(a + 1, num_architectures)]
    if not pairs or num_seeds == 0 or num_images == 0:
        return []
    numbers = values.astype(np.int8) if values.dtype == np.bool_ else values
    inferred = [infer(numbers[a] - numbers[b], -limit, limit) for a, b in pairs]
    raw = [each.p_value for each in inferred if each is not None and each.p_value is not None]
    corrected: Sequence[float | None] = holm(np.array(raw)).tolist() if raw else [None] * len(pairs)
    return [
        PairedDifference(
            first=a,
            second=b,
            difference=each.estimate,
            p_value=each.p_value,
            p_holm=p_holm,
            detectable=detectable(each, SIGNIFICANCE / len(pairs)),
            discordance=discordance(values[a], values[b]) if values.dtype == np.bool_ else (),
            higher_is_better=higher_is_better,
        )
        for (a, b), each, p_holm in zip(pairs, inferred, corrected, strict=True)
        if each is not None
    ]


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P values after Holm's step-down correction (1979)."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(corrected, 1)


def discordance(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[SeedDiscordance, ...]:
    """Count the images that one of two networks alone got right, and test whether the counts differ (n x N each)."""
    first_only, second_only = (np.count_nonzero(each, axis=1) for each in (first & ~second, second & ~first))
    p_values = sign_p_values(first_only, second_only)
    each = zip(first_only.tolist(), second_only.tolist(), p_values.tolist(), strict=True)
    return tuple(SeedDiscordance(*counted) for counted in each)


def omnibus(correct: NDArray[np.bool_]) -> Omnibus | None:
    """Compare all architectures of one seed (correct: A x N); `None` if they are right on the same images."""
    informative = correct.any(axis=0) & ~correct.all(axis=0)
    if not informative.any():
        return None
    num_architectures, by_image = len(correct), correct.sum(axis=0)
    by_architecture = correct.sum(axis=1)
    spread = num_architectures * (by_architecture**2).sum() - by_architecture.sum() ** 2
    statistic = (num_architectures - 1) * spread / (num_architectures * by_image.sum() - (by_image**2).sum())
    return Omnibus(float(statistic), num_architectures - 1, float(chdtrc(num_architectures - 1, statistic)))


def detectable(inferred: Inferred, significance: float = SIGNIFICANCE) -> float | None:
    """True difference that a two-sided t test at that level finds with 80 % power, given the spread seen.

    From the noncentral t distribution; the chance of finding it with the wrong sign is left out.
    """
    return max((_detectable(spread, significance) for spread in inferred.spreads), default=None)


def sign_p_values(some: NDArray[np.integer], others: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return exact two-sided p values of n sign tests, from the counts of both signs (n each)."""
    p_values: NDArray[np.float64] = np.minimum(2 * bdtr(np.minimum(some, others), some + others, 0.5), 1.0)
    return p_values


def smallest_sign_p_value(num_seeds: int) -> float:
    """Return the smallest two-sided p value that a sign test over this number of seeds can reach."""
    return min(1.0, 2.0 ** (1 - num_seeds))


def ranks(num_architectures: int, differences: Sequence[PairedDifference]) -> list[int]:
    """Return 1 + the number of significantly better architectures, for each architecture."""
    found = [1] * num_architectures
    for pair in differences:
        if pair.better is not None:
            found[pair.second if pair.better == pair.first else pair.first] += 1
    return found


def letters(num_architectures: int, differences: Sequence[PairedDifference]) -> list[str]:
    """A compact letter display (Piepho, 2004): two architectures share a letter unless they differ significantly.

    By his insert-and-absorb algorithm; the letters follow the order of the architectures.
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
            for place, group in enumerate(split)
            if not any(group < other or (group == other and place > at) for at, other in enumerate(split))
        ]
    groups.sort(key=sorted)
    return [
        "".join(_letter(place) for place, group in enumerate(groups) if a in group) for a in range(num_architectures)
    ]


def _letter(place: int) -> str:
    return ascii_lowercase[place] if place < len(ascii_lowercase) else f"({place + 1})"


def _with_interval(mean: float, num_seeds: int, spreads: tuple[Spread, ...], lower: float, upper: float) -> Inferred:
    half = max(float(stdtrit(spread.freedom, _UPPER)) * float(spread.error) for spread in spreads)
    return Inferred(Estimate(mean, max(mean - half, lower), min(mean + half, upper), num_seeds), spreads)


def _tail(excess: float, spread: Spread) -> float:
    """Return the probability of at least this excess over a true value; without spread 0, 1/2 or 1 by its sign."""
    if not spread.error:
        return 0.0 if excess > 0 else 0.5 if excess == 0 else 1.0
    return float(stdtr(spread.freedom, -excess / spread.error))


def _detectable(spread: Spread, significance: float) -> float:
    from scipy.optimize import brentq  # takes a tenth of a second to import, and nothing else needs it

    freedom, critical = spread.freedom, stdtrit(spread.freedom, 1 - significance / 2)
    shift = brentq(lambda shift: nctdtr(freedom, shift, critical) - (1 - POWER), 0, 2 * critical + 10, xtol=1e-12)
    return float(shift * spread.error)
