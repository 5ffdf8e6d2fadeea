"""Values of runs by architecture, seed and test image, where an architecture may lack seeds.

Shapes: A architectures, n seeds, N test images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SeedTable:
    """Values of the finished runs of A architectures, on the n seeds that any of them has finished.

    `of` returns values of finished runs alone. `padded` also has cells that are no values.
    """

    seeds: tuple[int, ...]
    padded: NDArray[Any]
    """Values (A x n x N); False or 0 for a run that has not finished, which says nothing of the architecture."""
    finished: NDArray[np.bool_]
    """Whether the run of an architecture and a seed has finished (A x n)."""

    @classmethod
    def of_runs(cls, architectures: Sequence[Mapping[int, NDArray[Any]]]) -> "SeedTable":
        """Return the table of the values of each architecture by seed (N each); at least one run has finished."""
        seeds = tuple(sorted({seed for by_seed in architectures for seed in by_seed}))
        missing = np.zeros_like(next(values for by_seed in architectures for values in by_seed.values()))
        return cls(
            seeds,
            np.array([[by_seed.get(seed, missing) for seed in seeds] for by_seed in architectures]),
            np.array([[seed in by_seed for seed in seeds] for by_seed in architectures]),
        )

    def common(self, first: int, second: int) -> tuple[int, ...]:
        """Return the seeds that both architectures have finished."""
        both = self.finished[first] & self.finished[second]
        return tuple(seed for seed, is_common in zip(self.seeds, both, strict=True) if is_common)

    def of(self, architecture: int, seeds: Sequence[int] | None = None) -> NDArray[Any]:
        """Return the values of an architecture on seeds that it has finished; `None` for all of them.

        Raises:
            ValueError: it has not finished one of the seeds.
        """
        rows = np.flatnonzero(self.finished[architecture])
        if seeds is not None:
            rows = np.array([self.seeds.index(seed) for seed in seeds], dtype=np.intp)
        if not self.finished[architecture, rows].all():
            raise ValueError(f"architecture {architecture} has not finished all of the seeds {seeds}")
        values: NDArray[Any] = self.padded[architecture, rows]
        return values

    def of_pair(self, first: int, second: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the values of two architectures on the seeds that both have finished."""
        seeds = self.common(first, second)
        return self.of(first, seeds), self.of(second, seeds)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Return the mean over the images of each run (A x n); 0 for a run that has not finished."""
        means: NDArray[np.float64] = self.padded.mean(axis=2, dtype=np.float64)
        return means

    def of_seed(self, seed: int) -> NDArray[Any]:
        """Return the values of the architectures that have finished a seed."""
        column = self.seeds.index(seed)
        values: NDArray[Any] = self.padded[self.finished[:, column], column]
        return values

    def reordered(self, order: Sequence[int]) -> "SeedTable":
        """Return the table with the architectures in another order."""
        rows = list(order)
        return replace(self, padded=self.padded[rows], finished=self.finished[rows])
