"""Accuracy for what it costs: misses are infinite, and fronts hold what nothing beats."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intelbench.config.budget import Budget
from intelbench.records.profiles import Energy
from intelbench.records.types import Execution, Measurements
from intelbench.reporting.sections.cost import cost
from intelbench.results import efficiency
from intelbench.results.reaching import spent_until
from intelbench.results.runs import RunSummary
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests.reporting.rendered import rendered
from tests.results.curves import changed, with_curves, written
from tests.statistics.tables import complete_table
from tests.synthetic import CONDITIONS, Summarize, failure, synthetic_runs

GPU = Execution(device="cuda", threads=2, workers=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    """One finished run, to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    synthetic_runs(folder, ["a"], [0])
    return read(folder).cohorts[0].finished[0].runs[0]


def remeasured(run: RunSummary, **fields: object) -> RunSummary:
    """With other measurements."""
    measurements: Measurements = msgspec.structs.replace(run.measurements, **fields)
    return replace(run, record=msgspec.structs.replace(run.record, measurements=measurements))


def with_measurements(summary: CohortSummary, names: str, **fields: object) -> CohortSummary:
    """With other measurements of these architectures, a letter each."""

    def measured(name: str, _: int, run: RunSummary) -> RunSummary:
        return remeasured(run, **fields) if name in names else run

    return changed(summary, measured)


def reached(summary: CohortSummary, target: float) -> dict[str, dict[str, object]]:
    """The rows of one target, by architecture."""
    found = list(efficiency.time_to_accuracy(summary))
    return {row["architecture"]: row for row in found if row["target"] == target}


def test_what_is_spent_at_an_evaluation_point(run: RunSummary) -> None:
    """Images are steps times the batch size, FLOPs are images times those of one; unknown FLOPs are unknown."""
    steps = run.evaluation_step
    expected = {"steps": steps, "images": 32 * steps, "seconds": run.evaluation_seconds, "flops": 2.0e9 * 32 * steps}
    assert all(np.array_equal(expected[unit], efficiency.spent(run, unit)) for unit in efficiency.UNITS)
    unknown = remeasured(run, training_flops_per_image=None)
    assert efficiency.spent(unknown, "flops") is None
    assert efficiency.curve([run, unknown], "flops") is None


@pytest.mark.parametrize(
    ("num_classes", "first"), [(1, None), (2, 0.6), (3, 0.4), (6, 0.2), (10, 0.2), (11, 0.1), (100, 0.1)]
)
def test_targets_are_above_chance(num_classes: int, first: float | None) -> None:
    """They depend on the number of classes and nothing else; chance itself is no target."""
    found = efficiency.ladder(num_classes)
    assert first == (found[0] if found else None)
    assert all(10 == round(100 * (high - low)) for low, high in pairwise(found))
    assert not found or 0.9 == found[-1]


def test_misses_are_infinite(summarize: Summarize) -> None:
    """Three of six runs give no median, four give the mean of the third and fourth."""
    early, late, never = [0.1, 0.3, 0.3], [0.1, 0.1, 0.3], [0.1, 0.1, 0.1]
    curves = {"a": [early, early, late, never, never, never], "b": [early, early, early, late, never, never]}
    summary = with_curves(summarize(["a", "b"], range(6)), curves, {"b": 2.0})
    found = reached(summary, 0.3)
    a, b = found["a"], found["b"]
    assert [3, 6] == [a["num_reached"], a["num_runs"]]
    assert [None, 20.0, None] == [a["steps"], a["steps_least"], a["steps_most"]]
    assert [4, 6] == [b["num_reached"], b["num_runs"]]
    assert [25.0, 50.0] == [b["steps"], b["seconds"]]
    assert {0.2, 0.3} == {row["target"] for row in list(efficiency.time_to_accuracy(summary))}
    text = written(summary)
    assert "∞ (3 of 6)" in text
    assert "50.0 (4 of 6)" in text
    assert "no run reached 40 %." in text


