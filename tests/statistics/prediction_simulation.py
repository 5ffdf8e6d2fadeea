"""How often a true figure of a single run is contradicted by the interval that claims are judged by."""

from dataclasses import dataclass

import numpy as np

from intelbench.statistics import inference, prediction
from tests.statistics.worlds import World

WORLDS = [
    World(name, (spread,), num_images=300)
    for name, spread in (("seeds alike", 0.0), ("seeds differ", 0.15), ("seeds differ widely", 0.4))
]
SEEDS = (2, 3, 5, 10)


@dataclass(frozen=True)
class Contradicted:
    """Shares of the studies in which a true figure of a single run is contradicted."""

    on_other_images: float
    """By the prediction interval; the published run was tested on images of its own."""
    on_same_images: float
    """By the prediction interval; the published run was tested on the images of the study."""


def simulate(world: World, num_seeds: int, num_studies: int) -> Contradicted:
    """Make studies of one architecture and true single-run figures of it, and compare them as claims are."""
    random = np.random.default_rng([num_seeds, int(1000 * world.spreads[0])])
    other = same = 0
    for _ in range(num_studies):
        *table, on_same = world.study(random, 1, num_seeds + 1)[0]
        inferred = inference.infer(np.array(table))
        assert inferred is not None
        predicted = prediction.predict(inferred, runs=1)
        assert predicted is not None
        other += not predicted.low <= world.study(random, 1, 1).mean() <= predicted.high
        same += not predicted.low <= on_same.mean() <= predicted.high
    return Contradicted(other / num_studies, same / num_studies)
