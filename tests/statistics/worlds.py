"""Simulated worlds: architectures of known accuracy whose seeds and images vary in many ways.

An image is right where skill + shift of the seed - difficulty of the image + chance is positive (a probit model). The
skill of each architecture is chosen so that its true accuracy, over all seeds and images, is that of the world, however
its seeds are distributed: the true difference of two architectures is 0, or the lead of the first one.

`python -m tests.statistics.worlds` prints the tables of docs/statistics.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

Shifts = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
_MANY = 200_000
"""Seeds from which the true accuracy of an architecture is computed."""


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return shifts of a normal distribution, as all shifts here with mean 0 and standard deviation 1."""
    return random.standard_normal(shape)


def uniform(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return shifts without tails."""
    return (random.random(shape) - 0.5) * np.sqrt(12)


def heavy_tails(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return shifts of Student's distribution with 3 degrees of freedom."""
    return random.standard_t(3, shape) / np.sqrt(3)


def skewed(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return shifts with a long tail of bad seeds: an exponential distribution."""
    return 1 - random.exponential(size=shape)


def very_skewed(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return shifts with a very long tail of bad seeds: a lognormal distribution."""
    return (np.exp(0.5) - np.exp(random.standard_normal(shape))) / np.sqrt((np.e - 1) * np.e)


def collapsing(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return shifts of which one in ten is far below the others."""
    bad = random.random(shape) < 0.1
    return (0.3 * random.standard_normal(shape) - 3 * bad + 0.3) / np.sqrt(0.09 + 9 * 0.09)


@dataclass(frozen=True)
class World:
    """What varies, as standard deviations on the probit scale, on which chance in a cell has 1."""

    name: str
    spreads: tuple[float, ...]
    """Of the seeds of each architecture, repeated for further ones; 0.056 moves the accuracy by 1.3 points."""
    shifts: Shifts = normal
    accuracy: float = 0.7
    num_images: int = 900
    difficulty: float = 1.0
    """Of an image, for all architectures."""
    affinity: float = 0.5
    """Of an image, by architecture."""
    shared: float = 0.0
    """Share of the variance of seeds that is the same for all architectures of a seed."""
    class_shares: tuple[float, ...] = ()
    """Shares of the images in each class, where seeds shift classes."""
    class_spread: float = 0.0
    """Of the shift of a class by a seed."""
    missing: float = 0.0
    """Probability that a run failed."""
    out_of_bounds: bool = False
    """Whether docs/statistics.md lists it among the worlds in which no rule that was tried keeps its error."""

    def spread(self, architecture: int) -> float:
        """Return the spread of the seeds of an architecture."""
        return self.spreads[architecture % len(self.spreads)]

    def study(
        self, random: np.random.Generator, num_architectures: int, num_seeds: int, lead: float = 0.0
    ) -> NDArray[np.bool_]:
        """Return which images each architecture gets right with each seed: A x n x N.

        Args:
            random: Source of chance.
            num_architectures: A.
            num_seeds: n.
            lead: Difference in true accuracy between the first architecture and the others.
        """
        shape = num_architectures, num_seeds
        spreads = np.array([self.spread(index) for index in range(num_architectures)])
        skills = [_skill(self, index, self.accuracy + (lead if index == 0 else 0)) for index in range(len(spreads))]
        own, common = np.sqrt(1 - self.shared), np.sqrt(self.shared)
        shift = own * self.shifts(random, shape) + common * self.shifts(random, (1, num_seeds))
        score = random.standard_normal((*shape, self.num_images))
        score += (np.array(skills)[:, None] + spreads[:, None] * shift)[:, :, None]
        score += self.difficulty * random.standard_normal(self.num_images)
        score += self.affinity * random.standard_normal((num_architectures, 1, self.num_images))
        if self.class_shares:
            labels = random.choice(len(self.class_shares), size=self.num_images, p=self.class_shares)
            score += (self.class_spread * random.standard_normal((*shape, len(self.class_shares))))[:, :, labels]
        return score > 0

    def finished(self, random: np.random.Generator, num_architectures: int, num_seeds: int) -> NDArray[np.bool_]:
        """Return which runs have finished: A x n."""
        return random.random((num_architectures, num_seeds)) >= self.missing


@cache
def _skill(world: World, architecture: int, accuracy: float) -> float:
    """Return the skill that gives an architecture its true accuracy over all seeds and images."""
    spread, random = world.spread(architecture), np.random.default_rng(architecture)
    own = spread * np.sqrt(1 - world.shared) * world.shifts(random, (_MANY,))
    common = spread * np.sqrt(world.shared) * world.shifts(random, (_MANY,))
    chance = np.sqrt(1 + world.difficulty**2 + world.affinity**2 + world.class_spread**2)
    return float(brentq(lambda skill: ndtr((skill + own + common) / chance).mean() - accuracy, -30, 30))


_UNEQUAL = (0.3, 0.05, 0.05, 0.05, 0.05)
WORLDS: Sequence[World] = (
    World("seeds alike", (0.0,)),
    World("seeds vary by 1.3 points", (0.056,)),
    World("seeds vary by 3.5 points", (0.15,)),
    World("seeds vary by 9 points", (0.4,)),
    World("one varies 20 times as much", (0.4, 0.02, 0.02, 0.02, 0.02)),
    World("one varies 3 times as much", (0.15, 0.05, 0.05, 0.05, 0.05)),
    World("one varies 6 times as much", _UNEQUAL),
    World("one hardly varies", (0.02, 0.2, 0.2, 0.2, 0.2)),
    World("two vary 5 times as much", (0.25, 0.25, 0.05, 0.05, 0.05)),
    World("spreads of 1 to 5", (0.05, 0.1, 0.15, 0.2, 0.25)),
    World("heavy tails", (0.15,), heavy_tails),
    World("heavy tails, unequal", _UNEQUAL, heavy_tails),
    World("no tails", (0.15,), uniform),
    World("skewed", (0.15,), skewed),
    World("skewed, unequal", _UNEQUAL, skewed, out_of_bounds=True),
    World("very skewed", (0.15,), very_skewed),
    World("one seed in ten collapses", (0.15,), collapsing),
    World("seeds of one collapse", (0.4, 0.05, 0.05, 0.05, 0.05), collapsing, out_of_bounds=True),
    World("half of the seeds' variance shared", (0.15,), shared=0.5),
    World("imbalanced classes", (0.1,), class_shares=(10 / 15, *[1 / 15] * 5), class_spread=0.2),
    World("seeds trade classes", (0.02,), class_shares=(1 / 6,) * 6, class_spread=0.4),
    World("errors of their own", (0.1,), affinity=1.5),
    World("near 100 %", (0.15,), accuracy=0.995),
    World("60 images", (0.1,), accuracy=0.85, num_images=60),
    World("60 images, near 100 %", (0.1,), accuracy=0.995, num_images=60),
    World("3,000 images", (0.1,), num_images=3000),
    World("runs missing", (0.1,), missing=0.2),
)