def test_failed_runs_are_misses(summarize: Summarize) -> None:
    """An architecture whose runs all failed stays in the table; one failure of two leaves no median."""
    failures = {("b", 0): failure(), ("b", 1): failure(), ("a", 1): failure()}
    summary = with_curves(summarize(["a", "b", "c"], (0, 1), failures=failures), {"a": [[0.3]], "c": [[0.3], [0.3]]})
    found = reached(summary, 0.3)
    assert [(None, 1, 2), (None, 0, 2), (10.0, 2, 2)] == [
        (found[name]["seconds"], found[name]["num_reached"], found[name]["num_runs"]) for name in "abc"
    ]
    text = written(summary)
    assert "∞ (0 of 2)" in text


def test_the_first_time_counts(summarize: Summarize) -> None:
    """Though accuracy falls again; on straight lines between evaluation points. 18 of 60 images are 30 %."""
    summary = with_curves(summarize(["a"], [0]), {"a": [[0.1, 18 / 60, 0.1, 0.9]]})
    assert 15.0 == reached(summary, 0.2)["a"]["steps"]
    assert 20.0 == reached(summary, 0.3)["a"]["steps"]
    assert 35.0 == pytest.approx(reached(summary, 0.5)["a"]["steps"])


def test_before_the_first_evaluation_point_there_is_a_bound_alone(summarize: Summarize) -> None:
    """The median is a bound where half of the runs are; the row says how many."""
    curves = {"a": [[0.3, 0.4], [0.3, 0.4], [0.1, 0.4]], "b": [[0.3, 0.4], [0.1, 0.4], [0.1, 0.4]]}
    summary = with_curves(summarize(["a", "b"]), curves)
    found = reached(summary, 0.3)
    assert [2, 1] == [found[name]["num_at_first_point"] for name in "ab"]
    assert [10.0, pytest.approx(50 / 3)] == [found[name]["steps"] for name in "ab"]
    text = written(summary)
    assert "≤ 10.0 (3 of 3)" in text
    assert "16.7 (3 of 3)" in text
    assert "≤ 16.7" not in text
    assert "16.7 [≤ 10.0, 16.7]" in text


def test_a_bound_is_one_whichever_run_it_is_of(summarize: Summarize) -> None:
    """A slow run that was at the target at its first point: it is the slowest, or the median, and a bound all the same.

    Run 0 takes 13 s to its first point, and the others reach the target after theirs.
    """

    def slowed(_: str, place: int, run: RunSummary) -> RunSummary:
        return replace(run, evaluation_seconds=run.evaluation_seconds * (1.3 if place == 0 else 0.6))

    curves = {"a": [[0.3, 0.4], [0.1, 0.4], [0.1, 0.4]], "b": [[0.3, 0.4], [0.1, 0.4], [0.1, 0.2]]}
    summary = changed(with_curves(summarize(["a", "b"]), curves), slowed)
    found = reached(summary, 0.3)
    ends = ("seconds_least", "seconds", "seconds_most")
    assert [10.0, 10.0, 13.0] == pytest.approx([found["a"][end] for end in ends])
    assert [True, False, True] == [found["a"][f"{end}_is_bound"] for end in ends]
    assert [10.0, 13.0] == pytest.approx([found["b"][end] for end in ends[:2]])
    assert [True, True, False] == [found["b"][f"{end}_is_bound"] for end in ends]
    text = written(summary)
    assert "10.0 [≤ 10.0, ≤ 13.0]" in text
    assert "≤ 13.0 [≤ 10.0, ∞]" in text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_higher_targets_take_longer(accuracy: list[float]) -> None:
    """Or as long; and what is reached is reached between the first and the last evaluation point."""
    points = np.arange(1.0, len(accuracy) + 1)
    found = spent_until(points, np.array(accuracy), efficiency.ladder(6)).tolist()
    assert found == sorted(found)
    assert all(value == np.inf or points[0] <= value <= points[-1] for value in found)


