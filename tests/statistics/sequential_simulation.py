"""What planned looks cost and save: races between simulated architectures whose true accuracies are known.

A world is a function of a random generator and the numbers of architectures, seeds and images (A, n, N); it returns
which images each architecture gets right (A x n x N). `python -m tests.statistics.sequential_simulation` prints the
tables of docs/statistics.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from intelbench.statistics.comparisons import paired_differences
from intelbench.statistics.seed_table import SeedTable
from intelbench.statistics.sequential import Looks, Race, looks_at, planned_looks, worse_of
from tests.statistics.tables import complete_table

World = Callable[[np.random.Generator, int, int, int], NDArray[np.bool_]]
NUM_ARCHITECTURES, NUM_SEEDS, NUM_IMAGES = 5, 12, 900
MARGIN = 0.01


def probit(seed_deviation: float, lead: float = 0.0) -> World:
    """Architectures of equal skill, but for the first one, whose skill is higher by `lead`.

    Both are on the probit scale, where chance has the standard deviation 1, the difficulty of images too, and the
    affinity of an architecture to an image 0.5: a lead of 0.19 is 5 points of accuracy, a deviation of 0.05 is 1.3.
    """

    def study(random: np.random.Generator, architectures: int, seeds: int, images: int) -> NDArray[np.bool_]:
        skill = np.full((architectures, 1, 1), 0.3)
        skill[0] += lead
        skill = skill + seed_deviation * random.standard_normal((architectures, seeds, 1))
        difficulty = random.standard_normal(images) + 0.5 * random.standard_normal((architectures, 1, images))
        right: NDArray[np.bool_] = skill - difficulty + random.standard_normal((architectures, seeds, images)) > 0
        return right

    return study


EQUAL: dict[str, World] = {
    "seeds alike": probit(0.0),
    "seeds differ by 1.3 points": probit(0.05),
    "seeds differ by 4 points": probit(0.15),
    "seeds differ by 10 points": probit(0.4),
}
"""Worlds in which every difference that is found is false."""
ONE_BETTER: dict[str, World] = {
    f"{points} points better, seeds differ by 1.3 points": probit(0.05, lead)
    for points, lead in ((2, 0.077), (3, 0.115), (5, 0.19), (10, 0.4))
}


def looks_of(spending: str, seeds: int = NUM_SEEDS) -> Looks:
    """The looks of a session with so many seeds at most."""
    return looks_at(planned_looks(seeds), spending, 0.05)


def race(values: NDArray[np.bool_], looks: Looks, margin: float = MARGIN) -> tuple[Race, int]:
    """Take the looks at a table (A x n x N) of all seeds until the race is over; return it with the runs it needed."""
    state, finished = Race.start(looks, margin, len(values)), np.zeros(values.shape[:2], dtype=np.bool_)
    for number in looks.num_seeds:
        if state.over:
            break
        finished[list(state.racing), :number] = True
        state = state.look(SeedTable(tuple(range(number)), values[:, :number], finished[:, :number]))
    return state, int(finished.sum())


def t_test_errors(looks: Looks, levels: Sequence[float], num_studies: int = 100_000) -> float:
    """Share of studies of one pair, with a normal difference for each seed, in which a t test is significant."""
    values = np.random.default_rng(0).standard_normal((num_studies, looks.num_seeds[-1]))
    found = np.zeros(num_studies, dtype=np.bool_)
    for number, level in zip(looks.num_seeds, levels, strict=True):
        seen = values[:, :number]
        statistic = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / np.sqrt(number))
        found |= np.abs(statistic) >= stdtrit(number - 1, 1 - level / 2)
    return float(found.mean())


def studies(world: World, num_studies: int, architectures: int, seeds: int) -> Iterator[NDArray[np.bool_]]:
    """Make studies of a world; equal arguments give equal studies."""
    random = np.random.default_rng([num_studies, architectures, seeds])
    for _ in range(num_studies):
        yield world(random, architectures, seeds, NUM_IMAGES)


def family_error(world: World, looks: Looks, num_studies: int, architectures: int = NUM_ARCHITECTURES) -> float:
    """Share of studies of equal architectures in which any look finds any difference."""
    made = studies(world, num_studies, architectures, looks.num_seeds[-1])
    return float(np.mean([race(values, looks)[0].num_different > 0 for values in made]))


def peeking_error(world: World, looks: Looks, num_studies: int, architectures: int = NUM_ARCHITECTURES) -> float:
    """The same share where each look tests at 5 %: what is not done."""
    every_time = Looks(looks.num_seeds, looks.spent, (0.05,) * len(looks.num_seeds))
    return family_error(world, every_time, num_studies, architectures)


@dataclass(frozen=True)
class Savings:
    """Races in a world where the first architecture is the best, and fixed numbers of seeds with equal power."""

    power: float
    """Share of races that only the first architecture is left in."""
    runs: NDArray[np.int64]
    """Runs of each race."""
    fixed_runs: int | None
    """Runs of the smallest fixed number of seeds that finds it as often; `None` where that takes more seeds."""


def savings(world: World, looks: Looks, num_studies: int, architectures: int = NUM_ARCHITECTURES) -> Savings:
    """Take races, and fixed numbers of seeds, in the same studies."""
    num_seeds = looks.num_seeds[-1]
    found, runs = [], []
    fixed = np.zeros(num_seeds + 1)
    for values in studies(world, num_studies, architectures, num_seeds):
        state, num_runs = race(values, looks)
        found.append(state.racing == (0,))
        runs.append(num_runs)
        for number in range(2, num_seeds + 1):
            worse = {worse_of(pair) for pair in paired_differences(complete_table(values[:, :number]))}
            fixed[number] += set(range(1, architectures)) == worse - {None}
    power = float(np.mean(found))
    enough = np.flatnonzero(fixed / num_studies >= power - 1e-12)
    needed = enough[enough > 1]
    return Savings(power, np.array(runs), architectures * int(needed[0]) if len(needed) and power else None)


def false_equivalence(world: World, looks: Looks, num_studies: int, margin: float) -> float:
    """Share of studies of two architectures, which differ by the margin, that call them equivalent."""
    made = studies(world, num_studies, 2, looks.num_seeds[-1])
    return float(np.mean([any(p.is_equivalent for p in race(v, looks, margin)[0].pairs.values()) for v in made]))


def main(num_studies: int = 2000, write: Callable[[str], object] = print) -> None:
    """Print the tables."""
    for spending in ("obrien-fleming", "pocock"):
        looks = looks_of(spending)
        errors = [t_test_errors(looks, levels) for levels in (looks.levels, (0.05,) * len(looks.levels))]
        write(f"{spending}, t tests of normal differences, and 5 % at each look: {_percent(errors)}")
    write("")
    write("| Equal architectures | Spending | 2 architectures | 5 architectures | 5 %, at each look |")
    write("|:--|:--|--:|--:|--:|")
    for name, world in EQUAL.items():
        for spending in ("obrien-fleming", "pocock"):
            two = family_error(world, looks_of(spending), num_studies, 2)
            five = family_error(world, looks_of(spending), num_studies)
            peeking = peeking_error(world, looks_of(spending), num_studies, 2)
            write(f"| {name} | {spending} | {_percent([two, five, peeking])} |")
    write("")
    write("| World | Spending | Power | Runs: mean | 10 % | 50 % | 90 % | Runs, fixed, same power | Saved |")
    write("|:--|:--|--:|--:|--:|--:|--:|--:|--:|")
    for name, world in ONE_BETTER.items():
        for spending in ("obrien-fleming", "pocock"):
            saved = savings(world, looks_of(spending), num_studies // 4)
            quantiles = " | ".join(f"{value:.0f}" for value in np.quantile(saved.runs, (0.1, 0.5, 0.9)))
            fixed = saved.fixed_runs
            part = "" if fixed is None else f"{100 * (1 - saved.runs.mean() / fixed):.0f} %"
            write(f"| {name} | {spending} | {100 * saved.power:.0f} % | {saved.runs.mean():.1f} | {quantiles} | "
                  f"{fixed or ''} | {part} |")  # fmt: skip


def _percent(shares: Sequence[float]) -> str:
    return " | ".join(f"{100 * share:.1f} %" for share in shares)


if __name__ == "__main__":
    main()
