"""Rules by which pairs of architectures may be compared, tried in simulated worlds.

`python -m tests.statistics.rules` prints the tables of docs/statistics.md: how often a rule says anything false in a
study of equal architectures, how often its intervals hold the true difference, and how often it finds a true lead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from intelbench.statistics.comparisons import (
    MARGIN,
    PairedDifference,
    SeedTable,
    corrected_p_values,
    paired_differences,
)
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.inference import Inferred, SeedVariance, infer
from intelbench.statistics.moderation import pair_variances
from tests.statistics.tables import complete_table
from tests.statistics.worlds import WORLDS, World

SEEDS = (2, 3, 5, 10)
NUM_ARCHITECTURES = 5
LEAD = 0.05
NUM_IMAGES = (18, 100, 300, 1000, 3000)
"""Test images of the studies of false equivalence."""
NUM_STUDIES = 600
Pooling = Callable[[SeedTable, Sequence[tuple[int, int]]], list[tuple[SeedVariance | None, object]]]


def _own(tables: SeedTable, pairs: Sequence[tuple[int, int]]) -> list[tuple[SeedVariance | None, object]]:
    """Use the variance of each pair alone."""
    return [(None, None) for _ in pairs]


def _pooled(tables: SeedTable, pairs: Sequence[tuple[int, int]]) -> list[tuple[SeedVariance | None, object]]:
    """Use one variance for all pairs, with (A - 1)(n - 1) degrees of freedom."""
    num_architectures, num_seeds = tables.finished.shape
    mean = np.mean([(tables.means[a] - tables.means[b]).var(ddof=1) for a, b in pairs])
    freedom = float((num_architectures - 1) * (num_seeds - 1))
    return [(SeedVariance(float(mean), freedom), None) for _ in pairs]


def _moderated(tables: SeedTable, pairs: Sequence[tuple[int, int]]) -> list[tuple[SeedVariance | None, object]]:
    """Use moderated variances without the condition that a pair differs by its own variances too."""
    return [
        (each.moderated, None) if each else (None, None)
        for each in pair_variances(tables.means, tables.finished, pairs)
    ]


RULES: Mapping[str, Pooling | None] = {
    "own variance of each pair": _own,
    "one variance for all": _pooled,
    "moderated": _moderated,
    "moderated, and unpooled": None,
}
"""Rules by name; `None` for the one that the report uses."""
USED = "moderated, and unpooled"


def compare(tables: SeedTable, rule: str) -> list[PairedDifference]:
    """Return the differences of all pairs by a rule."""
    pooling = RULES[rule]
    if pooling is None:
        return paired_differences(tables)
    pairs = list(combinations(range(len(tables.padded)), 2))
    inferred: list[Inferred] = []
    for (first, second), (variance, _) in zip(pairs, pooling(tables, pairs), strict=True):
        mean = infer(tables.of(first).astype(float) - tables.of(second), -1, 1, variance)
        assert mean is not None
        inferred.append(mean)
    corrected = corrected_p_values(inferred, lambda mean: mean.p_value)
    return [
        PairedDifference(*pair, tuple(range(each.estimate.n)), each, p_holm, None, ())
        for pair, each, p_holm in zip(pairs, inferred, corrected, strict=True)
    ]


@dataclass(frozen=True)
class Performance:
    """Shares of simulated studies."""

    false: float
    """Studies of equal architectures in which any two differed significantly, or any was equivalent wrongly."""
    covered: float
    """Intervals of pairs that held the true difference, 0."""


def null_performance(world: World, rule: str, num_seeds: int, num_studies: int) -> Performance:
    """Return how often a rule is wrong in studies of five equal architectures."""
    random = np.random.default_rng([num_seeds, sum(map(ord, world.name))])
    wrong = covered = num_pairs = 0
    for _ in range(num_studies):
        values = world.study(random, NUM_ARCHITECTURES, num_seeds)
        tables = SeedTable(tuple(range(num_seeds)), values, world.finished(random, NUM_ARCHITECTURES, num_seeds))
        pairs = [pair for pair in compare(tables, rule) if pair.p_holm is not None]
        wrong += any(pair.better is not None for pair in pairs)
        covered += sum(pair.difference.low <= 0 <= pair.difference.high for pair in pairs)
        num_pairs += len(pairs)
    return Performance(wrong / num_studies, covered / max(num_pairs, 1))


def power(world: World, rule: str, num_seeds: int, num_studies: int) -> tuple[float, float]:
    """Return how often all pairs of a better architecture are found, and what share of them, for a lead of 5 points."""
    random = np.random.default_rng(num_seeds)
    every, single = 0, 0.0
    for _ in range(num_studies):
        tables = complete_table(world.study(random, NUM_ARCHITECTURES, num_seeds, LEAD))
        found = [pair.better == 0 for pair in compare(tables, rule) if pair.first == 0]
        every += all(found)
        single += np.mean(found)
    return every / num_studies, single / num_studies


def false_equivalence(num_images: int, num_seeds: int, num_studies: int) -> tuple[float, float]:
    """Return how often two networks that differ by the margin are equivalent, and how often they would be by V alone.

    Heads on stored features give the same answers with every seed. One network is right where the other one is, and on
    one image in a hundred more.
    """
    random = np.random.default_rng([num_images, num_seeds])
    used = by_variance = 0
    for _ in range(num_studies):
        image = random.random(num_images)
        correct = np.array([image < 0.9 + MARGIN, image < 0.9])[:, None].repeat(num_seeds, axis=1)
        (pair,) = paired_differences(complete_table(correct))
        alone = replace(pair.inferred, images=None).p_equivalent(MARGIN)
        used += pair.is_equivalent
        by_variance += alone is not None and alone <= SIGNIFICANCE
    return used / num_studies, by_variance / num_studies


def main(write: Callable[[str], object] = print) -> None:
    """Print the tables: wrong studies by rule with three seeds, by number of seeds with the rule used, and power."""
    write(f"| World, 3 seeds | {' | '.join(RULES)} |\n|:--|{'--:|' * len(RULES)}")
    for world in WORLDS:
        if not world.missing:
            shares = [null_performance(world, rule, 3, NUM_STUDIES).false for rule in RULES]
            write(f"| {world.name} | {' | '.join(map(_percent, shares))} |")
    write(f"\n| World, the rule used | {' | '.join(f'{n} seeds' for n in SEEDS)} | Coverage |\n|:--|{'--:|' * 5}")
    for world in WORLDS:
        found = [null_performance(world, USED, num_seeds, NUM_STUDIES) for num_seeds in SEEDS]
        covered = min(each.covered for each in found)
        write(f"| {world.name} | {' | '.join(_percent(each.false) for each in found)} | {_percent(covered)} |")
    write(f"\n| Power | {' | '.join(RULES)} |\n|:--|{'--:|' * len(RULES)}")
    for num_seeds in SEEDS:
        cells = [" / ".join(map(_percent, power(WORLDS[1], rule, num_seeds, NUM_STUDIES))) for rule in RULES]
        write(f"| {num_seeds} seeds | {' | '.join(cells)} |")
    write("\n| Test images, 3 seeds | Equivalent | By V alone |\n|--:|--:|--:|")
    for num_images in NUM_IMAGES:
        write(f"| {num_images:,} | {' | '.join(map(_percent, false_equivalence(num_images, 3, 4 * NUM_STUDIES)))} |")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
