"""Means over seeds and images with their intervals and tests: pure functions on arrays.

Shapes: n seeds, N images. All architectures are trained with the same seeds and tested on the same images, so the
values of an architecture form a table of seeds x images, and two architectures are compared by the difference of their
tables (`comparisons`). A mean over such a table varies for three reasons:
the choice of seeds, the choice of images, and chance in each cell. Its variance is estimated without bias by the
analysis of variance of the two-way table (Cornfield and Tukey, 1956; Owen, 2007, section 3):

    V = max(V_seeds - V_cells, 0) + max(V_images - V_cells, 0) + V_cells

V_seeds is the squared standard error of the means of the n seeds, V_images that of the means of the N images, and
V_cells, which is a part of both, that of the residuals. Student's quantile has (n - 1) (V / V_seeds)^2 degrees of
freedom (Rubin, 1987), at most N - 1. With few seeds that are similar by chance this interval is too short, so the
conclusion must also hold over the seeds alone, with V_seeds and n - 1 degrees of freedom (an intersection-union test;
Berger, 1982): the longer interval and the larger p value are used. `docs/statistics.md` shows the coverage by
simulation, and why no percentile bootstrap of seeds and images is used.

Where hardly any image has another value, V says nothing of the images that were not drawn: 18 images on which two
architectures agree do not show that they are equal. So bounds and tests of a margin must also hold with the smallest
variance that the images can have if the margin is the true mean (`Images`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtr, stdtrit

from intelbench.statistics.estimates import CONFIDENCE, SIGNIFICANCE, Estimate, positive_mean_interval
from intelbench.statistics.moments import Moments

_UPPER = (1 + CONFIDENCE) / 2
_FAR = 1000.0
"""Times the total: a share that may be as large is not known."""
_BISECTIONS = 20


@dataclass(frozen=True)
class SeedVariance:
    """The variance between seeds of a mean over images."""

    value: float
    freedom: float
    """Degrees of freedom of the estimate."""


@dataclass(frozen=True)
class Spread:
    """The uncertainty of a mean."""

    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom of Student's distribution."""
    images: float = 0.0
    """Part of the variance that further seeds do not reduce, because it comes from the choice of images."""


@dataclass(frozen=True)
class Images:
    """The images of a mean, whose variance depends on the true mean, as that of a share does (score test; Tango, 1998).

    If the values are between -w and w and their true mean is m, at least a share |m| / w of the images has a value
    other than 0. The variance of the mean of N images is smallest where these values are w and all others are 0:
    |m| (w - |m|) / N.
    """

    num: int
    """Number N of images, at least 2."""
    largest: float = 1.0
    """Largest size w of a value."""
    are_answers: bool = True
    """Whether each image has one value where it is answered right, and 0 where not."""

    @classmethod
    def of(cls, values: NDArray[np.generic]) -> "Images | None":
        """Return the images of differences of tables of bounded values (... x N); `None` for fewer than 2 images."""
        num = values.shape[-1]
        if num < 2:
            return None
        if values.dtype == np.bool_:
            return cls(num)
        by_image = values.reshape(-1, num)
        right = by_image.max(axis=0)
        return cls(num, max(1.0, float(right.max())), bool(((by_image == 0) | (by_image == right)).all()))

    @property
    def freedom(self) -> int:
        """Return the degrees of freedom of Student's distribution."""
        return self.num - 1

    def error(self, mean: float) -> float:
        """Return the smallest standard error of the mean of the images if `mean` is the true mean."""
        return math.sqrt(max(abs(mean) * (self.largest - abs(mean)), 0.0) / self.num)

    def bound_above(self, observed: float, confidence: float) -> float:
        """Return the largest true mean whose distance from the observed one is Student's quantile times its error."""
        if (bound := self._solution(observed, confidence, 1)) is None:  # it is negative
            nearer = self._solution(-observed, confidence, -1)
            bound = observed if nearer is None else -nearer
        return max(bound, observed)  # rounding may leave it below

    def _solution(self, observed: float, confidence: float, sign: int) -> float | None:
        """Return the larger or the smaller solution m >= 0 of N (m - observed)^2 = quantile^2 m (w - m)."""
        squared = float(stdtrit(self.freedom, confidence)) ** 2
        discriminant = squared * (squared * self.largest**2 + 4 * self.num * observed * (self.largest - observed))
        if discriminant < 0:
            return None
        total = 2 * self.num * observed + squared * self.largest + sign * math.sqrt(discriminant)
        return total / (2 * (self.num + squared)) if total >= 0 else None


