"""How often intervals of precision and F1 hold the true value: simulated predictions of five equal networks.

`python -m tests.results.class_score_simulation` prints the table of docs/statistics.md.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.results.class_scores import SCORES, ClassShare
from intelbench.statistics.estimates import mean_interval
from intelbench.statistics.shares import dispersion_prior

NUM_ARCHITECTURES, NUM_CLASSES = 5, 6
NUM_STUDIES = 200
WORLDS = {"seeds alike": 0.0, "seeds trade classes": 0.3}
"""Standard deviation between seeds of how much a network is drawn to a class."""
NUM_SEEDS = (3, 5, 10)
NUM_IMAGES = (120, 900)
_SKILL = 1.6


@dataclass(frozen=True)
class Coverage:
    """Share of the intervals that hold the true value, in percent."""

    score: str
    images_and_seeds: float
    seeds_alone: float


def predictions(
    random: np.random.Generator, num_seeds: int, num_images: int, bias: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels (N) and predicted classes (n x N); images and seeds are random, and so is each answer."""
    labels = random.integers(0, NUM_CLASSES, num_images)
    scores = random.standard_normal((num_seeds, num_images, NUM_CLASSES)) * 0.6
    scores += random.standard_normal((num_images, NUM_CLASSES))
    scores += bias * random.standard_normal((num_seeds, 1, NUM_CLASSES))
    scores[:, np.arange(num_images), labels] += _SKILL
    return labels, scores.argmax(axis=2)


def truth(bias: float) -> dict[str, float]:
    """The share of each score over very many seeds and images, the same for all classes."""
    random = np.random.default_rng(0)
    sums = dict.fromkeys(SCORES, np.zeros(2))
    for _ in range(100):
        labels, predicted = predictions(random, 40, 2000, bias)
        for name, score in SCORES.items():
            of_classes = [score(labels, predicted, label) for label in range(NUM_CLASSES)]
            sums[name] = sums[name] + [sum(s.part.sum() for s in of_classes), sum(s.total.sum() for s in of_classes)]
    return {name: float(part / total) for name, (part, total) in sums.items()}


def coverage(bias: float, num_seeds: int, num_images: int, num_studies: int = NUM_STUDIES) -> Iterator[Coverage]:
    """Coverage of the report's intervals, and of Student's over seeds alone."""
    random, true = np.random.default_rng(num_seeds * num_images), truth(bias)
    held: dict[str, list[tuple[bool, bool]]] = {name: [] for name in SCORES}
    for _ in range(num_studies):
        answers = [predictions(random, num_seeds, num_images, bias) for _ in range(NUM_ARCHITECTURES)]
        for name, score in SCORES.items():
            of_study = [score(*answer, label) for answer in answers for label in range(NUM_CLASSES)]
            prior = dispersion_prior([seeds for share in of_study if (seeds := share.seeds()) is not None])
            for share in of_study:
                estimate = share.estimate(prior)
                if estimate is None or estimate.low is None or estimate.high is None:
                    continue
                held[name].append((estimate.low <= true[name] <= estimate.high, _student_holds(share, true[name])))
    for name, of_score in held.items():
        own, student = 100 * np.mean(of_score, axis=0)
        yield Coverage(name, float(own), float(student))


def _student_holds(share: ClassShare, true: float) -> bool:
    totals = share.total.sum(axis=1)
    by_seed = share.part.sum(axis=1)[totals > 0] / totals[totals > 0]
    interval = mean_interval(by_seed, 0, 1)
    if interval is None or interval.low is None or interval.high is None:
        return False
    return interval.low <= true <= interval.high


if __name__ == "__main__":
    sys.stdout.write("| World | Seeds | Images | Precision | F1 |\n|:--|--:|--:|--:|--:|\n")
    for world, spread in WORLDS.items():
        for seeds in NUM_SEEDS:
            for images in NUM_IMAGES:
                cells = [f"{c.images_and_seeds:.1f} % ({c.seeds_alone:.1f} %)" for c in coverage(spread, seeds, images)]
                sys.stdout.write(f"| {world} | {seeds} | {images} | {' | '.join(cells)} |\n")
