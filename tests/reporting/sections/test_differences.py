"""Pairs are shown with all that a reader needs to doubt them."""

import re

import pytest

from intelbench.reporting.markdown import block_text
from intelbench.reporting.sections.differences import differences
from intelbench.reporting.sections.results import every_run
from intelbench.results import tables
from tests.reporting.rendered import rendered
from tests.synthetic import Summarize, failure


def test_every_pair_has_its_evidence(summarize: Summarize) -> None:
    """Difference, p values, what could have been found, and a verdict."""
    table, method, omnibus, seeds = rendered(
        differences(summarize(["a", "b", "c"], range(6), accuracies={"a": 0.9, "b": 0.5}))
    )
    assert 5 == len(table.splitlines())
    assert re.search(r"\| a − b +\| +\+\d+\.\d \[\+\d+\.\d, \+\d+\.\d\] \| < 0\.001 \|", table)
    assert "n = 6 seeds × 300 test images" in method
    assert "smaller than the margin of 1 point" in method
    assert "with 2 degrees of freedom" in omnibus
    assert 6 == seeds.count("| Seed ") or 6 == len(re.findall(r"Seed \d", seeds))


def test_one_seed_is_n_1(summarize: Summarize) -> None:
    """No interval over seeds, and the reason."""
    table, method, *_ = rendered(differences(summarize(["a", "b"], [0])))
    assert method.startswith("n = 1: ")
    assert "[" not in table


def test_discordant_counts_are_those_of_the_answers(summarize: Summarize) -> None:
    """First only and second only, by seed."""
    summary = summarize(["a", "b"], range(3))
    (row,) = tables.rows(tables.differences(summary))
    names = [architecture.name for architecture in summary.finished]
    first, second = (summary.correct.of(names.index(row[side])) for side in ("first", "second"))
    assert [(only & ~other).sum() for only, other in zip(first, second, strict=True)] == row["first_only"]
    assert [(other & ~only).sum() for only, other in zip(first, second, strict=True)] == row["second_only"]


@pytest.mark.parametrize(
    "changes", [{"other_batches": [("b", 1)]}, {"failures": {("b", s): failure() for s in range(3)}}]
)
def test_nothing_to_compare(summarize: Summarize, changes: dict[str, object]) -> None:
    """Other batches, or one architecture that finished: no table of pairs."""
    assert [] == rendered(differences(summarize(["a", "b"], **changes)))


def test_many_pairs_are_folded_away(summarize: Summarize) -> None:
    """Seven architectures are 21 pairs."""
    table = rendered(differences(summarize([f"m{number}" for number in range(7)])))[0]
    assert table.startswith("<details><summary>All 21 pairs</summary>")


def test_every_run_has_wilsons_interval(summarize: Summarize) -> None:
    """A row for each finished run."""
    text = block_text(every_run(summarize(["a", "b"], failures={("b", 1): failure()})))
    assert "Every run (5)" in text
    assert 5 == len(re.findall(r"^\| [ab] .*\d+\.\d % \[\d+\.\d, \d+\.\d\]", text, re.MULTILINE))
