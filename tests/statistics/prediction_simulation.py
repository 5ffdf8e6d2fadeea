"""How often a true figure of a single run is contradicted by the interval that claims are judged by.

`python -m tests.statistics.prediction_simulation` prints the table of docs/statistics.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intelbench.statistics import inference, prediction
from tests.statistics.worlds import World

WORLDS = [
    World(name, (spread,), num_images=300)
    for name, spread in (("seeds alike", 0.0), ("seeds differ", 0.15), ("seeds differ widely", 0.4))
] + [World("near 100 %", (0.15,), accuracy=0.995, num_images=300)]
SEEDS = (2, 3, 5, 10)


@dataclass(frozen=True)
class Contradicted:
    """Shares of the studies in which a true figure of a single run is contradicted."""

    on_other_images: float
    """By the prediction interval; the published run was tested on images of its own."""
    on_same_images: float
    """By the prediction interval; the published run was tested on the images of the study."""
    of_requirement: float
    """Of a requirement that the true accuracy just meets, by the interval of the mean."""
    by_the_mean: float
    """By the interval of the mean, which is not used; on images of its own."""


def simulate(world: World, num_seeds: int, num_studies: int) -> Contradicted:
    """Make studies of one architecture and true single-run figures of it, and compare them as claims are."""
    random = np.random.default_rng([num_seeds, int(1000 * world.spreads[0])])
    other = same = required = mean = 0
    for _ in range(num_studies):
        *table, on_same = world.study(random, 1, num_seeds + 1)[0]
        inferred = inference.infer(np.array(table))
        assert inferred is not None
        predicted = prediction.predict(inferred, 1, world.num_images)
        meeting = prediction.predict(inferred, None, world.num_images)
        assert predicted is not None
        assert meeting is not None
        on_others = world.study(random, 1, 1).mean()
        other += not predicted.low <= on_others <= predicted.high
        same += not predicted.low <= on_same.mean() <= predicted.high
        required += not meeting.low <= world.accuracy <= meeting.high
        mean += not inferred.estimate.low <= on_others <= inferred.estimate.high
    return Contradicted(other / num_studies, same / num_studies, required / num_studies, mean / num_studies)


def main(write: Callable[[str], object] = print) -> None:
    """Print the table."""
    write("| World | Seeds | Other images | Same images | A requirement | By the interval of the mean |")
    write("|:--|--:|--:|--:|--:|--:|")
    for world in WORLDS:
        for num_seeds in SEEDS:
            found = simulate(world, num_seeds, 2000)
            shares = found.on_other_images, found.on_same_images, found.of_requirement, found.by_the_mean
            write(f"| {world.name} | {num_seeds} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")


if __name__ == "__main__":
    main()
