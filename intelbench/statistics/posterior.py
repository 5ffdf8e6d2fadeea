"""How probable it is that an architecture is the best, and the ranks that it may have.

Shapes: A architectures, n seeds, R draws. The means of A tables of seeds x images vary together, because all
are tested on the same images. A draw adds to the observed means the chance of other images, which is normal with the
covariance of the images' means, and the chance of other seeds, which is Student's with the moderated variance of each
architecture: the posterior of the means under a flat prior (Box and Tiao, 1973). Equal arguments give equal draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.statistics.estimates import CONFIDENCE, Estimate
from intelbench.statistics.moderation import architecture_variances
from intelbench.statistics.seed_table import SeedTable

NUM_DRAWS = 10_000
_SEED = 20040


@dataclass(frozen=True)
class Standing:
    """Where an architecture may stand among all."""

    best: float
    """Probability of being the best: the share of draws in which it is; k architectures that tie have 1 / k each."""
    rank: Estimate
    """Expected rank, 1 to A, with the 95 % interval of the rank; of architectures that tie, the mean of their ranks."""


def draw_means(table: SeedTable) -> NDArray[np.float64]:
    """Return draws of the true means of A architectures, each with at least one run (A x R)."""
    by_architecture = [table.of(place).astype(np.float64) for place in range(len(table.padded))]
    by_image = np.array([values.mean(axis=0) for values in by_architecture])
    cells = [values.var(axis=0, ddof=1).mean() / len(values) if len(values) > 1 else 0.0 for values in by_architecture]
    covariance = (np.atleast_2d(np.cov(by_image)) - np.diag(cells)) / table.padded.shape[2]
    variances, vectors = np.linalg.eigh(covariance)
    random = np.random.default_rng(_SEED)
    images = vectors * np.sqrt(np.maximum(variances, 0)) @ random.standard_normal((len(by_architecture), NUM_DRAWS))
    seeds = [
        np.sqrt(between.value / len(values)) * _student(random, between.freedom)
        for between, values in zip(architecture_variances(table.means, table.finished), by_architecture, strict=True)
    ]
    draws: NDArray[np.float64] = by_image.mean(axis=1)[:, None] + images + np.array(seeds)
    return draws


def _student(random: np.random.Generator, freedom: float) -> NDArray[np.float64]:
    """Return draws of Student's distribution, which is the normal one for infinite degrees of freedom."""
    finite = np.isfinite(freedom)
    return random.standard_t(freedom, NUM_DRAWS) if finite else random.standard_normal(NUM_DRAWS)


def draw_cost(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return draws of the true mean of a positive cost of n runs (R), whose logarithm varies between seeds."""
    if len(values) < 2:
        return np.full(NUM_DRAWS, values.mean())
    error = float(np.log(values).std(ddof=1)) / np.sqrt(len(values))
    with np.errstate(over="ignore"):  # two runs that differ widely tell hardly anything, so a draw may be infinite
        factors: NDArray[np.float64] = np.exp(error * _student(np.random.default_rng(_SEED), len(values) - 1))
        return float(values.mean()) * factors


def standings(draws: NDArray[np.float64]) -> list[Standing]:
    """Return where each architecture stands in draws of means of which the higher is better (A x R)."""
    num_better = (draws[None, :, :] > draws[:, None, :]).sum(axis=1)
    num_equal = (draws[None, :, :] == draws[:, None, :]).sum(axis=1)
    ranks, best = num_better + (num_equal + 1) / 2, (num_better == 0) / num_equal
    tails = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    return [
        Standing(float(shares.mean()), Estimate(float(of_architecture.mean()), low, high, len(draws)))
        for shares, of_architecture in zip(best, ranks, strict=True)
        for low, high in [np.quantile(of_architecture, tails, method="nearest").tolist()]
    ]