def test_nothing_infinite_leaves_the_tables(summarize: Summarize) -> None:
    """JSON has no infinity: every number is finite or `None`."""
    summary = summarize()
    tables = [efficiency.time_to_accuracy(summary), efficiency.pareto(summary), efficiency.crossing_table(summary)]
    numbers = [value for table in tables for row in table for value in row.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()


def test_a_front_by_hand() -> None:
    """Dearer and worse is dominated, so is dearer and as good, or as dear and worse; equals are both on the front."""
    cost = np.array([[1.0], [2.0], [2.0], [3.0], [3.0], [4.0]])
    accuracy = np.array([[0.5], [0.6], [0.6], [0.6], [0.7], [0.4]])
    assert [True, True, True, False, True, False] == efficiency.on_front(cost, accuracy)[:, 0].tolist()
    assert [False, True] == efficiency.on_front(np.array([[2.0], [2.0]]), np.array([[0.1], [0.2]]))[:, 0].tolist()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_a_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    """By the definition, pair by pair; never empty; the cheapest of the most accurate is on it."""
    cost, accuracy = np.array(points, dtype=np.float64).T
    found = efficiency.on_front(cost[:, None], accuracy[:, None])[:, 0].tolist()
    beaten = [
        any(c <= cost_ and a >= accuracy_ and (c, a) != (cost_, accuracy_) for c, a in points)
        for cost_, accuracy_ in points
    ]
    assert [not each for each in beaten] == found
    best = max(range(len(points)), key=lambda place: (points[place][1], -points[place][0]))
    assert found[best]


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32))
def test_each_draw_has_its_own_front(num_architectures: int, num_resamples: int, seed: int) -> None:
    """All at once as one by one."""
    numbers = np.random.default_rng(seed)
    cost, accuracy = numbers.integers(0, 3, (2, num_architectures, num_resamples)).astype(np.float64)
    single = [efficiency.on_front(cost[:, [place]], accuracy[:, [place]])[:, 0] for place in range(num_resamples)]
    assert np.array_equal(np.array(single).T, efficiency.on_front(cost, accuracy))


def with_correct(summary: CohortSummary, shares: Mapping[str, float]) -> CohortSummary:
    """Each architecture recognises that share of 100 images, the same for every seed."""
    image = np.arange(100) % 10 * 10 + np.arange(100) // 10
    known: NDArray[np.bool_] = np.array([[image < 100 * shares[a.name]] * 3 for a in summary.finished])
    return replace(summary, values=complete_table(known))


def test_shares_of_a_front(summarize: Summarize) -> None:
    """The cheapest is always on it; of two that are dearer, the better one is on it more often."""
    summary = with_correct(summarize(["a", "b", "c"]), {"a": 0.5, "b": 0.5, "c": 0.52})
    found = [row for row in list(efficiency.pareto(summary)) if row["cost"] == "training_seconds"]
    by_name = {row["architecture"]: row for row in found}
    assert [True, False, True] == [by_name[name]["on_front"] for name in "abc"]
    assert 1.0 == by_name["a"]["front_share"]
    assert by_name["b"]["front_share"] < by_name["c"]["front_share"] < 1
    assert [pytest.approx(60 * (0.2 + 0.06 * place)) for place in range(3)] == [by_name[n]["value"] for n in "abc"]


