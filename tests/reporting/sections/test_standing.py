"""Probability of being the best, and seeds that stand out."""

import pytest

from intelbench.reporting.sections.differences import differences
from intelbench.reporting.sections.standing import standing
from intelbench.results import tables
from tests.reporting.rendered import rendered
from tests.synthetic import Summarize


def test_the_probabilities_are_those_of_the_draws(summarize: Summarize) -> None:
    """They add up to 1, the best one is nearly sure, and the section shows them."""
    summary = summarize(["a", "b", "c"], range(5), accuracies={"a": 0.9, "b": 0.5, "c": 0.5})
    rows = tables.standings(summary)
    assert ["a", "b", "c"] == [row["architecture"] for row in rows]
    assert sum(row["best_probability"] for row in rows) == pytest.approx(1, abs=0.01)
    assert rows[0]["best_probability"] > 0.99
    table, note = rendered(standing(summary))
    assert 5 == len(table.splitlines())
    assert "10,000 draws" in note


def test_draws_make_nothing_certain(summarize: Summarize) -> None:
    """What all draws or none of them gave is no 100 or 0 %, as in "Choice by cost"."""
    summary = summarize(["a", "b"], range(5), accuracies={"a": 0.9, "b": 0.3}, num_test=2000)
    assert [1.0, 0.0] == [row["best_probability"] for row in tables.standings(summary)]
    table, _ = rendered(standing(summary))
    assert ["> 99.9", "< 0.1"] == [line.split("|")[2].strip() for line in table.splitlines()[2:]]


def test_a_single_architecture_is_no_contest(summarize: Summarize) -> None:
    """Nor is one where nothing may be ranked."""
    assert [] == standing(summarize(["a"]))
    assert [] == standing(summarize(["a", "b"], other_batches=[("b", 1)]))


def test_a_bad_seed_is_named_below_the_pairs(summarize: Summarize) -> None:
    """With its distance; ordinary seeds are not mentioned."""
    ordinary = rendered(differences(summarize(["a", "b", "c"], range(4))))
    assert not any("stand out" in block for block in ordinary)
    summary = summarize(["a", "b", "c"], range(4), accuracies={"a": 0.8, "b": 0.8, "c": 0.8})
    table = summary.correct
    table.padded[0, 2, :200] = False
    table.__dict__.pop("means", None)
    (warning,) = [block for block in rendered(differences(summary)) if "stand out" in block]
    assert "seed 2 of `a` is " in warning
    assert "points below the median of its other seeds" in warning
