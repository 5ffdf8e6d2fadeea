"""Whether the report is as sure as it says of how many labels an architecture needs: simulated learning curves.

Each image has a difficulty, which may be another for each architecture; each seed shifts an architecture's skill; the
rest is chance. An image is right where skill minus difficulty plus chance is positive (a probit model), so that the
true mean difference of two architectures of equal skill is 0. `python -m tests.results.label_simulation` prints the
figures of docs/statistics.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from intelbench.results.label_efficiency import LabelCurve, compare_labels
from intelbench.statistics import inference

NUM_STUDIES = 2000
NUMBERS = (10.0, 50.0, 200.0, 400.0)
"""Images of each class."""
TRUE_NUMBER = 80.0
"""With so many the target is reached."""
LABEL_SLOPES = ((0.3, 0.3), (0.2, 0.6))
"""How steeply the skill of two architectures rises with the logarithm of the images."""


@dataclass(frozen=True)
class Scenario:
    """Standard deviations on the probit scale, where chance has 1."""

    name: str
    difficulty: float
    """Of an image, the same for all architectures."""
    affinity: float
    """Of an image, by architecture."""
    seed: float
    """Of an architecture's skill between seeds."""
    num_seeds: int
    num_images: int = 900
    skill: float = 0.3

    @property
    def accuracy(self) -> float:
        """True accuracy, over all seeds and images there could be."""
        return float(norm.cdf(self.skill / np.sqrt(1 + self.difficulty**2 + self.affinity**2 + self.seed**2)))


SCENARIOS = [
    Scenario(f"{name}, {num_seeds} seeds", difficulty, affinity, seed, num_seeds)
    for name, difficulty, affinity, seed in (
        ("seeds alike", 1.0, 0.5, 0.0),
        ("seeds differ as much as images", 1.0, 0.5, 0.04),
        ("seeds differ", 1.0, 0.5, 0.15),
        ("seeds differ widely", 1.0, 0.5, 0.4),
    )
    for num_seeds in (2, 3, 6, 10)
]


@dataclass(frozen=True)
class LabelCalibration:
    """Shares of the studies of how many labels it takes."""

    false_positives: float
    """One of two that need equally many was said to need fewer."""
    covered: float
    """The interval of the accuracy at the true number held the target: then that of the number holds the true one."""


def simulate_labels(
    scenario: Scenario, slopes: tuple[float, float], num_studies: int = NUM_STUDIES
) -> LabelCalibration:
    """Make studies of two architectures whose curves cross where both reach the target, and judge as the report does.

    Skill rises with the logarithm of the images by its slope. Images are as difficult, and seeds differ as much,
    whatever the number; half of what a seed does is the same for all numbers.
    """
    random = np.random.default_rng([scenario.num_seeds, int(1000 * scenario.seed), int(10 * slopes[1])])
    rise = np.log(np.array(NUMBERS) / TRUE_NUMBER)
    target = _between(scenario, scenario.skill + slopes[0] * rise)
    offset = brentq(lambda offset: _between(scenario, offset + slopes[1] * rise) - target, -2, 3)
    skills = np.array([scenario.skill + slopes[0] * rise, offset + slopes[1] * rise])
    wrong = covered = 0
    for _ in range(num_studies):
        first, second = (_curve(correct) for correct in _labelled_study(scenario, skills, random))
        p_value, there = compare_labels(first, second, target)[1], inference.infer(first.at(TRUE_NUMBER), 0, 1)
        assert there is not None
        wrong += p_value is not None and p_value <= 0.05
        covered += _holds(there.estimate, target)
    return LabelCalibration(wrong / num_studies, covered / num_studies)


def _between(scenario: Scenario, skills: NDArray[np.float64]) -> float:
    """True accuracy at the true number, on straight lines."""
    truths = [replace(scenario, skill=skill).accuracy for skill in skills.tolist()]
    return float(np.interp(np.log(TRUE_NUMBER), np.log(NUMBERS), truths))


def _labelled_study(scenario: Scenario, skills: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.bool_]:
    """Which images each of two architectures gets right with each number of images: 2 x K x n x N."""
    shape = 2, len(NUMBERS), scenario.num_seeds, scenario.num_images
    difficulty = scenario.difficulty * random.standard_normal(shape[3:])
    affinity = scenario.affinity * random.standard_normal((2, 1, 1, scenario.num_images))
    of_seed, of_run = random.standard_normal((2, 1, *shape[2:3], 1)), random.standard_normal((*shape[:3], 1))
    shift = scenario.seed * (of_seed + of_run) / np.sqrt(2)
    found: NDArray[np.bool_] = (
        skills[:, :, None, None] + shift - difficulty - affinity + random.standard_normal(shape) > 0
    )
    return found


def _curve(correct: NDArray[np.bool_]) -> LabelCurve:
    return LabelCurve(SimpleNamespace(name="", index=0), np.array(NUMBERS), tuple(range(correct.shape[1])), correct)


def _holds(estimate: inference.Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high


def main(write: Callable[[str], object] = print) -> None:
    """Print the errors and the coverage of each scenario."""
    for scenario in SCENARIOS:
        for slopes in LABEL_SLOPES:
            labels = simulate_labels(scenario, slopes, 2000)
            write(f"{scenario.name}, slopes {slopes}: {100 * labels.false_positives:.1f} % false positives, "
                  f"{100 * labels.covered:.1f} % covered")  # fmt: skip


if __name__ == "__main__":
    main()
