"""Intervals and paired comparisons: pure functions on arrays.

Shapes: A architectures, n seeds, N images. All architectures are trained with the same seeds and tested on the same
images, so the values of an architecture form a table of seeds x images, and two architectures are compared by the
differences of their tables, on the seeds that both have finished. A mean over such a table varies for three reasons:
the choice of seeds, the choice of images, and chance in each cell. Its variance is estimated without bias by the
analysis of variance of the two-way table (Cornfield and Tukey, 1956; Owen, 2007, section 3):

    V = max(V_seeds - V_cells, 0) + max(V_images - V_cells, 0) + V_cells

V_seeds is the squared standard error of the means of the n seeds, V_images that of the means of the N images, and
V_cells, which is a part of both, that of the residuals. Student's quantile has (n - 1) (V / V_seeds)^2 degrees of
freedom (Rubin, 1987), at most N - 1. With few seeds that are similar by chance this interval is too short, so the
conclusion must also hold over the seeds alone, with V_seeds and n - 1 degrees of freedom (an intersection-union test;
Berger, 1982): the longer interval and the larger p value are used. `docs/STATISTICS.md` shows the coverage by
simulation, and why no percentile bootstrap of seeds and images is used.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, chdtrc, nctdtr, ndtri, stdtr, stdtrit

from intelbench.statistics.estimates import CONFIDENCE, SIGNIFICANCE, Estimate
from intelbench.statistics.seed_table import SeedTable

POWER = 0.8
_UPPER = (1 + CONFIDENCE) / 2
_NORMAL = float(ndtri(_UPPER))
"""Quantile of the standard normal distribution at `_UPPER`."""
_FAR = 1000.0
"""Times the total: a share that may be as large is not known."""
_BISECTIONS = 20


@dataclass(frozen=True)
class Spread:
    """The uncertainty of a mean."""

    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom of Student's distribution."""
    images: float = 0.0
    """Variance, a part of `error` squared, that comes from the choice of images alone."""


@dataclass(frozen=True)
class Inferred:
    """A mean with its uncertainty, and the test whether it differs from 0."""

    estimate: Estimate
    spreads: tuple[Spread, ...]
    """A conclusion must hold with each of them; empty for one seed."""

    @property
    def error(self) -> float | None:
        """Return the largest standard error."""
        return max((spread.error for spread in self.spreads), default=None)

    @property
    def p_value(self) -> float | None:
        """Return the two-sided p value of the hypothesis that the mean is 0, or that the ratio is 1."""
        return self.p_above(abs(self.location), 0.0, sides=2)

    @property
    def location(self) -> float:
        """Return the value whose uncertainty the spreads are: the mean, or the logarithm of a ratio."""
        return self.estimate.mean

    def p_above(self, value: float, margin: float, sides: int = 1) -> float | None:
        """Return the p value of the hypothesis that the true mean is at most `margin`, if `value` was observed."""
        return max((sides * _tail(value - margin, spread) for spread in self.spreads), default=None)

    def p_within(self, margin: float) -> float | None:
        """Return the p value of the hypothesis that the true value is at least `margin` away from 0.

        It is the larger one of two one-sided tests (Schuirmann, 1987).
        """
        return self.p_above(-abs(self.location), -margin)


@dataclass(frozen=True)
class InferredRatio(Inferred):
    """A ratio with its uncertainty; the spreads are those of its logarithm."""

    @property
    def location(self) -> float:
        """Return the logarithm of the ratio."""
        return float(np.log(self.estimate.mean))


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
    difference: Estimate
    p_value: float | None
    """Two-sided p value; `None` for less than two seeds, as are `p_holm` and `detectable`."""
    p_holm: float | None
    """P value after Holm's step-down correction (1979) over the pairs with two seeds."""
    detectable: float | None
    """Smallest true difference that the test detects with 80 % power at the level of Holm's first step."""
    discordance: tuple[SeedDiscordance, ...]
    """By seed; empty unless the value of an image is right or wrong."""
    higher_is_better: bool = True

    @property
    def better(self) -> int | None:
        """Return the architecture that is significantly better, or `None`."""
        if self.p_holm is None or self.p_holm > SIGNIFICANCE:
            return None
        return self.first if (self.difference.mean > 0) == self.higher_is_better else self.second


@dataclass(frozen=True)
class Omnibus:
    """Cochran's Q test (1950) that all architectures of one seed are right on equally many of the same images."""

    statistic: float
    freedom: int
    p_value: float


