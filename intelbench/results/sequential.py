"""Comparisons whose seeds were added in planned looks: the decision of each look, replayed from the records."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from intelbench.config.sequential import SequentialDesign
from intelbench.results.cohorts import Cohort
from intelbench.statistics.comparisons import PairedDifference, Scale, paired_differences
from intelbench.statistics.seed_table import SeedTable
from intelbench.statistics.sequential import Pair, Race, corrected_pairs, is_decided, looks_at

Correct = Mapping[int, NDArray[np.bool_]]
"""Whether each test image was recognised, by seed."""


@dataclass(frozen=True)
class SequentialComparison:
    """The looks of a cohort whose seeds were added in planned looks."""

    design: SequentialDesign
    race: Race
    """Its architectures are indices of those in the design."""
    added_seeds: tuple[int, ...]
    """Seeds beyond those of the looks; they count as one additional look."""
    outsiders: tuple[str, ...]
    """Finished architectures that are not in the design."""
    differences: Sequence[PairedDifference]
    """Differences between the finished architectures at two indices, in the order in which they were given."""
    names: tuple[str, ...]
    """Name in the cohort of each architecture of the design; empty for one without a record."""

    @property
    def level(self) -> float:
        """Return the significance level of the last look, or of the first look before there was any."""
        return self.race.looks.levels[max(self.race.num_looks, 1) - 1]

    def level_on(self, names: Collection[str], seeds: Collection[int]) -> float:
        """Return the level of a test of architectures on the seeds that they have in common.

        It is that of the last look that these seeds complete, or of the first look before there was any; with seeds
        beyond the looks, what these have left. An architecture outside the design is tested once.
        """
        if not set(names) <= set(self.names):
            return self.design.significance
        if not set(seeds) <= set(self.design.seeds):
            return self.race.level_left
        complete = sum(set(self.design.seeds[:number]) <= set(seeds) for number in self.design.looks)
        return self.race.looks.levels[max(complete, 1) - 1]


def replay(design: SequentialDesign, correct: Sequence[Correct], failed: Sequence[Collection[int]]) -> Race:
    """Return the race after all looks whose runs are complete; an architecture leaves when one of its runs failed.

    `correct` are the test images that each architecture of the design recognised in its finished runs, `failed` the
    seeds of its failed runs.
    """
    looks = looks_at(design.looks, design.spending, design.significance)
    race = Race.start(looks, design.margin, len(design.architectures))
    used: list[Correct] = [{} for _ in design.architectures]
    for number in design.looks:
        seeds = design.seeds[:number]
        done = [correct[index].keys() | set(failed[index]) for index in race.racing]
        if race.over or not all(seeds_done.issuperset(seeds) for seeds_done in done):
            break
        race = race.without([index for index in race.racing if not set(seeds).isdisjoint(failed[index])])
        for index in race.racing:
            used[index] = {seed: correct[index][seed] for seed in seeds}
        if race.open:
            race = race.look(SeedTable.of_runs(used))
    return race


def compare(
    cohort: Cohort, names: Sequence[str], table: SeedTable, margin: float | None = None
) -> SequentialComparison | None:
    """Return the looks of a cohort, and the differences between the finished architectures.

    A pair has the result of the look at which it was decided, or of the last look that both were in. Returns `None` if
    the seeds were not added in planned looks.

    Args:
        cohort: The cohort.
        names: Names of the finished architectures.
        table: Whether each of them recognised each test image.
        margin: Largest difference that counts as equivalent; `None` for that of the design, by which the looks stopped.
    """
    if not cohort.designs:
        return None
    design = cohort.designs[0]
    shown = _shown(design, cohort)
    failed = {
        name: {record.spec.seed for record in records if record.failure}
        for name, records in cohort.by_architecture.items()
    }
    correct = [_by_seed(table, names.index(name)) if name in names else {} for name in shown]
    race = replay(design, correct, [failed.get(name, set()) for name in shown])
    entrants = [shown.index(name) if name in shown else None for name in names]
    differences, added_seeds = _differences(race, entrants, table, set(design.seeds), margin or design.margin)
    outsiders = tuple(name for name in names if name not in shown)
    return SequentialComparison(design, race, added_seeds, outsiders, differences, tuple(shown))


def _by_seed(table: SeedTable, index: int) -> Correct:
    """Return the recognised test images of an architecture by seed."""
    return {
        seed: values
        for seed, values, finished in zip(table.seeds, table.padded[index], table.finished[index], strict=True)
        if finished
    }


def _shown(design: SequentialDesign, cohort: Cohort) -> list[str]:
    """Return the name in the cohort of each architecture of the design; empty for one without a record.

    Where a plug-in was edited two have one name; the one with more runs of the design is meant.
    """
    candidates: dict[str, tuple[int, str]] = {}
    for shown, records in cohort.by_architecture.items():
        name, num_made = records[0].spec.architecture, sum(record.look is not None for record in records)
        candidates[name] = max(candidates.get(name, (-1, "")), (num_made, shown))
    return [candidates.get(name, (0, ""))[1] for name in design.architectures]


def within(race: Race, margin: float) -> Mapping[Pair, PairedDifference]:
    """Return the pairs of a race, tested for equivalence within a margin that may differ from that of the race.

    Each pair keeps its look: its seeds and its level. All tests at a look have the level of that look, whichever looks
    were taken, and Holm's factor is the number of pairs minus those found equivalent at this look or an earlier one.
    So the probability of a false equivalence is that of the race, for any margin that does not depend on the results.
    """
    if margin == race.margin:
        return race.pairs
    pairs: dict[Pair, PairedDifference] = {}
    by_look = sorted(race.pairs.items(), key=lambda item: len(item[1].seeds))
    for _, of_look in groupby(by_look, key=lambda item: len(item[1].seeds)):
        keys, tested = zip(*of_look, strict=True)
        num_open = race.num_pairs - sum(pair.is_equivalent for pair in pairs.values())
        corrected = corrected_pairs(tested, margin, 0, num_open)
        for key, pair, again in zip(keys, tested, corrected, strict=True):
            pairs[key] = replace(pair, p_equivalent=again.p_equivalent)
    return pairs


def _differences(
    race: Race, entrants: Sequence[int | None], table: SeedTable, planned_seeds: Collection[int], margin: float
) -> tuple[list[PairedDifference], tuple[int, ...]]:
    """Return the differences of pairs of finished architectures, and the seeds that were added to the looks.

    Pairs of an outsider are tested once, and so are pairs with additional seeds, at the level that the looks have left.

    `entrants` are the indices in the design of the finished architectures of the table, `None` for an outsider.
    """
    raced, additional, others, added = [], [], [], set[int]()
    of_race = within(race, margin)
    for on_all_seeds in paired_differences(table, Scale(margin=margin)):
        first, second = on_all_seeds.first, on_all_seeds.second
        one, other = entrants[first], entrants[second]
        if one is None or other is None:
            others.append(on_all_seeds)
            continue
        pair = race.pairs.get((one, other))
        extra = set(on_all_seeds.seeds).difference(pair.seeds if pair else ())
        if not race.over and {one, other}.isdisjoint(race.failed):  # the next look is not complete yet
            extra -= set(planned_seeds)
        if pair and (is_decided(pair) or not extra):
            raced.append(replace(of_race[one, other], first=first, second=second))
        elif extra:
            added |= extra
            additional.append(on_all_seeds)
    num_equivalent = sum(pair.is_equivalent for pair in of_race.values())
    undecided = race.num_pairs - race.num_different, race.num_pairs - num_equivalent
    additional = corrected_pairs(additional, margin, *undecided)
    additional = [replace(pair, significance=race.level_left) for pair in additional]
    num_pairs = len(entrants) * (len(entrants) - 1) // 2
    others = corrected_pairs(others, margin, num_pairs, num_pairs)
    differences = sorted([*raced, *additional, *others], key=lambda pair: (pair.first, pair.second))
    return differences, tuple(sorted(added))
