"""Curves over labels pass through what was measured, and nothing is concluded inside the noise."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.config.recipe import Recipe
from intelbench.results.label_efficiency import LabelCurve, LabelStudy, compare_labels, label_studies
from intelbench.results.origins import matches
from intelbench.results.study import read
from tests.results import label_simulation
from tests.synthetic import CONDITIONS, EXECUTION, Study, failure, synthetic_runs

Accuracies = Mapping[int | None, Mapping[str, float]]
"""Expected test accuracy by images of each class and architecture."""


def curve(accuracies: Sequence[float], numbers: Sequence[float] = (10, 100, 1000), seeds: int = 3) -> LabelCurve:
    """Of a thousand images the share is right that the accuracy says; which ones differs a little between seeds."""
    images = (np.arange(1000) * 617 + 13 * np.arange(seeds)[:, None]) % 1000
    correct = np.array([images < 1000 * accuracy for accuracy in accuracies])
    places = tuple(range(seeds))
    return LabelCurve(SimpleNamespace(name="a", index=0), np.array(numbers, dtype=np.float64), places, correct)


def studies(
    folder: Path, accuracies: Accuracies, seeds: Sequence[int] = range(4), **changes: object
) -> list[LabelStudy]:
    """Of synthetic records."""
    for number, expected in accuracies.items():
        changed = Study(images_per_class=number, accuracies=expected, num_test=900, **changes)
        synthetic_runs(folder, list(expected), seeds, changed)
    return label_studies(read(folder).cohorts)


def test_a_curve_passes_through_what_was_measured() -> None:
    """Means and tables at the numbers that were run; half way on the logarithm, half way between."""
    found = curve([0.4, 0.6, 0.7])
    assert [10, 1000] == pytest.approx([found.points[0], found.points[-1]])
    assert [0.4, 0.5, 0.6] == pytest.approx(np.interp(np.log([10, 10**1.5, 100]), np.log(found.points), found.accuracy))
    for place, number in enumerate(found.numbers):
        np.testing.assert_allclose(found.at(number), found.correct[place], atol=1e-9)
    assert found.at(10**1.5).mean() == pytest.approx(0.5)


def test_images_needed_are_where_the_curve_first_reaches_the_target() -> None:
    """The fewest stand for that or less, and what is never reached is infinite; the interval holds the number."""
    found = curve([0.4, 0.6, 0.7])
    half = found.needed(0.5)
    assert 10**1.5 == pytest.approx(half.mean)
    assert 10 < half.low < half.mean < half.high < 100
    assert (found.points[0], found.points[0]) == (found.needed(0.3).mean, found.needed(0.3).high)
    assert (math.inf, math.inf) == (found.needed(0.8).mean, found.needed(0.8).high)
    assert 100 < found.needed(0.69).low < 1000
    assert math.inf == found.needed(0.69).high
    assert 10 < curve([0.4, 0.6, 0.3]).needed(0.5).mean < 100


def test_one_seed_has_no_interval() -> None:
    """And tells nothing of which needs fewer."""
    found = curve([0.4, 0.6, 0.7], seeds=1)
    assert found.band is None
    assert (None, None, 1) == (found.needed(0.5).low, found.needed(0.5).high, found.needed(0.5).n)
    assert compare_labels(found, curve([0.2, 0.5, 0.7], seeds=1), 0.5)[1] is None


shares = st.lists(st.floats(0.05, 0.95), min_size=3, max_size=3).map(sorted)


@given(shares, st.floats(0.1, 0.9))
def test_the_interval_holds_the_numbers_whose_band_holds_the_target(accuracies: list[float], target: float) -> None:
    """Where the curve rises: at its ends the target is an end of the band, unless they are ends of what was run."""
    found = curve(accuracies)
    needed, (low, high) = found.needed(target), found.band
    assert needed.low <= needed.mean <= needed.high
    for number, end in ((needed.low, high), (needed.high, low)):
        if found.points[0] < number < np.inf:
            assert target == pytest.approx(float(np.interp(np.log(number), np.log(found.points), end)), abs=1e-6)


def test_the_one_that_reaches_the_target_with_fewer_is_ahead() -> None:
    """In either order; equal ones are not told apart, nor a steep curve and a flat one that cross at the target."""
    good, bad = curve([0.5, 0.7, 0.8]), curve([0.3, 0.5, 0.7])
    ahead, p_value = compare_labels(good, bad, 0.6)
    assert good is ahead
    assert p_value < 1e-3
    again, same = compare_labels(bad, good, 0.6)
    assert good is again
    assert p_value == pytest.approx(same)
    assert 1 == compare_labels(bad, bad, 0.6)[1]
    assert compare_labels(curve([0.5, 0.6, 0.7]), curve([0.2, 0.6, 0.9]), 0.6)[1] > 0.9


def test_what_both_have_reached_with_the_fewest_is_not_compared() -> None:
    """The better one is better there, and may have needed fewer or not; one that is below is told apart."""
    good = curve([0.8, 0.85, 0.9])
    assert 1 == compare_labels(good, curve([0.6, 0.7, 0.8]), 0.55)[1]
    ahead, p_value = compare_labels(curve([0.4, 0.7, 0.8]), good, 0.55)
    assert good is ahead
    assert p_value < 1e-3


def test_curves_that_fall_conclude_nothing() -> None:
    """Neither a mean that never reaches the target, nor an order that turns."""
    assert 1 == compare_labels(curve([0.5, 0.6, 0.2]), curve([0.2, 0.2, 0.55]), 0.5)[1]
    assert 1 == compare_labels(curve([0.3, 0.6, 0.2]), curve([0.2, 0.2, 0.55]), 0.5)[1]


def test_groups_that_differ_in_the_number_alone_belong_together(tmp_path: Path) -> None:
    """Rising; other conditions, another machine or one number alone do not."""
    accuracies = {None: {"a": 0.8}, 5: {"a": 0.5}, 10: {"a": 0.6}}
    found = studies(tmp_path, accuracies)
    assert [(5, 10, None)] == [tuple(s.cohort.spec.images_per_class for s in each.summaries) for each in found]
    assert [5, 10, 20] == found[0].curves[0].numbers.tolist()
    assert {1, 2, 3} == set(found[0].groups)
    larger = msgspec.structs.replace(CONDITIONS, image_size=96)
    assert 1 == len(studies(tmp_path, {5: {"a": 0.5}}, conditions=larger))
    more = msgspec.structs.replace(EXECUTION, threads=4)
    assert 2 == len(studies(tmp_path, {5: {"a": 0.5}, 10: {"a": 0.5}}, execution=more))


def test_all_and_a_number_that_is_all_are_one(tmp_path: Path) -> None:
    """Twenty of each class are all there are: two groups, no curve."""
    assert [] == studies(tmp_path, {None: {"a": 0.8}, 20: {"a": 0.8}})
    (found,) = studies(tmp_path, {10: {"a": 0.5}})
    assert [10, 20] == found.curves[0].numbers.tolist()


def test_the_target_is_what_all_reach_and_pairs_are_corrected(tmp_path: Path) -> None:
    """A multiple of 5 %; of three architectures the best needs fewer than both, and two are alike."""
    accuracies = {5: {"a": 0.6, "b": 0.3, "c": 0.3}, None: {"a": 0.9, "b": 0.72, "c": 0.72}}
    (found,) = studies(tmp_path, accuracies)
    assert ("a", "b", "c") == found.names == tuple(each.name for each in found.curves)
    assert 0.65 <= found.target <= 0.75
    assert found.target * 20 == pytest.approx(round(found.target * 20))
    better = {(each.first.name, each.second.name): each.fewer and each.fewer.name for each in found.comparisons}
    assert {("a", "b"): "a", ("a", "c"): "a", ("b", "c"): None} == better
    assert ["b", "c"] == [each.more.name for each in found.comparisons if each.more]
    plain = found.plain()
    assert [6, 3, 3] == [len(plain[name]) for name in ("accuracies", "needed", "comparisons")]
    assert ["a", "a", None] == [row["fewer"] for row in plain["comparisons"]]


def test_a_target_out_of_reach_is_none(tmp_path: Path) -> None:
    """One of two stays below chance."""
    (found,) = studies(tmp_path, {5: {"a": 0.5, "b": 0.05}, None: {"a": 0.8, "b": 0.05}}, class_names=("x", "y"))
    assert found.target is None
    assert () == found.comparisons
    assert [] == found.plain()["needed"]


def test_an_architecture_without_runs_at_some_number_has_no_curve(tmp_path: Path) -> None:
    """It keeps its place in the table; an architecture's seeds are those that it has finished with every number."""
    failures = {("b", seed): failure() for seed in range(4)} | {("a", 3): failure()}
    synthetic_runs(tmp_path, ["a", "b", "c"], range(4), Study(images_per_class=5, failures=failures))
    synthetic_runs(tmp_path, ["a", "b", "c"], range(4), Study())
    (found,) = label_studies(read(tmp_path).cohorts)
    assert ("a", "b", "c") == found.names
    assert [("a", (0, 1, 2)), ("c", (0, 1, 2, 3))] == [(each.name, each.seeds) for each in found.curves]