def infer(values: NDArray[np.generic], lower: float = -np.inf, upper: float = np.inf) -> Inferred | None:
    """Return the mean of a table (n x N) with its 95 % interval over seeds and images, cut to [lower, upper].

    A single seed has no interval. Returns `None` for an empty table.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.size == 0:
        return None
    mean, spreads = float(table.mean()), _spreads(table)
    if not spreads:
        return Inferred(Estimate(mean, None, None, 1), ())
    return _with_interval(mean, len(table), spreads, lower, upper)


def infer_ratio_of_means(first: NDArray[np.generic], second: NDArray[np.generic]) -> InferredRatio | None:
    """Return the mean of one table (n x N) over the mean of another, with its 95 % interval over seeds and images.

    The tables are on the same seeds and images. By the delta method (Woodruff, 1971) the logarithm of the ratio varies
    as the mean of the table a_ij / mean(a) - b_ij / mean(b) does, whose variance `infer` estimates. The spreads are
    those of the logarithm. A single seed has no interval. Returns `None` for empty tables, or unless both means are
    positive.
    """
    above, below = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if above.size == 0 or not (above.mean() > 0 and below.mean() > 0):
        return None
    ratio = float(above.mean() / below.mean())
    spreads = _spreads(above / above.mean() - below / below.mean())
    if not spreads:
        return InferredRatio(Estimate(ratio, None, None, 1), ())
    logs = _with_interval(math.log(ratio), len(above), spreads, -np.inf, np.inf).estimate
    return InferredRatio(_exponential(logs), spreads)


def infer_from_seeds(values: NDArray[np.generic]) -> Inferred | None:
    """Return the mean of one value for each seed (n) with Student's interval (1908); `None` without finite values."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        return None
    mean = float(array.mean())
    if array.size == 1:
        return Inferred(Estimate(mean, None, None, 1), ())
    spread = Spread(float(np.sqrt(array.var(ddof=1) / array.size)), array.size - 1)
    return _with_interval(mean, array.size, (spread,), -np.inf, np.inf)


def infer_ratio(first: NDArray[np.floating], second: NDArray[np.floating]) -> InferredRatio | None:
    """Return the geometric mean of `first / second`, paired by seed (n each), with its 95 % interval.

    The interval is Student's for the logarithms. Returns `None` unless all values are positive.
    """
    if len(first) == 0 or not (np.minimum(first, second) > 0).all():
        return None
    inferred = infer_from_seeds(np.log(first) - np.log(second))
    if inferred is None:
        return None
    return InferredRatio(_exponential(inferred.estimate), inferred.spreads)


def infer_share(part: NDArray[np.generic], total: NDArray[np.generic]) -> Estimate | None:
    """Return the mean of one table over that of another (n x N each) with its 95 % interval; `None` of a total of 0.

    The interval is Fieller's (1954): every share r at which the mean of part - r total does not differ significantly
    from 0. There is none where the total itself does not, because then every share is possible, nor for one seed.
    """
    whole = infer(total)
    if whole is None or not whole.location:
        return None
    share = float(part.mean()) / whole.location

    def is_possible(candidate: float) -> bool:
        inferred = infer(part - candidate * total)
        return inferred is not None and inferred.p_value is not None and inferred.p_value > SIGNIFICANCE

    if whole.p_value is None or whole.p_value > SIGNIFICANCE:
        return Estimate(share, None, None, whole.estimate.n)
    ends = [_last_possible(share, sign, is_possible) for sign in (-1, 1)]
    return Estimate(share, *ends, whole.estimate.n)


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `total` images of one run, or of runs that finished (Wilson, 1927).

    It covers about 95 % on average from few trials on, where that of Clopper and Pearson covers 97 to 99 % (Brown, Cai
    and DasGupta, 2001).
    """
    share, squared = successes / total, _NORMAL**2
    centre = (share + squared / (2 * total)) / (1 + squared / total)
    half = _NORMAL / (1 + squared / total) * math.sqrt(share * (1 - share) / total + squared / (4 * total**2))
    return centre - half if successes else 0.0, centre + half if successes < total else 1.0


def paired_differences(table: SeedTable, limit: float = 1, higher_is_better: bool = True) -> list[PairedDifference]:
    """Compare every pair of architectures on the test images and on the seeds that both have finished.

    A pair without a seed in common is left out; one with a single seed in common has no p value and is not part of
    Holm's correction. So the p values of a pair, before the correction, do not depend on other architectures.

    Args:
        table: Whether each image is right, or another value of each image.
        limit: Largest possible difference of two values.
        higher_is_better: Whether the architecture with the higher value is the better one.
    """
    pairs = [(*pair, table.common(*pair)) for pair in combinations(range(len(table.finished)), 2)]
    num_tested = sum(len(seeds) > 1 for *_, seeds in pairs)
    differences = []
    for first, second, seeds in pairs:
        values = [table.of(architecture, seeds) for architecture in (first, second)]
        are_right = values[0].dtype == np.bool_
        numbers = [each.astype(np.int8) for each in values] if are_right else values
        if inferred := infer(numbers[0] - numbers[1], -limit, limit):
            differences.append(
                PairedDifference(
                    first=first,
                    second=second,
                    seeds=seeds,
                    difference=inferred.estimate,
                    p_value=inferred.p_value,
                    p_holm=None,
                    detectable=detectable(inferred, SIGNIFICANCE / max(num_tested, 1)),
                    discordance=discordance(*values) if are_right else (),
                    higher_is_better=higher_is_better,
                )
            )
    corrected = holm_known([pair.p_value for pair in differences])
    return [replace(pair, p_holm=p_holm) for pair, p_holm in zip(differences, corrected, strict=True)]


def holm_known(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values after Holm's correction over those that are known; the others stay `None`."""
    known = [p_value for p_value in p_values if p_value is not None]
    corrected = iter(holm(np.array(known)).tolist() if known else [])
    return [None if p_value is None else next(corrected) for p_value in p_values]


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p values after Holm's step-down correction (1979)."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(corrected, 1)


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


