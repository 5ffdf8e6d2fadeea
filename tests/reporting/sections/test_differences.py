"""Pairs are shown with all that a reader needs to doubt them."""

import re

import msgspec
import pytest

from intelbench.config.sequential import SequentialDesign
from intelbench.reporting import narrative
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
    (row,) = tables.differences(summary)
    names = [architecture.name for architecture in summary.finished]
    first, second = (summary.correct.of(names.index(row[side])) for side in ("first", "second"))
    assert [(only & ~other).sum() for only, other in zip(first, second, strict=True)] == row["first_only"]
    assert [(other & ~only).sum() for only, other in zip(first, second, strict=True)] == row["second_only"]


DESIGN = SequentialDesign(
    architectures=("a", "b", "c"), seeds=tuple(range(8)), looks=(3, 5, 8), spending="pocock", significance=0.05,
    margin=0.3,
)  # fmt: skip
ACCURACIES = {"a": 0.8, "b": 0.8, "c": 0.3, "d": 0.2}


def test_planned_looks_are_said_with_the_level_of_each_pair(summarize: Summarize) -> None:
    """Which looks there were, the spending, how far it came, and what is equivalent; nothing about 5 % for a pair."""
    missing = [("c", 3), ("c", 4)]
    design = msgspec.structs.replace(DESIGN, margin=0.02)
    summary = summarize(["a", "b", "c"], range(5), design=design, accuracies=ACCURACIES, missing=missing)
    table, method, said, *_ = rendered(differences(summary))
    assert re.search(r"\| a − b +\| +5 \| .*\| +0\.0\d+ \| undecided", table)
    assert re.search(r"\| a − c +\| +3 \| .*\| +0\.0\d+ \| a is better", table)
    assert "better at **Level**; equivalent if" in method
    assert "Seeds were added in looks at 3, 5 and 8 seeds. The significance level of 5 % is spent" in said
    assert "Pocock type" in said
    assert re.search(r"The last complete look is the one at 5 seeds \(levels: 0\.0\d+ at 3 seeds; 0\.0\d+ at 5", said)
    assert "beyond the looks" not in said
    assert "the last complete one is at 5 of at most 8 seeds" in narrative.reading(summary)
    assert "lacks" not in narrative.ranking_note(summary)


def test_what_is_not_of_the_looks_is_said(summarize: Summarize) -> None:
    """Seeds that were added by hand, and an architecture outside the design."""
    missing = [("c", 3), ("c", 4), ("c", 20), ("d", 20)]
    design = msgspec.structs.replace(DESIGN, margin=0.02)
    summary = summarize(["a", "b", "c", "d"], [*range(5), 20], design=design, accuracies=ACCURACIES, missing=missing)
    said = rendered(differences(summary))[2]
    assert re.search(r"1 seed beyond the looks \(20\): pairs that have them .* have left \(0\.0\d+\)\.", said)
    assert "Not in the design: `d`; pairs with them were tested once, at 5 %." in said


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