def test_a_pair_is_compared_on_the_seeds_both_curves_have(tmp_path: Path) -> None:
    """One seed of a third architecture leaves the others as they are, and is compared with neither."""
    accuracies = {5: {"a": 0.6, "b": 0.3}, None: {"a": 0.9, "b": 0.72}}
    (alone,) = studies(tmp_path / "two", accuracies)
    failures = {("c", seed): failure() for seed in range(1, 4)}
    (found,) = studies(tmp_path / "three", {n: {**of, "c": of["b"]} for n, of in accuracies.items()}, failures=failures)
    assert alone.target == found.target
    p_values = {(each.first.name, each.second.name): each.p_holm for each in found.comparisons}
    assert {("a", "b"): alone.comparisons[0].p_holm, ("a", "c"): None, ("b", "c"): None} == p_values
    long, short = curve([0.3, 0.5, 0.7], seeds=5), curve([0.5, 0.7, 0.8], seeds=3)
    ahead, p_value = compare_labels(long, short, 0.6)
    assert short is ahead
    assert p_value == compare_labels(long.on([0, 1, 2]), short, 0.6)[1]


def test_other_batches_leave_no_curve(tmp_path: Path) -> None:
    """Nothing is concluded from runs that did not see the same."""
    changes = {"other_batches": [("a", 0)]}
    (found,) = studies(tmp_path, {5: {"a": 0.5, "b": 0.5}, None: {"a": 0.8, "b": 0.8}}, **changes)
    assert () == found.curves
    assert found.target is None


