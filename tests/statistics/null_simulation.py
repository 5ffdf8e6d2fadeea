"""Whether the report's intervals and verdicts are as sure as they say: simulated architectures of known accuracy.

Each image has a difficulty, which may be another for each architecture; each seed shifts an architecture's skill; the
rest is chance. An image is right where skill minus difficulty plus chance is positive (a probit model), so that the
true mean difference of two architectures of equal skill is 0. `python -m tests.statistics.null_simulation` prints the
table of docs/STATISTICS.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from intelbench.results.label_efficiency import LabelCurve, compare_labels
from intelbench.statistics import inference, prediction
from intelbench.statistics.seed_table import SeedTable

NUM_STUDIES = 4000
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

    def study(self, random: np.random.Generator, architectures: int = 2) -> NDArray[np.bool_]:
        """Which images each of some equal architectures gets right: A x n x N."""
        shape = architectures, self.num_seeds, self.num_images
        difficulty = self.difficulty * random.standard_normal((1, 1, self.num_images))
        affinity = self.affinity * random.standard_normal((architectures, 1, self.num_images))
        seed = self.seed * random.standard_normal((architectures, self.num_seeds, 1))
        found: NDArray[np.bool_] = self.skill + seed - difficulty - affinity + random.standard_normal(shape) > 0
        return found


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
class Calibration:
    """Shares of the studies."""

    difference_covered: float
    """The interval of the difference held 0: else a pair alone would be told apart, a false positive."""
    accuracy_covered: float
    """The interval of an accuracy held the true one."""


def simulate(scenario: Scenario, num_studies: int = NUM_STUDIES) -> Calibration:
    """Make studies of two equal architectures, and judge each as the report does."""
    random = np.random.default_rng([scenario.num_seeds, int(1000 * scenario.seed)])
    covered = accurate = 0
    for _ in range(num_studies):
        first, second = scenario.study(random).astype(np.int8)
        difference, accuracy = inference.infer(first - second), inference.infer(first)
        assert difference is not None
        assert accuracy is not None
        covered += _holds(difference.estimate, 0)
        accurate += _holds(accuracy.estimate, scenario.accuracy)
    return Calibration(covered / num_studies, accurate / num_studies)


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


def complete(values: NDArray[np.generic]) -> SeedTable:
    """A table (A x n x N) without a missing run."""
    return SeedTable(tuple(range(values.shape[1])), values, np.ones(values.shape[:2], dtype=np.bool_))


def family_errors(scenario: Scenario, num_studies: int = NUM_STUDIES) -> float:
    """Share of studies in which any two of five equal architectures are told apart."""
    random = np.random.default_rng([scenario.num_seeds, int(1000 * scenario.seed)])
    wrong = 0
    for _ in range(num_studies):
        pairs = inference.paired_differences(complete(scenario.study(random, 5)))
        wrong += any(pair.better is not None for pair in pairs)
    return wrong / num_studies


@dataclass(frozen=True)
class FigureCalibration:
    """Shares of the studies in which a true figure of a single run is contradicted."""

    on_other_images: float
    """By the prediction interval; the published run was tested on images of its own."""
    on_same_images: float
    """By the prediction interval; the published run was tested on the images of the study."""
    by_the_mean: float
    """By the interval of the mean, which is not used; on images of its own."""


PUBLISHED = [
    Scenario(f"{name}, {num_seeds} seeds", 1.0, 0.5, seed, num_seeds, num_images=300)
    for name, seed in (("seeds alike", 0.0), ("seeds differ", 0.15), ("seeds differ widely", 0.4))
    for num_seeds in (2, 3, 5, 10)
]


def simulate_figures(scenario: Scenario, num_studies: int = 1000) -> FigureCalibration:
    """Make studies of one architecture and true single-run figures of it, and compare them as claims are."""
    random = np.random.default_rng([scenario.num_seeds, int(1000 * scenario.seed)])
    other = same = mean = 0
    for _ in range(num_studies):
        *table, on_same = replace(scenario, num_seeds=scenario.num_seeds + 1).study(random, 1)[0]
        on_others = replace(scenario, num_seeds=1).study(random, 1).mean()
        inferred = inference.infer(np.array(table))
        assert inferred is not None
        predicted = prediction.predict(inferred, runs=1)
        assert predicted is not None
        other += not _holds(predicted, on_others)
        same += not _holds(predicted, on_same.mean())
        mean += not _holds(inferred.estimate, on_others)
    return FigureCalibration(other / num_studies, same / num_studies, mean / num_studies)


def percentile_coverage(scenario: Scenario, num_studies: int = 400) -> float:
    """The same share for the difference's percentile interval of a two-level bootstrap, which is not used."""
    random = np.random.default_rng([scenario.num_seeds, int(1000 * scenario.seed)])
    covered = 0
    for _ in range(num_studies):
        first, second = scenario.study(random).astype(np.int8)
        means = _all_seeds_resampled(first - second, random)
        low, high = np.quantile(means, (0.025, 0.975))
        covered += low <= 0 <= high
    return covered / num_studies


def _all_seeds_resampled(
    values: NDArray[np.int8], random: np.random.Generator, num_resamples: int = 600
) -> NDArray[np.float64]:
    """Means of the table (n x N) with as many seeds drawn as there are, and images apart from them."""
    means = np.empty(num_resamples)
    for place in range(num_resamples):
        seeds, images = (random.integers(size, size=size) for size in values.shape)
        means[place] = values[seeds][:, images].mean()
    return means


def _holds(estimate: inference.Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high


def main(write: Callable[[str], object] = print) -> None:
    """Print the table."""
    write("| Scenario | Difference covered | False positives | Accuracy covered | Percentile bootstrap covers |")
    write("|:--|--:|--:|--:|--:|")
    for scenario in SCENARIOS:
        found, bootstrap = simulate(scenario), percentile_coverage(scenario)
        cells = [found.difference_covered, 1 - found.difference_covered, found.accuracy_covered, bootstrap]
        write(f"| {scenario.name} | {' | '.join(f'{100 * cell:.1f} %' for cell in cells)} |")
    write("")
    for scenario in SCENARIOS[-4:]:
        errors = family_errors(scenario, 1000)
        write(f"Five architectures, {scenario.name}: {100 * errors:.1f} % with a false positive")
    write("")
    write("| Scenario | Contradicted, other images | Contradicted, same images | By the interval of the mean |")
    write("|:--|--:|--:|--:|")
    for scenario in PUBLISHED:
        figures = simulate_figures(scenario)
        shares = figures.on_other_images, figures.on_same_images, figures.by_the_mean
        write(f"| {scenario.name} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")
    write("")
    for scenario in SCENARIOS:
        for slopes in LABEL_SLOPES:
            labels = simulate_labels(scenario, slopes, 2000)
            write(f"Labels, {scenario.name}, slopes {slopes}: {100 * labels.false_positives:.1f} % false positives, "
                  f"{100 * labels.covered:.1f} % covered")  # fmt: skip


if __name__ == "__main__":
    main()