@dataclass(frozen=True)
class Inferred:
    """A mean with its uncertainty, and the test whether it differs from 0."""

    estimate: Estimate
    spreads: tuple[Spread, ...]
    """A conclusion must hold with each of them; empty for one seed."""
    unpooled: Spread | None = None
    """A conclusion must hold with it too, whatever the number of other comparisons; see `moderation`."""
    images: Images | None = None
    """Bounds and tests of a margin must hold with them too; `None` where values are not bounded."""

    @property
    def parts(self) -> "tuple[Inferred, Inferred | None]":
        """Return the mean with its spreads but the unpooled one, and with that one alone."""
        pooled = replace(self, unpooled=None)
        return pooled, None if self.unpooled is None else replace(pooled, spreads=(self.unpooled,), images=None)

    @property
    def error(self) -> float | None:
        """Return the largest standard error."""
        return max((spread.error for spread in self.all_spreads), default=None)

    @property
    def all_spreads(self) -> tuple[Spread, ...]:
        """Return the spreads, with the unpooled one."""
        return (*self.spreads, *([] if self.unpooled is None else [self.unpooled]))

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
        spreads = self.all_spreads
        if spreads and self.images and margin and value > margin:
            spreads = (*spreads, Spread(self.images.error(margin), self.images.freedom))
        return max((sides * _tail(value - margin, spread) for spread in spreads), default=None)

    def p_equivalent(self, margin: float) -> float | None:
        """Return the p value of the hypothesis that the true mean is at least `margin` from 0, on either side.

        It is the larger one of two one-sided tests (TOST; Schuirmann, 1987).
        """
        p_values = [self.p_above(sign * self.location, -margin) for sign in (-1, 1)]
        return max((p for p in p_values if p is not None), default=None)

    def bound_above(self, value: float) -> float | None:
        """Return the one-sided 95 % bound above the true mean, if `value` was observed; `None` for one seed."""
        return self._bound_above(value, CONFIDENCE) if self.spreads else None

    def _bound_above(self, value: float, confidence: float) -> float:
        """Return the largest of the bounds by each spread, and by the images, if `value` was observed."""
        bounds = [value + float(stdtrit(each.freedom, confidence)) * each.error for each in self.all_spreads]
        return max(bounds + ([self.images.bound_above(value, confidence)] if self.images else []))

    def with_interval(self, lower: float = -np.inf, upper: float = np.inf) -> "Inferred":
        """Return the mean with the longest of its intervals, cut to [lower, upper]; without one for one seed."""
        if not self.spreads:
            return self
        mean = self.estimate.mean
        low, high = 0.0 - self._bound_above(-mean, _UPPER), self._bound_above(mean, _UPPER)  # 0.0, not -0.0
        return replace(self, estimate=Estimate(mean, max(low, lower), min(high, upper), self.estimate.n))


@dataclass(frozen=True)
class InferredRatio(Inferred):
    """A ratio, or a mean of positive values, with its uncertainty; the spreads are those of its logarithm."""

    @property
    def location(self) -> float:
        """Return the logarithm of the ratio or of the mean."""
        return float(np.log(self.estimate.mean))


def infer(
    values: NDArray[np.generic],
    lower: float = -np.inf,
    upper: float = np.inf,
    between_seeds: SeedVariance | None = None,
    images: Images | None = None,
) -> Inferred:
    """Return the mean of a table (n x N) with its 95 % interval over seeds and images, cut to [lower, upper].

    A single seed has no interval.

    Args:
        values: Values of n seeds and N images, at least one of each.
        lower: Smallest possible mean.
        upper: Largest possible mean.
        between_seeds: Variance of the mean of a seed; `None` for the one of this table.
        images: The images, if the values are bounded differences; the interval must hold with them too.
    """
    moments = Moments.of(np.asarray(values, dtype=np.float64))
    return infer_moments(moments, lower, upper, between_seeds, images=images)


def infer_moments(
    moments: Moments,
    lower: float = -np.inf,
    upper: float = np.inf,
    between_seeds: SeedVariance | None = None,
    unpooled: Spread | None = None,
    images: Images | None = None,
) -> Inferred:
    """Return what `infer` returns, from the moments of the table.

    The interval and the p value must hold with the spread `unpooled` too. The other arguments are those of `infer`.
    """
    estimate = Estimate(moments.mean, None, None, moments.num_seeds)
    spreads = _spreads(moments, between_seeds)
    if images and not (images.are_answers or moments.is_zero):
        images = None  # other values may vary less, and their variance was seen
    return Inferred(estimate, spreads, unpooled if spreads else None, images).with_interval(lower, upper)


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
    spreads = _spreads(Moments.of(above / above.mean() - below / below.mean()))
    logs = Inferred(Estimate(math.log(ratio), None, None, len(above)), spreads).with_interval().estimate
    return InferredRatio(replace(_exponential(logs), mean=ratio), spreads)


