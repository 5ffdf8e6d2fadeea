"""Where differences come from, on studies whose truth is known: each answer is reached, and none without grounds."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.config.budget import Budget
from intelbench.results import origins
from intelbench.results.origins import Contrast, Match
from intelbench.results.study import read
from tests.synthetic import CONDITIONS, Study, synthetic_runs

OWN = msgspec.structs.replace(CONDITIONS, budget=Budget(epochs=2))
AHEAD, BEHIND = {"a": 0.9, "b": 0.6}, {"a": 0.6, "b": 0.9}
LEVEL = {"a": 0.75, "b": 0.75}
CLOSER = {"a": 0.72, "b": 0.6}
SEEDS = range(5)

Write = Callable[..., Match]


@pytest.fixture
def match(tmp_path: Path) -> Write:
    """Two architectures under own recipes and under identical conditions, with these expected accuracies."""

    def written(own: Mapping[str, float], identical: Mapping[str, float]) -> Match:
        synthetic_runs(tmp_path, ["a", "b"], SEEDS, Study(own={"b": OWN}, accuracies=own))
        synthetic_runs(tmp_path, ["a", "b"], SEEDS, Study(accuracies=identical))
        (found,) = origins.matches(read(tmp_path).cohorts)
        return found

    return written


def contrast(match: Match) -> Contrast:
    """Of the only pair."""
    (found,) = origins.contrasts(match)
    return found


@pytest.mark.parametrize(
    ("own", "identical", "origin"),
    [
        (AHEAD, AHEAD, "architecture"),
        (AHEAD, CLOSER, "architecture and recipe"),
        (CLOSER, AHEAD, "reduced by the recipes"),
        (AHEAD, LEVEL, "recipe"),
        (LEVEL, AHEAD, "hidden by the recipes"),
        (AHEAD, BEHIND, "reversed by the recipes"),
        (LEVEL, LEVEL, "not decided"),
    ],
)
def test_where_a_difference_comes_from(
    match: Write, own: Mapping[str, float], identical: Mapping[str, float], origin: str
) -> None:
    """From what is told apart under own recipes, under identical conditions, and between the two."""
    assert origin == contrast(match(own, identical)).origin


def test_a_difference_seen_under_one_alone_is_not_the_recipes_yet(tmp_path: Path) -> None:
    """Where the change itself is not distinguishable: told apart and not told apart may be the same difference."""
    synthetic_runs(tmp_path, ["a", "b"], SEEDS, Study(own={"b": OWN}, accuracies={"a": 0.77, "b": 0.7}))
    synthetic_runs(tmp_path, ["a", "b"], [3, 4, 5, 6, 7], Study(accuracies={"a": 0.76, "b": 0.72}))
    (both,) = origins.matches(read(tmp_path).cohorts)
    found = contrast(both)
    assert (True, False) == (found.own.better is not None, found.identical.better is not None)
    assert not found.changed
    assert "not decided" == found.origin


def test_the_change_is_the_difference_of_the_differences(match: Write) -> None:
    """In the direction in which the first is ahead under own recipes, with an interval that the parts' means lie in."""
    found = contrast(match(BEHIND, LEVEL))
    assert ("b", "a") == (found.first, found.second)
    assert found.own.difference.mean > 0
    expected = found.own.difference.mean - found.identical.difference.mean
    assert pytest.approx(expected) == found.change.mean
    assert found.change.low < found.change.mean < found.change.high


def test_the_share_of_the_recipe_is_that_of_the_difference(match: Write) -> None:
    """Three fifths of thirty points, with an interval; absent if nothing differs significantly under own recipes."""
    found = contrast(match(AHEAD, CLOSER))
    share = found.recipe_share
    assert pytest.approx(found.change.mean / found.own.difference.mean) == share.mean
    assert share.low < 0.6 < share.high
    assert 0 < share.low < share.high < 1


def test_no_difference_has_no_share(match: Write) -> None:
    """A share of what is not distinguishable from 0 would be any number."""
    assert contrast(match(LEVEL, AHEAD)).recipe_share is None


def test_only_the_seeds_in_common_are_paired(tmp_path: Path) -> None:
    """The change over two of three seeds is that of these two; without any there is none, and nothing is decided."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1, 2], Study(own={"b": OWN}, accuracies=AHEAD))
    synthetic_runs(tmp_path, ["a", "b"], [1, 2, 3], Study(accuracies=LEVEL))
    (found,) = origins.matches(read(tmp_path).cohorts)
    values = [
        np.subtract(*(summary.correct.of(place, [1, 2]).astype(int) for place in (0, 1))).mean()
        for summary in (found.own, found.identical)
    ]
    assert 2 == contrast(found).change.n
    assert pytest.approx(values[0] - values[1]) == contrast(found).change.mean


def test_without_a_common_seed_there_is_no_change(tmp_path: Path) -> None:
    """What is told apart under one alone stays undecided."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1, 2, 3, 4], Study(own={"b": OWN}, accuracies=AHEAD))
    synthetic_runs(tmp_path, ["a", "b"], [5, 6, 7, 8, 9], Study(accuracies=LEVEL))
    (found,) = origins.matches(read(tmp_path).cohorts)
    assert (None, None, "not decided") == (
        contrast(found).change,
        contrast(found).p_change,
        contrast(found).origin,
    )


@pytest.mark.parametrize(
    "other",
    [
        Study(data_digest="0" * 32),
        Study(conditions=msgspec.structs.replace(CONDITIONS, image_size=96)),
        Study(own={"a": OWN}),
        Study(providers={"a": "mine", "b": "mine"}),
    ],
)
def test_only_the_same_images_and_networks_are_held_against_each_other(tmp_path: Path, other: Study) -> None:
    """Neither other images or sizes, nor another cohort under own recipes, nor networks of another provider."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1], Study(own={"b": OWN}))
    synthetic_runs(tmp_path, ["a", "b"], [0, 1], other)
    assert [] == origins.matches(read(tmp_path).cohorts)


def test_one_architecture_in_common_makes_no_pair(tmp_path: Path) -> None:
    """It takes two."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1], Study(own={"b": OWN}))
    synthetic_runs(tmp_path, ["b", "c"], [0, 1])
    assert [] == origins.matches(read(tmp_path).cohorts)
