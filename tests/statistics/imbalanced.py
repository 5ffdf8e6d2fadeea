"""Simulated studies of equal networks on classes of very different sizes, compared by scores beyond accuracy.

`python -m tests.statistics.imbalanced` prints the table of docs/statistics.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.statistics.comparisons import Scale, paired_differences
from intelbench.statistics.scores import OF_PREDICTIONS, auroc, log_losses
from tests.statistics.tables import complete_table

NUM_ARCHITECTURES = 5
NUM_STUDIES = 600
SEEDS = (3, 5)
Logits = NDArray[np.float64]
Score = Callable[[NDArray[np.int64], Logits], "NDArray[np.float64] | None"]


@dataclass(frozen=True)
class Imbalance:
    """Classes and how much the logits of their images vary, all standard deviations."""

    name: str
    sizes: tuple[int, ...]
    """Test images of each class."""
    seeds: float
    """Of the skill of a seed."""
    classes: float
    """Of what a seed adds to the logit of a class for every image, so that it trades one class for another."""
    skill: float = 2.0

    def labels(self) -> NDArray[np.int64]:
        """Return the class of each image (N)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def study(self, random: np.random.Generator, num_seeds: int) -> Logits:
        """Return the logits of equal architectures (A x n x N x C)."""
        labels = self.labels()
        num_images, num_classes, shape = len(labels), len(self.sizes), (NUM_ARCHITECTURES, num_seeds)
        logits = random.standard_normal((*shape, num_images, num_classes))
        logits += random.standard_normal((num_images, num_classes))  # difficulty, for all
        logits += 0.5 * random.standard_normal((NUM_ARCHITECTURES, 1, num_images, num_classes))
        logits += self.classes * random.standard_normal((*shape, 1, num_classes))
        logits += np.log(np.array(self.sizes) / num_images)  # networks learn how frequent classes are
        skill = self.skill + self.seeds * random.standard_normal((*shape, 1))
        logits[:, :, np.arange(num_images), labels] += skill
        return logits


_TEN_TO_ONE, _RARE, _TWO = (600, *[60] * 5), (500, 120, 120, 100, 60, 20), (200, 20)
IMBALANCES: Sequence[Imbalance] = tuple(
    Imbalance(f"{name}, {how}", sizes, seeds, classes)
    for name, sizes in (
        ("six classes, 10:1", _TEN_TO_ONE),
        ("six classes, one of 20 images", _RARE),
        ("200 and 20 images", _TWO),
    )
    for how, seeds, classes in (
        ("seeds alike", 0.02, 0.02),
        ("seeds vary", 0.3, 0.0),
        ("seeds trade classes", 0.05, 0.4),
    )
)
SCORES: Mapping[str, Score] = {
    "accuracy": lambda labels, logits: (logits.argmax(axis=1) == labels).astype(np.float64),
    **{
        name: lambda labels, logits, score=score: score(labels, logits.argmax(axis=1))
        for name, score in OF_PREDICTIONS.items()
    },
    "auroc": auroc,
    "log_loss": log_losses,
}


def false_shares(
    imbalance: Imbalance, num_seeds: int, num_studies: int, names: Sequence[str] = tuple(SCORES)
) -> Mapping[str, tuple[float, float]]:
    """Return, by score, in what share of studies two equal architectures differ, and how many intervals hold 0."""
    random = np.random.default_rng([num_seeds, sum(map(ord, imbalance.name))])
    labels = imbalance.labels()
    wrong, covered, num_pairs = dict.fromkeys(names, 0), dict.fromkeys(names, 0), 0
    for _ in range(num_studies):
        logits = imbalance.study(random, num_seeds)
        for name in names:
            table = np.array([[SCORES[name](labels, of_run) for of_run in of_one] for of_one in logits])
            pairs = paired_differences(complete_table(table), Scale(limit=np.inf))
            wrong[name] += any(pair.better is not None for pair in pairs)
            covered[name] += sum(pair.difference.low <= 0 <= pair.difference.high for pair in pairs)
        num_pairs += len(pairs)
    return {name: (wrong[name] / num_studies, covered[name] / num_pairs) for name in names}


def main(write: Callable[[str], object] = print) -> None:
    """Print the table: wrong studies by score with each number of seeds, and the lowest coverage."""
    write(f"| World | Seeds | {' | '.join(SCORES)} |\n|:--|{'--:|' * (len(SCORES) + 1)}")
    for imbalance in IMBALANCES:
        for num_seeds in SEEDS:
            found = false_shares(imbalance, num_seeds, NUM_STUDIES)
            cells = [f"{100 * false:.1f} % ({100 * covered:.1f})" for false, covered in found.values()]
            write(f"| {imbalance.name} | {num_seeds} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
