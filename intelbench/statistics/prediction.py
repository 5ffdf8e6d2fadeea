"""Prediction intervals: where the mean of further training runs is expected, as a publication reports it.

A confidence interval is about the mean of infinitely many runs, so a single run, which varies as much as a seed does,
lies outside of it more often than 5 % of the time, and more so the more seeds the interval is made of.
"""

import math
from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from intelbench.statistics.estimates import CONFIDENCE, Estimate
from intelbench.statistics.inference import Inferred, InferredRatio, Spread
from intelbench.statistics.shares import share_estimate


def predict(inferred: Inferred, runs: int | None, num_images: float | None = None) -> Estimate | None:
    """Return a mean or ratio with the 95 % prediction interval of that of `runs` other seeds, on other images.

    The other mean minus this one varies as both do (Hahn and Meeker, 1991, chapter 4). Its variance is (1 + n / runs)
    times the part that comes from the n seeds, plus twice the part that comes from the images: the other ones are
    assumed to be as many, and drawn independently. Returns `None` for one seed.

    Args:
        inferred: Mean or ratio over n seeds.
        runs: Number of seeds of the other mean. `None` for a true value, such as a requirement, which has neither seeds
            nor images: the interval is then that of the mean.
        num_images: Number of images of which the mean is a share. Its interval then holds Wilson's (see `shares`) too:
            where every answer is right, a further run may still have a wrong one.
    """
    if not inferred.spreads:
        return None
    num_seeds, centre = inferred.estimate.n, inferred.location
    spreads = inferred.spreads
    if runs is not None:
        spreads = tuple(_predicted(spread, num_seeds, runs) for spread in spreads)
    half = max(float(stdtrit(spread.freedom, (1 + CONFIDENCE) / 2)) * spread.error for spread in spreads)
    low, high = centre - half, centre + half
    if num_images is not None:
        choices = 1 if runs is None else 2  # of images
        wilson = share_estimate(replace(inferred, spreads=spreads), max(num_images // choices, 1))
        assert wilson.low is not None
        assert wilson.high is not None
        low, high = min(low, wilson.low), max(high, wilson.high)
    if isinstance(inferred, InferredRatio):
        low, high = float(np.exp(low)), float(np.exp(high))
    return Estimate(inferred.estimate.mean, low, high, num_seeds)


def _predicted(spread: Spread, num_seeds: int, runs: int) -> Spread:
    """Return the spread of the other mean minus this one, with degrees of freedom as in `infer` (Rubin, 1987)."""
    seeds = max(spread.error**2 - spread.images, 0.0) * (1 + num_seeds / runs)
    variance = seeds + 2 * spread.images
    freedom = min(spread.freedom, (num_seeds - 1) * (variance / seeds) ** 2) if seeds else spread.freedom
    return Spread(math.sqrt(variance), freedom, 2 * spread.images)
