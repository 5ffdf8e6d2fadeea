"""The two-level bootstrap, for what has no closed form: seeds and test images are drawn again, with replacement.

Seeds and images are drawn apart, because every seed is tested on the same images: Owen's (2007) pigeonhole bootstrap.
One seed fewer is drawn than there are, so that the variance over the seeds is not too small (Rao and Wu, 1988). All
architectures get the same draws, so that what they have in common cancels. The same arguments give the same draws.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 10_000
_STREAM = 20040
_CHUNK = 500
"""Resamples that are held in memory at one time."""
_MIN_RESAMPLES = 200
_MAX_DRAWS = 2_000_000
"""Of steps."""
_DRAWS_AT_ONCE = 30_000
"""As many as a processor's cache holds."""


def resampled_means(values: NDArray[np.generic], num_resamples: int = NUM_RESAMPLES) -> NDArray[np.float64]:
    """Means of tables of one value for each seed and image (A x n x N) in each resample: A x resamples.

    The values are whole numbers, as 0 and 1 for wrong and right: then every sum is exact, on any machine. With a single
    seed the images alone are drawn.
    """
    _, num_seeds, num_images = values.shape
    drawn_seeds = max(num_seeds - 1, 1)
    tables = values.astype(np.float32)  # whose products are whole numbers too, none above the number of images
    found = [
        np.einsum("bs,abs->ab", seeds, images.astype(np.float32) @ tables.transpose(0, 2, 1))
        for seeds, images in _weights(num_seeds, drawn_seeds, num_images, num_resamples)
    ]
    means: NDArray[np.float64] = np.concatenate(found, axis=1) / (drawn_seeds * num_images)
    return means


def resampled_median(runs: list[NDArray[np.float64]]) -> tuple[float, float] | None:
    """95 % percentile interval of the median of the steps of all runs: runs are drawn again, and steps within each.

    One run fewer is drawn than there are, and from each as many steps as the runs have on average. `NUM_RESAMPLES`
    resamples, or fewer, but at least 200, where all their draws would be more than `_MAX_DRAWS`; where those of 200
    would be, fewer steps too, which can only make it longer. `None` without steps.
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
    random = np.random.default_rng(_STREAM)
    every = random.integers(len(runs), size=(num_resamples, drawn_runs, 1))
    medians = []
    for start in range(0, num_resamples, at_once):
        chosen = every[start : start + at_once]
        place = random.random((*chosen.shape[:2], size), dtype=np.float32) * lengths[chosen]
        drawn = steps[starts[chosen] + place.astype(np.int32)]
        medians.append(_medians(drawn.reshape(len(chosen), -1)))
    low, high = np.quantile(np.concatenate(medians), (0.025, 0.975)).tolist()
    return low, high


def _medians(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row, as `np.median` gives them, in a fifth of its time: numpy seeks one place much faster than two.

    The table is put in another order.
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
    """How often each seed (resamples x n) and each image (resamples x N) is drawn, some resamples at a time."""
    random = np.random.default_rng(_STREAM)
    for start in range(0, num_resamples, _CHUNK):
        size = min(_CHUNK, num_resamples - start)
        yield _counts(random, size, num_seeds, drawn_seeds), _counts(random, size, num_images, num_images)


def _counts(random: np.random.Generator, num_resamples: int, of: int, drawn: int) -> NDArray[np.float64]:
    places = random.integers(of, size=(num_resamples, drawn)) + of * np.arange(num_resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=num_resamples * of)
    return counts.reshape(num_resamples, of).astype(np.float64)