def test_only_what_no_draw_could_change_is_100_percent(summarize: Summarize) -> None:
    """The cheapest is on every front there could be; one that was on all that were drawn is not certain."""
    summary = with_correct(summarize(["a", "b"]), {"a": 0.3, "b": 0.9})
    found = [row for row in list(efficiency.pareto(summary)) if row["cost"] == "training_seconds"]
    certain = {row["architecture"]: (row["front_share"], row["front_certain"]) for row in found}
    assert {"a": (1.0, True), "b": (1.0, False)} == certain
    table = rendered(cost(summary))[0]
    cells = [[cell.strip("* ") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert {"a": "100.0", "b": "> 99.9"} == {cell[0]: cell[3] for cell in cells}


def test_costs_are_those_of_all_finished_runs(summarize: Summarize) -> None:
    """A seed that one architecture lacks counts for the others."""
    summary = summarize(["a", "b"], (0, 1, 2), missing=[("b", 2)])
    slow = changed(summary, lambda _, place, run: remeasured(run, training_seconds=10.0 + place))
    expected = {"a": [10.0, 11.0, 12.0], "b": [10.0, 11.0]}
    by_architecture = [of_runs.tolist() for of_runs in efficiency.costs(slow)["training_seconds"]]
    assert [expected[a.name] for a in slow.finished] == by_architecture


def test_an_architecture_with_one_seed_is_as_uncertain_as_the_others(summarize: Summarize) -> None:
    """Cheap and far better in its only seed: its seeds are taken to vary as those of the others do."""
    failures = {("a", 1): failure(), ("a", 2): failure()}
    summary = summarize(["a", "b", "c"], accuracies={"a": 0.95, "b": 0.3, "c": 0.3}, failures=failures)
    found = [row for row in list(efficiency.pareto(summary)) if row["cost"] == "training_seconds"]
    by_name = {row["architecture"]: row for row in found}
    assert {"a": 1, "b": 3, "c": 3} == {name: row["num_seeds"] for name, row in by_name.items()}
    assert 1.0 == by_name["a"]["front_share"]
    assert max(by_name[name]["front_share"] for name in "bc") < 0.05


@pytest.mark.parametrize(
    ("budget", "names"),
    [
        (Budget(steps=60), ["training_seconds", "training_flops"]),
        (Budget(seconds=60), ["seconds_per_image", "training_flops_per_image"]),
        (Budget(flops=1e15), ["training_seconds", "training_flops_per_image"]),
    ],
)
def test_what_the_budget_fixes_is_per_image(summarize: Summarize, budget: Budget, names: list[str]) -> None:
    """Under a budget in seconds all take the same, and the slower of two that compute the same is not cheaper."""
    summary = summarize(["a", "b"], conditions=msgspec.structs.replace(CONDITIONS, budget=budget))
    assert [*names, "peak_memory_bytes"] == list(efficiency.costs(summary))
    if budget.unit == "seconds":
        run = summary.finished[0].runs
        medians = [float(np.median(each.warm_total_seconds)) / 32 for each in run]
        assert pytest.approx(medians) == efficiency.costs(summary)["seconds_per_image"][0]


def test_joules_are_a_cost_where_all_have_them(summarize: Summarize) -> None:
    """On a GPU with a counter; one architecture without takes them from the table."""
    summary = summarize(["a", "b"], execution=GPU)
    joules = dict(zip([each.name for each in summary.finished], efficiency.costs(summary)["joules"], strict=True))
    assert pytest.approx({"a": 250 * (60 * 0.2 + 3), "b": 250 * (60 * 0.26 + 3)}) == joules
    assert "joules" in {row["cost"] for row in list(efficiency.pareto(summary))}
    assert "Energy (kJ)" in written(summary)
    unread = Energy(source=None, joules=None, seconds=60, idle_joules=None, idle_seconds=0, absent="no counter")
    assert "joules" not in efficiency.costs(with_measurements(summary, "b", energy=unread))


def test_unknown_flops_are_absent(summarize: Summarize) -> None:
    """A dash for the architecture that has none, a front of the others, and no such front where fewer than two have."""
    summary = with_measurements(summarize(["a", "b", "c"]), "b", training_flops_per_image=None)
    found = {row["architecture"]: row for row in list(efficiency.pareto(summary)) if row["cost"] == "training_flops"}
    assert [None, None, None] == [found["b"][name] for name in ("value", "on_front", "front_share")]
    assert None not in [found[name]["front_share"] for name in "ac"]
    assert [None, 3] == [reached(summary, 0.2)["b"]["flops"], reached(summary, 0.2)["b"]["num_reached"]]
    text = written(summary)
    assert "FLOPs are not known of b." in text
    few = with_measurements(summary, "c", training_flops_per_image=None)
    assert "training_flops" not in {row["cost"] for row in list(efficiency.pareto(few))}
    assert ["seconds", "steps"] == [each.unit for each in efficiency.crossings(few)]


def test_no_front_where_nothing_may_be_ranked(summarize: Summarize) -> None:
    """Other batches for one run: no share, no crossing, and the report says why."""
    summary = summarize(["a", "b"], other_batches=[("b", 1)])
    assert [] == list(efficiency.pareto(summary))
    assert [] == efficiency.crossings(summary)
    text = written(summary)
    assert "was not tested: nothing may be ranked here." in text
    assert "is not said where nothing may be ranked" in text


def test_without_validation_there_are_no_curves(summarize: Summarize) -> None:
    """A single architecture without an evaluation has no such section at all."""
    summary = with_curves(summarize(["a"]), {"a": [[]] * 3})
    assert efficiency.curve(summary.finished[0].runs, "steps") is None
    assert not written(summary)