def test_an_own_recipe_that_was_changed_leaves_no_curve(tmp_path: Path) -> None:
    """The number of images is not all that differs then; the others keep theirs."""
    other = msgspec.structs.replace(CONDITIONS, recipe=Recipe(learning_rate=0.5))
    studies(tmp_path, {5: {"a": 0.5, "b": 0.5}}, own={"a": CONDITIONS})
    (found,) = studies(tmp_path, {None: {"a": 0.8, "b": 0.8}}, own={"a": other})
    assert ["b"] == [each.name for each in found.curves]


def test_recipes_are_told_from_architectures_on_as_many_images_alone(tmp_path: Path) -> None:
    """Own recipes on few images are not held against one recipe on all."""
    accuracies = {"a": 0.8, "b": 0.7}
    studies(tmp_path, {5: accuracies}, own={"a": msgspec.structs.replace(CONDITIONS, recipe=Recipe(learning_rate=0.5))})
    studies(tmp_path, {None: accuracies})
    assert [] == matches(read(tmp_path).cohorts)
    studies(tmp_path, {5: accuracies})
    (match,) = matches(read(tmp_path).cohorts)
    assert 5 == match.own.cohort.spec.images_per_class == match.identical.cohort.spec.images_per_class


@pytest.mark.slow
@pytest.mark.parametrize("scenario", label_simulation.SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("slopes", label_simulation.LABEL_SLOPES)
def test_equal_needs_are_seldom_told_apart(scenario: label_simulation.Scenario, slopes: tuple[float, float]) -> None:
    """Two architectures that reach the target with equally many images, equally steeply or not: at most 6 %."""
    found = label_simulation.simulate_labels(scenario, slopes, 2000)
    assert found.false_positives <= 0.06
    assert 0.92 <= found.covered
