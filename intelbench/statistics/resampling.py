"""The two-level bootstrap, for statistics without a closed form: seeds and test images are drawn with replacement.

Seeds and images are drawn separately, because all seeds are tested on the same images: Owen's pigeonhole bootstrap
(2007). Of n seeds, n - 1 are drawn, so that the variance over the seeds is not too small (Rao and Wu, 1988). All
architectures get the same draws, so that their common variation cancels. Equal arguments give equal draws.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from intelbench.statistics.seed_table import SeedTable

NUM_RESAMPLES = 10_000
_SEED = 20040
_CHUNK = 500
"""Resamples that are in memory at one time."""
_MIN_RESAMPLES = 200
_MAX_DRAWS = 2_000_000
"""Steps that are drawn for all resamples of a median."""
_DRAWS_AT_ONCE = 30_000
"""Steps that are drawn at one time; they fit the cache of a CPU."""


def resampled_means(table: SeedTable, num_resamples: int = NUM_RESAMPLES) -> NDArray[np.float64]:
    """Return the mean of each architecture in each resample, over those of the drawn seeds that it has finished.

    The result is A x resamples; NaN where an architecture has finished none of the drawn seeds. The values must be
    integers, such as 0 for wrong and 1 for right, so that sums are exact on any machine. With a single seed, only
    images are drawn.
    """
    _, num_seeds, num_images = table.padded.shape
    transposed = table.padded.transpose(0, 2, 1).astype(np.float32)  # exact: products are integers up to N
    parts = []
    for seeds, images in _weights(num_seeds, max(num_seeds - 1, 1), num_images, num_resamples):
        sums = np.einsum("bs,as,abs->ab", seeds, table.finished, images.astype(np.float32) @ transposed)
        num_values = num_images * (table.finished @ seeds.T)
        parts.append(np.divide(sums, num_values, out=np.full(sums.shape, np.nan), where=num_values > 0))
    return np.concatenate(parts, axis=1)


def resampled_median(runs: list[NDArray[np.float64]]) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of the median step of all runs; `None` without steps.

    Each resample draws runs, one less than there are, and from each run the mean number of steps of a run. It takes
    `NUM_RESAMPLES` resamples, or as few as 200 to limit all draws to `_MAX_DRAWS`. If 200 resamples still need more
    draws, each draws fewer steps, which can only make the interval longer.
    """
    runs = [run for run in runs if len(run)]
    if not runs:
        return None
    lengths = np.array([len(run) for run in runs])
    steps, starts = np.concatenate(runs), (np.cumsum(lengths) - lengths).astype(np.int32)
    drawn_runs = max(len(runs) - 1, 1)
    size = max(min(round(float(lengths.mean())), _MAX_DRAWS // (_MIN_RESAMPLES * drawn_runs)), 1)
    num_resamples = int(np.clip(_MAX_DRAWS // (size * drawn_runs), _MIN_RESAMPLES, NUM_RESAMPLES))
    at_once = max(_DRAWS_AT_ONCE // (size * drawn_runs), 1)
    random = np.random.default_rng(_SEED)
    drawn_run = random.integers(len(runs), size=(num_resamples, drawn_runs, 1))
    medians = []
    for start in range(0, num_resamples, at_once):
        chosen = drawn_run[start : start + at_once]
        position = random.random((*chosen.shape[:2], size), dtype=np.float32) * lengths[chosen]
        drawn = steps[starts[chosen] + position.astype(np.int32)]
        medians.append(_medians(drawn.reshape(len(chosen), -1)))
    low, high = np.quantile(np.concatenate(medians), (0.025, 0.975)).tolist()
    return low, high


def _medians(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each row, and reorder the rows.

    `np.median` gives the same result in five times the time, because numpy partitions much faster at one index than at
    two.
    """
    middle = table.shape[1] // 2
    table.partition(middle, axis=1)
    upper = table[:, middle]
    lower = upper if table.shape[1] % 2 else table[:, :middle].max(axis=1)
    medians: NDArray[np.float64] = np.mean((lower, upper), axis=0)
    return medians


def _weights(
    num_seeds: int, drawn_seeds: int, num_images: int, num_resamples: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield how often each seed (resamples x n) and each image (resamples x N) is drawn, for chunks of resamples."""
    random = np.random.default_rng(_SEED)
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        yield _counts(random, size, num_seeds, drawn_seeds), _counts(random, size, num_images, num_images)


def _counts(random: np.random.Generator, num_resamples: int, size: int, num_draws: int) -> NDArray[np.float64]:
    cells = random.integers(size, size=(num_resamples, num_draws)) + size * np.arange(num_resamples)[:, None]
    counts = np.bincount(cells.ravel(), minlength=num_resamples * size)
    return counts.reshape(num_resamples, size).astype(np.float64)
