"""Intervals of shares, such as accuracy and recall, that stay sound near 0 and 1 and for few images.

Shapes: n seeds, N images. A share of a table of seeds x images is as sure as one of n_eff independent images, where
n_eff = p (1 - p) / V and V is the variance of the share (Kish, 1965). Wilson's interval (1927) with n_eff images and
Student's quantile holds the true share where the interval p ± t sqrt(V) does not: where the share is near 0 or 1, where
few images are tested, and where no image was wrong, so that V is 0.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from intelbench.statistics.estimates import CONFIDENCE, Estimate
from intelbench.statistics.inference import Inferred, SeedVariance, Spread, infer
from intelbench.statistics.moderation import moderated

_UPPER = (1 + CONFIDENCE) / 2


def wilson(share: float, num_images: float, quantile: float = float(ndtri(_UPPER))) -> tuple[float, float]:
    """Return Wilson's interval (1927) of a share of `num_images` independent images, or of runs.

    It covers about 95 % on average from few trials on, where that of Clopper and Pearson covers 97 to 99 % (Brown, Cai
    and DasGupta, 2001).

    Args:
        share: Share that was observed, 0 to 1.
        num_images: Number of images; a fraction where it is an effective number.
        quantile: Quantile of the standardized error; of the normal distribution for the images of one run.
    """
    squared = quantile**2
    centre = (share + squared / (2 * num_images)) / (1 + squared / num_images)
    variance = share * (1 - share) / num_images + squared / (4 * num_images**2)
    half = quantile / (1 + squared / num_images) * math.sqrt(variance)
    return centre - half if share else 0.0, centre + half if share < 1 else 1.0  # without rounding at the ends


def dispersion_prior(shares: Sequence[NDArray[np.float64]]) -> SeedVariance:
    """Return the prior of how much shares vary between seeds, as a multiple of p (1 - p), with its degrees of freedom.

    The dispersions of K shares, each of two seeds or more (n), are regarded as draws of one scaled inverse chi-square
    distribution (Smyth, 2004), whose degrees of freedom d0 follow from the second moment, (d0 - 2) / (d0 - 4) =
    mean(s^4) / mean(s^2)^2 / (1 + 2 / d), which holds for dispersions of exactly 0 too, as they occur for few images.
    """
    freedom = float(np.mean([len(share) - 1 for share in shares])) if shares else 0.0
    dispersions = np.array([share.var(ddof=1) / _binomial(float(share.mean()), len(share)) for share in shares])
    if len(shares) < 3 or not dispersions.any():
        return SeedVariance(0.0, 0.0)
    mean = float(dispersions.mean())
    excess = float((dispersions**2).mean()) / mean**2 / (1 + 2 / freedom) - 1
    return SeedVariance(mean, min((2 + 4 * excess) / excess if excess > 0 else np.inf, (len(shares) - 1) * freedom))


def infer_share(table: NDArray[np.bool_], prior: SeedVariance | None = None) -> Estimate | None:
    """Return the share of a table of seeds and images (n x N) that counts, with its 95 % interval over both.

    The interval is the union of Wilson's intervals for the spreads of `infer`. Where all spreads are 0, because every
    answer is right or every answer is wrong, the share counts as one of N independent images. A single seed has no
    interval. Returns `None` for an empty table.

    `prior` is the dispersion of further shares, by which that of this share is moderated.
    """
    return _moderated_share(table, prior, table.shape[1])


def infer_share_of_total(
    part: NDArray[np.generic], total: NDArray[np.generic], num_images: float, prior: SeedVariance | None = None
) -> Estimate | None:
    """Return the sum of one table over that of another (n x N each) with its 95 % interval over seeds and images.

    Precision and F1 are such shares, whose totals vary with the seed and the images too. By the delta method (Woodruff,
    1971) the share r varies as the mean of r + (part - r total) / mean(total) does, so that its interval is the one of
    `infer_share`. Images without a part in the total of any seed are left out. A single seed has no interval. Returns
    `None` if the total is 0.

    Args:
        part: What counts of each cell, at most its total.
        total: The total of each cell.
        num_images: Number of independent images of a seed, as which a share of 0 or 1 counts.
        prior: The dispersion of further shares, by which that of this share is moderated.
    """
    table = share_table(part, total)
    return None if table is None else _moderated_share(table, prior, num_images)


def share_table(part: NDArray[np.generic], total: NDArray[np.generic]) -> NDArray[np.float64] | None:
    """Return a table (n x M) whose mean is sum(part) / sum(total) and varies as that does; `None` of a total of 0."""
    counted = np.asarray(total, dtype=np.float64)[:, total.any(axis=0)]
    if not counted.size:
        return None
    counts = np.asarray(part, dtype=np.float64)[:, total.any(axis=0)]
    share = counts.sum() / counted.sum()
    table: NDArray[np.float64] = share + (counts - share * counted) / counted.mean()
    return table


def _moderated_share(table: NDArray[np.generic], prior: SeedVariance | None, num_independent: float) -> Estimate | None:
    num_seeds, between = len(table), None
    if not table.size:
        return None
    if prior is not None and prior.freedom and num_seeds > 1:
        means = table.mean(axis=1)
        binomial = _binomial(float(means.mean()), num_seeds)
        own = SeedVariance(float(means.var(ddof=1)), num_seeds - 1)
        between = moderated(own, SeedVariance(prior.value * binomial, prior.freedom))
    inferred = infer(table, between_seeds=between)
    if not inferred.spreads:
        return inferred.estimate
    share = min(max(inferred.estimate.mean, 0.0), 1.0)  # rounding of a table of fractions
    inferred = replace(inferred, estimate=replace(inferred.estimate, mean=share))
    return share_estimate(inferred, num_independent)


def _binomial(share: float, num_seeds: int) -> float:
    """Return p (1 - p) of a share drawn slightly towards 1/2, so that it is never 0 (Agresti and Coull, 1998)."""
    drawn = (share * num_seeds + 0.5) / (num_seeds + 1)
    return drawn * (1 - drawn)


def share_estimate(inferred: Inferred, num_images: float) -> Estimate:
    """Return an inferred share of N images with the union of Wilson's intervals for its spreads."""
    share, num_seeds = inferred.estimate.mean, inferred.estimate.n
    spreads = [spread for spread in inferred.spreads if spread.error] or [Spread(0.0, inferred.spreads[-1].freedom)]
    intervals = []
    varying = share * (1 - share) or _binomial(share, num_seeds)  # a share of 0 or 1 may be moderated by others
    for spread in spreads:
        independent = varying / spread.error**2 if spread.error else num_images
        quantile = float(stdtrit(spread.freedom, _UPPER))
        intervals.append(wilson(share, min(independent, num_seeds * num_images), quantile))
    lows, highs = zip(*intervals, strict=True)
    return Estimate(share, min(*lows, share), max(*highs, share), num_seeds)  # rounding may leave 1 above its bound
