"""Records of planned looks: the report repeats the decision of each look, and nothing else counts for it."""

import msgspec
import numpy as np
import pytest

from intelbench.config.sequential import SequentialDesign
from intelbench.records.identity import comparison_digest, run_id
from intelbench.results import tables
from intelbench.results.metric import differences
from intelbench.results.metrics import METRICS
from intelbench.results.sequential import replay
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import SIGNIFICANCE
from intelbench.statistics.sequential import looks_at
from tests.synthetic import Study, Summarize, failure, synthetic_run

DESIGN = SequentialDesign(
    architectures=("a", "b", "c"),
    seeds=(0, 1, 2, 3, 4, 5, 6, 7),
    looks=(3, 5, 8),
    spending="pocock",
    significance=0.05,
    margin=0.01,
)
LEVELS = looks_at((3, 5, 8), "pocock", 0.05).levels
ACCURACIES = {"a": 0.8, "b": 0.79, "c": 0.3}
AFTER_FIVE = [("c", 3), ("c", 4)]
"""Runs that are not needed: `c` has left after three seeds."""


def pairs(summary: CohortSummary) -> dict[str, dict[str, object]]:
    """The rows of the pairs by both names, in alphabetical order."""
    return {"".join(sorted((row["first"], row["second"]))): row for row in tables.differences(summary)}


def test_each_pair_has_the_seeds_and_the_level_of_its_look(summarize: Summarize) -> None:
    """One has left after three seeds; the other two were compared again on five."""
    summary = summarize(["a", "b", "c"], range(5), design=DESIGN, accuracies=ACCURACIES, missing=AFTER_FIVE)
    rows = pairs(summary)
    assert {"ab": 5, "ac": 3, "bc": 3} == {name: row["num_seeds"] for name, row in rows.items()}
    assert {"ab": LEVELS[1], "ac": LEVELS[0], "bc": LEVELS[0]} == {n: row["significance"] for n, row in rows.items()}
    assert (None, "a", "b") == tuple(rows[name]["better"] for name in ("ab", "ac", "bc"))
    assert summary.sequential is not None
    assert (2, (0, 1), False) == (
        summary.sequential.race.num_looks, summary.sequential.race.racing, summary.sequential.race.over
    )  # fmt: skip
    assert LEVELS[1] == summary.significance
    assert {"a": 1, "b": 1, "c": 3} == {each.name: each.rank for each in summary.architectures}


def test_runs_of_a_look_that_is_not_complete_do_not_count(summarize: Summarize) -> None:
    """A session that was killed in its second look has the pairs of the first one."""
    missing = [*AFTER_FIVE, ("b", 4)]
    summary = summarize(["a", "b", "c"], range(5), design=DESIGN, accuracies=ACCURACIES, missing=missing)
    assert {"ab": 3, "ac": 3, "bc": 3} == {name: row["num_seeds"] for name, row in pairs(summary).items()}


def test_before_the_first_look_nothing_is_compared(summarize: Summarize) -> None:
    """Two of three seeds."""
    summary = summarize(["a", "b", "c"], range(2), design=DESIGN, accuracies=ACCURACIES)
    assert () == summary.differences
    assert not summary.ranked
    assert summary.sequential is not None
    assert 0 == summary.sequential.race.num_looks
    assert LEVELS[0] == summary.significance


def test_seeds_that_were_added_by_hand_have_the_level_that_is_left(summarize: Summarize) -> None:
    """Seeds 20 and 21 of the two that were compared on five: one more look, with what two looks have left."""
    missing = [*AFTER_FIVE, ("c", 20), ("c", 21)]
    seeds = [*range(5), 20, 21]
    summary = summarize(["a", "b", "c"], seeds, design=DESIGN, accuracies=ACCURACIES, missing=missing)
    rows = pairs(summary)
    spent = looks_at((3, 5, 8), "pocock", 0.05).spent
    assert {"ab": 7, "ac": 3, "bc": 3} == {name: row["num_seeds"] for name, row in rows.items()}
    assert 0.05 - spent[1] == pytest.approx(rows["ab"]["significance"])
    assert rows["ab"]["p_holm"] >= rows["ab"]["p_value"]
    assert summary.sequential is not None
    assert (20, 21) == summary.sequential.added_seeds


def test_seeds_that_were_added_after_the_last_look_decide_nothing(summarize: Summarize) -> None:
    """All of the level is spent; what was decided stays."""
    missing = [("c", seed) for seed in (*range(3, 8), 20)]
    seeds = [*range(8), 20]
    summary = summarize(["a", "b", "c"], seeds, design=DESIGN, accuracies=ACCURACIES | {"b": 0.8}, missing=missing)
    rows = pairs(summary)
    assert (9, 0.0, None) == tuple(rows["ab"][name] for name in ("num_seeds", "significance", "better"))
    assert ("a", "b") == (rows["ac"]["better"], rows["bc"]["better"])


def test_an_architecture_outside_the_design_is_tested_once(summarize: Summarize) -> None:
    """At 5 %, among all pairs; the pairs of the design are as before."""
    summary = summarize(
        ["a", "b", "c", "d"], range(5), design=DESIGN, accuracies=ACCURACIES | {"d": 0.2}, missing=AFTER_FIVE
    )
    rows = pairs(summary)
    assert {"ad": SIGNIFICANCE, "bd": SIGNIFICANCE, "cd": SIGNIFICANCE} == {
        name: row["significance"] for name, row in rows.items() if "d" in name
    }
    assert {"ab": 5, "ac": 3, "ad": 5, "bc": 3, "bd": 5, "cd": 3} == {n: row["num_seeds"] for n, row in rows.items()}
    assert ("a", "b") == (rows["ad"]["better"], rows["bd"]["better"])
    assert summary.sequential is not None
    assert ("d",) == summary.sequential.outsiders


