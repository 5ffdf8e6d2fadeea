"""Crossings of accuracy by what is spent are beyond the noise."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.results import efficiency
from intelbench.results.efficiency import Crossings
from intelbench.results.runs import RunSummary
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests.results.curves import changed, with_curves, written
from tests.synthetic import Study, Summarize, failure, synthetic_runs

SCATTER = (-0.01, 0.0, 0.01, 0.005, -0.005, 0.0)
"""Of six seeds; its mean is 0."""


def scattered(mean: Sequence[float]) -> list[list[float]]:
    """Six seeds about a mean curve; each seed is as far from it at one point as at another."""
    return [[value + off for value in mean] for off in SCATTER]


def alternating(mean: Sequence[float]) -> list[list[float]]:
    """Six seeds about a mean curve, scattered in another order than `scattered` does it."""
    return [[value + off for value in mean] for off in reversed(SCATTER)]


def by_steps(summary: CohortSummary) -> Crossings:
    """Crossings by step."""
    (found,) = (each for each in efficiency.crossings(summary) if each.unit == "steps")
    return found


def test_a_missing_seed_leaves_the_crossings_of_others(summarize: Summarize) -> None:
    """A third architecture with one finished seed adds no pair."""
    curves = {"a": scattered([0.4, 0.45, 0.45, 0.45]), "b": alternating([0.2, 0.35, 0.55, 0.7])}
    alone = by_steps(with_curves(summarize(["a", "b"], range(6)), curves))
    failures = {("c", seed): failure() for seed in range(1, 6)}
    summary = summarize(["a", "b", "c"], range(6), failures=failures)
    assert alone == by_steps(with_curves(summary, {**curves, "c": [[0.9, 0.1, 0.9, 0.1]]}))


def test_a_known_crossing(summarize: Summarize) -> None:
    """The quick learner is ahead up to step 20, the other from step 30 on; their mean lines meet at step 25."""
    curves = {"a": scattered([0.4, 0.45, 0.45, 0.45]), "b": alternating([0.2, 0.35, 0.55, 0.7])}
    for names in (["a", "b"], ["b", "a"]):
        summary = with_curves(summarize(names, range(6)), curves)
        (crossing,) = by_steps(summary).distinguishable
        assert ["a", "b"] == [crossing.first, crossing.second]
        assert pytest.approx(25) == crossing.spent
        assert [20.0, 30.0] == [crossing.before.spent, crossing.after.spent]
        assert pytest.approx([0.1, 0.1]) == [crossing.before.difference.mean, crossing.after.difference.mean]
        assert max(crossing.before.p_holm, crossing.after.p_holm) <= 0.05
    text = written(summary)
    assert "**The ranking changes with the budget**" in text
    assert "the mean curves cross at step 25 (800 images)." in text
    assert "the mean curves cross at 25.0 s." in text


def test_steps_and_seconds_have_crossings_of_their_own(summarize: Summarize) -> None:
    """One that is better step by step, and three times as slow, is ahead by seconds only later."""
    curves = {
        "a": scattered([0.30, 0.40, 0.44, 0.45, 0.46, 0.46, 0.46, 0.46, 0.46]),
        "b": alternating([0.35, 0.60, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80]),
    }
    summary = with_curves(summarize(["a", "b"], range(6)), curves, {"b": 3.0})
    assert () == by_steps(summary).distinguishable
    (crossing,) = (
        each for along in efficiency.crossings(summary) if along.unit == "seconds" for each in along.distinguishable
    )
    assert ["a", "b"] == [crossing.first, crossing.second]
    assert 40 < crossing.spent < 50
    (row,) = (row for row in list(efficiency.crossing_table(summary)) if row["unit"] == "seconds")
    assert ["a", "b", 6] == [row["ahead_before"], row["ahead_after"], row["num_seeds"]]
    assert row["before_spent"] < row["spent"] < row["after_spent"]


def test_evaluation_points_make_no_crossing(summarize: Summarize) -> None:
    """Two equal curves, one network twice as fast and so evaluated at other steps: lines make each the leader in turn.

    A straight line between two points lies below a curve that levels off, and the other has a point there.
    """
    steps = {"a": np.array([20.0, 40.0, 60.0, 80.0]), "b": np.array([30.0, 50.0, 70.0])}
    summary = summarize(["a", "b"], range(6), num_validation=600)

    def evaluated(name: str, place: int, run: RunSummary) -> RunSummary:
        accuracy = 0.8 - 0.7 * np.exp(-steps[name] / 15) + SCATTER[place] / 10
        return replace(run, evaluation_step=steps[name], evaluation_seconds=steps[name], evaluation_accuracy=accuracy)

    found = by_steps(changed(summary, evaluated))
    assert (1, 1, ()) == (found.num_pairs, found.num_crossed, found.distinguishable)


def test_a_crossing_inside_the_noise_is_none(summarize: Summarize) -> None:
    """Mean curves cross, by less than the seeds scatter; neither does a lead on one side alone make a crossing."""
    noise = {
        "a": [[0.5, 0.4], [0.3, 0.5], [0.4, 0.3], [0.5, 0.5], [0.2, 0.3], [0.4, 0.4]],
        "b": [[0.3, 0.5], [0.5, 0.4], [0.2, 0.5], [0.4, 0.4], [0.3, 0.4], [0.5, 0.3]],
    }
    one_side = {"a": scattered([0.401, 0.6, 0.8]), "b": alternating([0.4, 0.7, 0.9])}
    for curves in (noise, one_side):
        summary = with_curves(summarize(["a", "b"], range(6)), curves)
        found = by_steps(summary)
        assert (1, 1, ()) == (found.num_pairs, found.num_crossed, found.distinguishable)
        assert "**No crossing is beyond the noise.**" in written(summary)


def test_few_seeds_without_scatter_are_not_sure(summarize: Summarize) -> None:
    """Two seeds that differ by one image, exactly alike, are a coincidence of whole numbers."""
    image = 1 / 60
    curves = {"a": [[0.5, 0.5]] * 2, "b": [[0.5 - image, 0.5 + image]] * 2}
    summary = with_curves(summarize(["a", "b"], (0, 1)), curves)
    assert (1, ()) == (by_steps(summary).num_crossed, by_steps(summary).distinguishable)


def test_one_seed_has_no_crossing(summarize: Summarize) -> None:
    """Nothing is tested, and the report says so."""
    curves = {"a": [[0.4, 0.4]], "b": [[0.2, 0.8]]}
    summary = with_curves(summarize(["a", "b"], [0]), curves)
    assert [] == efficiency.crossings(summary)
    text = written(summary)
    assert "was not tested: no two architectures have two finished seeds in common, which a test takes." in text


def test_curves_without_a_range_in_common_are_no_pair(summarize: Summarize) -> None:
    """The quick one has ended before the slow one is evaluated for the first time, and has spent fewer FLOPs."""
    curves = {"a": scattered([0.4, 0.5]), "b": alternating([0.2, 0.8])}
    summary = with_curves(summarize(["a", "b"], range(6)), curves, {"b": 3.0})
    assert ["steps"] == [each.unit for each in efficiency.crossings(summary)]


@given(st.lists(st.lists(st.floats(0.01, 0.3), min_size=3, max_size=3), min_size=4, max_size=4))
def test_who_is_always_ahead_crosses_nobody(tied: CohortSummary, leads: list[list[float]]) -> None:
    """At equal pace, whatever the leads: equal curves and curves above each other never cross."""
    base = [0.3, 0.4, 0.5]
    above = [[value + lead for value, lead in zip(base, row, strict=True)] for row in leads]
    for curves in ({"a": [base] * 4, "b": above}, {"a": [base] * 4, "b": [base] * 4}):
        found = by_steps(with_curves(tied, curves))
        assert (1, 0, ()) == (found.num_pairs, found.num_crossed, found.distinguishable)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> CohortSummary:
    """Two architectures on four seeds, to be given curves."""
    folder: Path = tmp_path_factory.mktemp("tied")
    synthetic_runs(folder, ["a", "b"], range(4), Study())
    return read(folder).cohorts[0]


def test_chance_makes_no_crossings(summarize: Summarize) -> None:
    """Four architectures, equal at five points and ten points of accuracy apart at five more: no lead changes hands.

    Without Holm's correction every second of these studies would claim that one does, with it one in a hundred.
    """
    summary, noise = summarize(["a", "b", "c", "d"], range(6)), np.random.default_rng(7)
    means = {name: 0.5 + 0.1 * place * (np.arange(10) >= 5) for place, name in enumerate("abcd")}
    found = []
    for _ in range(40):
        curves = {name: (mean + 0.03 * noise.standard_normal((6, 10))).tolist() for name, mean in means.items()}
        found.append(by_steps(with_curves(summary, curves)))
    assert 0 == sum(bool(each.distinguishable) for each in found)
    assert 0 < min(each.num_crossed for each in found)
