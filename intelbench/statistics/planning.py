"""How many more seeds decide an open comparison: the assurance of a design, averaged over the variance's posterior.

Power at a variance that was estimated from a few seeds promises too much, because the variance may as well be larger:
with three seeds a design "with 80 % power" finds the difference in 62 % of studies. Assurance (O'Hagan, Stevens and
Campbell, 2005) averages the power over the posterior of the variance, freedom x variance / chi-square with the
degrees of freedom of the estimate. The true difference is assumed to be the one that was observed.
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, nctdtr, stdtr, stdtrit

from intelbench.statistics.comparisons import UNPOOLED_FACTOR
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.inference import Images, Inferred, Spread

ASSURANCE = 0.8
MAX_SEEDS = 200
"""Largest number of seeds that is considered."""
_MAX_SHIFT = 30.0
"""Noncentrality from which on the power is 1, and beyond which the distribution function is not a number."""
_QUANTILES = (np.arange(64) + 0.5) / 64
"""Points of the posterior over which the power is averaged."""


@dataclass(frozen=True)
class Question:
    """An open comparison: whether a mean differs from 0, or lies within a margin of 0."""

    inferred: Inferred
    """Difference that was observed on `inferred.estimate.n` seeds."""
    level: float
    """Two-sided level of significance of the test that decides."""
    margin: float
    """Largest difference that counts as equivalent, in the unit of the mean; 0 for none."""


def seeds_needed(question: Question) -> int | None:
    """Return the smallest number of seeds in all that decides a comparison with the assurance `ASSURANCE`.

    Returns `None` where `MAX_SEEDS` seeds do not, or where there is no estimate of the variance (fewer than two seeds).
    """
    if not question.inferred.spreads:
        return None
    num_seeds = question.inferred.estimate.n
    numbers = range(num_seeds, max(num_seeds, MAX_SEEDS) + 1)  # the assurance rises with the number of seeds
    index = bisect_left(numbers, True, key=lambda number: assurance(question, number) >= ASSURANCE)
    return numbers[index] if index < len(numbers) else None


def assurance(question: Question, num_seeds: int) -> float:
    """Return the probability that the comparison is decided on `num_seeds` seeds in all.

    It is decided where the mean differs significantly from 0, or is equivalent to 0 by two one-sided tests (Schuirmann,
    1987), with every spread of the inference; the probability is that of the likelier of both.
    """
    inferred = question.inferred
    by_spread = [_probabilities(question, spread, question.level, num_seeds) for spread in inferred.spreads]
    if inferred.unpooled is not None:
        by_spread.append(_probabilities(question, inferred.unpooled, SIGNIFICANCE / UNPOOLED_FACTOR, num_seeds))
    if inferred.images is not None:
        by_spread.append(_on_images(question, inferred.images))
    return float(np.min(by_spread, axis=0).mean(axis=1).max())


def _on_images(question: Question, images: Images) -> NDArray[np.float64]:
    """Return whether the images are enough for significance, and for equivalence, whatever the seeds (2 x K)."""
    distance, error = question.margin - abs(question.inferred.location), images.error(question.margin)
    within = distance > error * stdtrit(images.freedom, 1 - question.level)
    return np.array([np.ones(len(_QUANTILES)), np.full(len(_QUANTILES), within)], dtype=float)


def _probabilities(question: Question, spread: Spread, level: float, num_seeds: int) -> NDArray[np.float64]:
    """Return the probabilities of significance and of equivalence at each point of the posterior (2 x K)."""
    observed, mean = question.inferred.estimate.n, abs(question.inferred.location)
    seed_freedom = question.inferred.spreads[0].freedom
    floor = min(spread.images, spread.error**2)
    scale = seed_freedom / chdtri(seed_freedom, _QUANTILES)
    error = np.sqrt(floor + (spread.error**2 - floor) * scale * observed / num_seeds)
    if not error.all():
        return np.array([np.full(len(error), mean > 0.0), np.full(len(error), mean < question.margin)], dtype=float)
    freedom = spread.freedom * (num_seeds - 1) / (observed - 1)
    two_sided, one_sided = (float(stdtrit(freedom, 1 - tail)) for tail in (level / 2, level))
    differs = 1 - nctdtr(freedom, np.minimum(mean / error, _MAX_SHIFT), two_sided)
    within = [stdtr(freedom, (question.margin + sign * mean) / error - one_sided) for sign in (-1, 1)]
    return np.array([differs, np.maximum(within[0] + within[1] - 1, 0)])