def test_an_architecture_leaves_when_one_of_its_runs_failed(summarize: Summarize) -> None:
    """The look is taken without it, and its seeds do not shorten the other pairs."""
    summary = summarize(
        ["a", "b", "c"], range(5), design=DESIGN, accuracies=ACCURACIES, missing=AFTER_FIVE,
        failures={("b", 3): failure()},
    )  # fmt: skip
    assert summary.sequential is not None
    race = summary.sequential.race
    assert ((0,), (1,), True) == (race.racing, race.failed, race.over)
    assert 1 == race.num_looks


def test_the_same_pairs_are_equivalent(summarize: Summarize) -> None:
    """Under a wide margin."""
    design = msgspec.structs.replace(DESIGN, margin=0.3)
    missing = [("c", seed) for seed in range(3, 8)]
    accuracies = ACCURACIES | {"b": 0.8}
    summary = summarize(["a", "b", "c"], range(8), design=design, accuracies=accuracies, missing=missing)
    row = pairs(summary)["ab"]
    assert ("equivalent", None) == (row["answer"], row["better"])
    assert (0.3, 0.3) == (summary.margin, design.margin)
    assert row["num_seeds"] < 8


def test_another_margin_of_the_report_is_tested_at_the_levels_of_the_looks(summarize: Summarize) -> None:
    """The looks stay those of the design; a pair that stopped as equivalent is undecided within a narrower margin."""
    design = msgspec.structs.replace(DESIGN, margin=0.3)
    arguments: dict[str, object] = {"design": design, "accuracies": ACCURACIES | {"b": 0.8}}
    missing = [("c", seed) for seed in range(3, 8)]
    own, narrow, wide = (
        summarize(["a", "b", "c"], range(8), missing=missing, given_margin=margin, **arguments)
        for margin in (None, 0.001, 0.9)
    )
    assert (0.3, 0.001, 0.9) == tuple(summary.margin for summary in (own, narrow, wide))
    assert ("equivalent", "undecided", "equivalent") == tuple(pairs(s)["ab"]["answer"] for s in (own, narrow, wide))
    assert "equivalent" == pairs(wide)["ac"]["answer"]
    for kept in ("num_seeds", "significance", "p_holm", "better"):
        assert [pairs(own)[name][kept] for name in ("ab", "ac", "bc")] == [
            pairs(narrow)[name][kept] for name in ("ab", "ac", "bc")
        ]
    assert {s.sequential.race.num_looks for s in (own, narrow, wide) if s.sequential} == {1}


def test_each_test_has_the_level_of_the_look_that_its_seeds_complete(summarize: Summarize) -> None:
    """Also of other metrics, of crossings, and of pairs with seeds beyond the looks."""
    summary = summarize(["a", "b", "c", "d"], range(5), design=DESIGN, accuracies=ACCURACIES, missing=AFTER_FIVE)
    levels = [summary.level_on(["a", "b"], range(number)) for number in (2, 3, 4, 5, 8)]
    assert [LEVELS[0], LEVELS[0], LEVELS[0], LEVELS[1], LEVELS[2]] == levels
    assert summary.sequential is not None
    assert summary.sequential.race.level_left == summary.level_on(["a", "b"], [*range(5), 20])
    assert SIGNIFICANCE == summary.level_on(["a", "d"], range(5))
    names = [architecture.name for architecture in summary.finished]
    by_pair = {
        frozenset((names[pair.first], names[pair.second])): pair.significance
        for pair in differences(METRICS.get("test_cross_entropy"), summary)
    }
    assert (LEVELS[1], LEVELS[0]) == (by_pair[frozenset("ab")], by_pair[frozenset("ac")])


def test_a_look_takes_seeds_in_the_order_of_the_design() -> None:
    """Not in that of their numbers."""
    design = msgspec.structs.replace(DESIGN, architectures=("a", "b"), seeds=(9, 4, 7, 0), looks=(3, 4))
    table = {seed: np.arange(50) < 40 for seed in (9, 4, 7)}
    other = {seed: np.arange(50) < 20 for seed in (9, 4, 7, 0)}
    assert 1 == replay(design, [table, other], [[], []]).num_looks
    assert 0 == replay(design, [{4: table[4]}, other], [[], [9]]).num_looks


def test_a_design_does_not_change_what_a_run_is() -> None:
    """The same run has the same name and comparison, so that runs of a fixed number of seeds are used again."""
    (fixed, _), (looked, _) = (synthetic_run("a", 0, Study(design=design)) for design in (None, DESIGN))
    assert fixed.look is None
    assert (DESIGN, 1) == (looked.look.design, looked.look.number)
    assert fixed.run_id == looked.run_id == run_id(looked.spec, looked.environment)
    assert comparison_digest(fixed.spec) == comparison_digest(looked.spec)


@pytest.mark.parametrize(
    "changes",
    [
        {"looks": (3, 5)},
        {"looks": (5, 3, 8)},
        {"looks": (1, 8)},
        {"seeds": (0, 0, 1, 2, 3, 4, 5, 6)},
        {"architectures": ("b", "a")},
        {"architectures": ("a",)},
        {"margin": 0.0},
        {"spending": "all at once"},
    ],
)
def test_a_design_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    """As it would be read from a record."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(DESIGN), **changes}, SequentialDesign)