def infer_from_seeds(values: NDArray[np.generic]) -> Inferred | None:
    """Return the mean of one value for each seed (n) with Student's interval (1908); `None` without finite values."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        return None
    estimate = Estimate(float(array.mean()), None, None, array.size)
    if array.size == 1:
        return Inferred(estimate, ())
    spread = Spread(float(np.sqrt(array.var(ddof=1) / array.size)), array.size - 1)
    return Inferred(estimate, (spread,)).with_interval()


def infer_positive_from_seeds(values: NDArray[np.floating]) -> Inferred | None:
    """Return the mean of one positive value for each seed (n) with the interval of `positive_mean_interval`.

    The spread is that of the logarithm of the mean. With a value of 0 the interval is that of `infer_from_seeds`, and
    so is `None`, which is returned without finite values.
    """
    inferred, estimate = infer_from_seeds(values), positive_mean_interval(values)
    if inferred is None or estimate is None or not (np.asarray(values) > 0).all():
        return inferred
    spreads = tuple(Spread(spread.error / estimate.mean, spread.freedom) for spread in inferred.spreads)
    return InferredRatio(estimate, spreads)


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


def infer_part(part: NDArray[Any], total: NDArray[Any]) -> Estimate | None:
    """Return the mean of one table over that of another (n x N each) with its 95 % interval; `None` of a total of 0.

    The interval is Fieller's (1954): every share r at which the mean of part - r total does not differ significantly
    from 0. There is none where the total itself does not, because then every share is possible, nor for one seed.
    """
    whole = infer(total)
    if not whole.location:
        return None
    share = float(part.mean()) / whole.location

    def is_possible(candidate: float) -> bool:
        p_value = infer(part - candidate * total).p_value
        return p_value is not None and p_value > SIGNIFICANCE

    if whole.p_value is None or whole.p_value > SIGNIFICANCE:
        return Estimate(share, None, None, whole.estimate.n)
    low, high = (_last_possible(share, sign, is_possible) for sign in (-1, 1))
    return Estimate(share, low, high, whole.estimate.n)


def holm_known(p_values: Sequence[float | None], num_comparisons: int = 0) -> list[float | None]:
    """Return p values after Holm's correction over those that are known; the others stay `None`.

    With more than these comparisons, the p values of the others count as 1.
    """
    known = [p_value for p_value in p_values if p_value is not None]
    others = [1.0] * (num_comparisons - len(known))
    corrected = iter(holm(np.array([*known, *others])).tolist() if known else [])
    return [None if p_value is None else next(corrected) for p_value in p_values]


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p values after Holm's step-down correction (1979)."""
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(corrected, 1)


def sign_p_values(plus: NDArray[np.integer], minus: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return exact two-sided p values of n sign tests, from the counts of both signs (n each)."""
    p_values: NDArray[np.float64] = np.minimum(2 * bdtr(np.minimum(plus, minus), plus + minus, 0.5), 1.0)
    return p_values


def _spreads(moments: Moments, between_seeds: SeedVariance | None = None) -> tuple[Spread, ...]:
    """Return the spreads of the mean of a table (n x N): over the seeds alone, and over seeds and images.

    A single seed has none.
    """
    num_seeds, num_images = moments.num_seeds, moments.num_images
    if num_seeds == 1:
        return ()
    between = between_seeds or SeedVariance(moments.seeds, num_seeds - 1)
    seeds, images = between.value / num_seeds, moments.images / num_images
    cells = moments.cells / (num_seeds * num_images)
    of_images = max(images - cells, 0.0)
    variance = max(seeds - cells, 0.0) + of_images + cells
    freedom = float(max(num_images - 1, 1))
    if seeds * np.sqrt(freedom) > variance * np.sqrt(between.freedom):
        freedom = between.freedom * (variance / seeds) ** 2
    return Spread(math.sqrt(seeds), between.freedom), Spread(math.sqrt(variance), freedom, of_images)


def _exponential(logs: Estimate) -> Estimate:
    """Return the ratio whose logarithm is estimated."""
    low, high = (None if bound is None else float(np.exp(bound)) for bound in (logs.low, logs.high))
    return Estimate(float(np.exp(logs.mean)), low, high, logs.n)


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