def detectable(inferred: Inferred, significance: float = SIGNIFICANCE) -> float | None:
    """Return the true difference that a two-sided t test at this level detects with 80 % power, given the spreads.

    It is computed from the noncentral t distribution, without the probability of a significant wrong sign.
    """
    return max((_detectable(spread, significance) for spread in inferred.spreads), default=None)


def sign_p_values(plus: NDArray[np.integer], minus: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return exact two-sided p values of n sign tests, from the counts of both signs (n each)."""
    p_values: NDArray[np.float64] = np.minimum(2 * bdtr(np.minimum(plus, minus), plus + minus, 0.5), 1.0)
    return p_values


def smallest_sign_p_value(num_seeds: int) -> float:
    """Return the smallest two-sided p value that a sign test over this number of seeds can reach."""
    return min(1.0, 2.0 ** (1 - num_seeds))


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
    return [
        "".join(_letter(index) for index, group in enumerate(groups) if a in group) for a in range(num_architectures)
    ]


def _letter(index: int) -> str:
    return ascii_lowercase[index] if index < len(ascii_lowercase) else f"({index + 1})"


def _spreads(table: NDArray[np.float64]) -> tuple[Spread, ...]:
    """Return the spreads of the mean of a table (n x N): over the seeds alone, and over seeds and images.

    A single seed has none.
    """
    num_seeds, num_images = table.shape
    if num_seeds == 1:
        return ()
    mean, by_seed, by_image = float(table.mean()), table.mean(axis=1), table.mean(axis=0)
    seeds = float(by_seed.var(ddof=1)) / num_seeds
    images = float(by_image.var(ddof=1)) / num_images if num_images > 1 else 0.0
    residuals = table - by_seed[:, None]  # in place from here: a table may take a twentieth of a gigabyte
    residuals -= by_image
    residuals += mean
    cell_freedom = (num_seeds - 1) * (num_images - 1)
    cells = float(np.vdot(residuals, residuals)) / cell_freedom / table.size if cell_freedom else 0.0
    of_images = max(images - cells, 0.0)
    variance = max(seeds - cells, 0.0) + of_images + cells
    freedom = max(num_images - 1, 1)
    if seeds * np.sqrt(freedom) > variance * np.sqrt(num_seeds - 1):
        freedom = (num_seeds - 1) * (variance / seeds) ** 2
    return Spread(np.sqrt(seeds), num_seeds - 1), Spread(np.sqrt(variance), freedom, of_images)


def _exponential(logs: Estimate) -> Estimate:
    """Return the ratio whose logarithm is estimated."""
    low, high = (None if bound is None else float(np.exp(bound)) for bound in (logs.low, logs.high))
    return Estimate(float(np.exp(logs.mean)), low, high, logs.n)


def _with_interval(mean: float, num_seeds: int, spreads: tuple[Spread, ...], lower: float, upper: float) -> Inferred:
    half = max(float(stdtrit(spread.freedom, _UPPER)) * float(spread.error) for spread in spreads)
    return Inferred(Estimate(mean, max(mean - half, lower), min(mean + half, upper), num_seeds), spreads)


def _last_possible(start: float, sign: int, is_possible: Callable[[float], bool]) -> float | None:
    """Return the possible value that is farthest from `start` in one direction; `None` where it is too far to matter.

    Values are possible up to some distance. It is bisected.
    """
    near, far = 0.0, 1.0
    while is_possible(start + sign * far):
        near, far = far, 2 * far
        if far > _FAR:
            return None
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        near, far = (middle, far) if is_possible(start + sign * middle) else (near, middle)
    return start + sign * near


def _tail(excess: float, spread: Spread) -> float:
    """Return the probability of an excess over the true value of at least `excess`; 0, 1/2 or 1 without spread."""
    if not spread.error:
        return 0.0 if excess > 0 else 0.5 if excess == 0 else 1.0
    return float(stdtr(spread.freedom, -excess / spread.error))


def _detectable(spread: Spread, significance: float) -> float:
    from scipy.optimize import brentq  # imported here because the import takes a tenth of a second

    freedom, critical = spread.freedom, stdtrit(spread.freedom, 1 - significance / 2)
    shift = brentq(lambda shift: nctdtr(freedom, shift, critical) - (1 - POWER), 0, 2 * critical + 10, xtol=1e-12)
    return float(shift * spread.error)
