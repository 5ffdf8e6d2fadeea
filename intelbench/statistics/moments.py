"""What the uncertainty of the mean of a table of seeds x images depends on, with and without each of the seeds.

Shapes: n seeds, N images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """Mean and variances of a table (n x N)."""

    num_seeds: int
    num_images: int
    mean: float
    seeds: float
    """Variance between the means of the seeds; 0 for one seed."""
    images: float
    """Variance between the means of the images; 0 for one image."""
    cells: float
    """Mean square of the residuals; 0 for one seed or one image."""

    @classmethod
    def of(cls, table: NDArray[np.float64]) -> "Moments":
        """Return the moments of a table, which has a seed and an image at least."""
        num_seeds, num_images = table.shape
        mean, by_seed, by_image = float(table.mean()), table.mean(axis=1), table.mean(axis=0)
        if num_seeds == 1:
            return cls(1, num_images, mean, 0.0, float(by_image.var(ddof=1)) if num_images > 1 else 0.0, 0.0)
        residuals = table - by_seed[:, None]  # in place from here: a table may take a twentieth of a gigabyte
        residuals -= by_image
        residuals += mean
        freedom = (num_seeds - 1) * (num_images - 1)
        return cls(
            num_seeds,
            num_images,
            mean,
            float(by_seed.var(ddof=1)),
            float(by_image.var(ddof=1)) if num_images > 1 else 0.0,
            float(np.vdot(residuals, residuals)) / freedom if freedom else 0.0,
        )

    @property
    def is_zero(self) -> bool:
        """Return whether every value of the table is 0."""
        return not any((self.mean, self.seeds, self.images, self.cells))


def without_each_seed(table: NDArray[np.float64]) -> list[Moments]:
    """Return the moments of a table (n x N, n > 1) without each of its seeds.

    All of them take two passes over the table, as the moments of the table itself do: with the sums of the images over
    all seeds c, those without seed i are c - x_i, and their sum of squares is |c|² - 2 c·x_i + |x_i|².
    """
    num_seeds, num_images = table.shape
    left, by_seed, sums = num_seeds - 1, table.mean(axis=1), table.sum(axis=0)
    squares = np.einsum("ij,ij->i", table, table)
    of_images = float(sums @ sums) - 2 * (table @ sums) + squares  # of the sums of the images without each seed
    means = (float(sums.sum()) - num_images * by_seed) / (left * num_images)
    images = of_images / left**2 - num_images * means**2
    kept = ~np.eye(num_seeds, dtype=np.bool_)
    others = np.broadcast_to(by_seed, (num_seeds, num_seeds))[kept].reshape(num_seeds, left)  # row i: all but seed i
    seeds = others.var(axis=1, ddof=1) if left > 1 else np.zeros(num_seeds)
    of_seeds = num_images * (others**2).sum(axis=1)
    residuals = squares.sum() - squares - of_seeds - of_images / left + left * num_images * means**2
    image_freedom = num_images - 1
    freedom = (left - 1) * image_freedom
    image_variances = np.maximum(images, 0) / image_freedom if image_freedom else np.zeros(num_seeds)
    cells = np.maximum(residuals, 0) / freedom if freedom else np.zeros(num_seeds)
    columns = zip(means.tolist(), seeds.tolist(), image_variances.tolist(), cells.tolist(), strict=True)
    return [Moments(left, num_images, *of_seed) for of_seed in columns]
