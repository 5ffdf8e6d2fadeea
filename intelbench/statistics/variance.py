"""The variance and the standard deviation of values over seeds, and the ratio of two variances.

The intervals assume roughly normal values; values with longer tails make them too short (Box, 1953).
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri, fdtr, fdtrc, fdtri

from intelbench.statistics.estimates import CONFIDENCE, Estimate


def variance(values: ArrayLike) -> Estimate | None:
    """Return the variance s² of n values, with the interval (n - 1) s² / quantiles of chi-square(n - 1).

    Returns `None` for less than two values or for values that are not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2 or not np.isfinite(array).all():
        return None
    freedom, above_first = array.size - 1, array - array[0]  # exactly 0 for equal values
    squares = float(((above_first - above_first.mean()) ** 2).sum())
    tail = (1 - CONFIDENCE) / 2
    low, high = (squares / float(chdtri(freedom, share)) for share in (tail, 1 - tail))
    return Estimate(squares / freedom, low, high, array.size)


def deviation(values: ArrayLike) -> Estimate | None:
    """Return the standard deviation of n values with the interval of `variance`; `None` as there.

    The interval is wide: with n = 6 from 0.62 to 2.45 times the standard deviation.
    """
    squared = variance(values)
    if squared is None or squared.low is None or squared.high is None:
        return None
    return Estimate(math.sqrt(squared.mean), math.sqrt(squared.low), math.sqrt(squared.high), squared.n)


def variance_ratio(first: Estimate, second: Estimate) -> Estimate | None:
    """Return the ratio of two variances of independent values, with the interval of the F distribution (Fisher, 1924).

    Returns `None` if the second variance is 0. `n` is the number of values of the smaller sample.
    """
    if second.mean == 0:
        return None
    ratio, quantile = first.mean / second.mean, (1 + CONFIDENCE) / 2
    low = ratio / float(fdtri(first.n - 1, second.n - 1, quantile))
    high = ratio * float(fdtri(second.n - 1, first.n - 1, quantile))
    return Estimate(ratio, low, high, min(first.n, second.n))


def p_equal_variances(first: Estimate, second: Estimate, resolution: float) -> float:
    """Return the two-sided p value of the F test that two variances of independent values are equal.

    The variance of rounding to multiples of `resolution`, such as 1 / N for accuracies on N images, is added to both:
    values that are equal because they are coarse do not show that one variance is smaller.
    """
    rounding = resolution**2 / 12
    ratio = (first.mean + rounding) / (second.mean + rounding)
    freedom = first.n - 1, second.n - 1
    return min(1.0, 2 * min(float(fdtr(*freedom, ratio)), float(fdtrc(*freedom, ratio))))
