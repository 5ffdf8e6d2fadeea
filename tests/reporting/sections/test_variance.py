"""The section on sources of variance says what was found, and no more."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.reporting.document import Section
from intelbench.reporting.export import as_json
from intelbench.reporting.report import compose
from intelbench.reporting.sections.variance import sources_of_variance
from intelbench.reporting.verdicts import verdicts
from intelbench.results.claims import Claim
from intelbench.results.study import read
from tests.reporting.rendered import build, rendered
from tests.results.test_variance import Spreads, studies
from tests.synthetic import CONDITIONS

APART: Spreads = {"all": 0.15, "init": 0.12, "order": 0.001, "augment": 0.001}
ALIKE: Spreads = {"all": 0.15, "init": 0.1, "order": 0.1}


def section(folder: Path, spreads: Spreads, seeds: Sequence[int] = range(6), **changes: object) -> list[str]:
    """The blocks of the section."""
    (study,) = studies(folder, spreads, seeds, **changes)
    return rendered(sources_of_variance(study))


def test_the_largest_source_is_named_with_its_deviation(tmp_path: Path) -> None:
    """In the first sentence, by architecture."""
    answer = section(tmp_path, APART)[0]
    said = "**In short:** of the sources that were varied alone, the largest is `init` (initial weights) for `a`, with"
    assert answer.startswith(f"{said} a standard deviation of ")
    assert answer.endswith("] points.")


def test_nothing_is_named_inside_the_noise(tmp_path: Path) -> None:
    """The number of seeds is said; of several architectures, what is known of each."""
    answer = section(tmp_path / "one", ALIKE)[0]
    assert "**In short:** 6 seeds cannot say which source is the largest for `a`." == answer
    answer = section(tmp_path / "one", ALIKE, range(4), names=["b"])[0]
    assert "**In short:** 4 to 6 seeds cannot say which source is the largest for `a` and `b`." == answer


def test_what_cannot_be_said_has_its_reason(tmp_path: Path) -> None:
    """One seed; one source; an architecture that was changed between the groups."""
    assert "one seed in each group shows no variance" in section(tmp_path / "seed", ALIKE, [0])[0]
    assert "needs two sources that were varied alone" in section(tmp_path / "source", {"all": 0.1, "init": 0.1})[0]
    studies(tmp_path / "code", {"all": 0.1})
    (only,) = section(tmp_path / "code", {"init": 0.1}, providers={"a": "a.py sha256:1"})
    assert "no architecture has finished runs with one recipe" in only


def test_the_table_has_deviations_and_shares(tmp_path: Path) -> None:
    """A row for each source; that of everything has no share."""
    _, table, note = section(tmp_path, {**APART, "split": 0.01})
    assert re.match(r"\| Architecture +\| Varies between the seeds +\|", table)
    rows = [line for line in table.splitlines() if line.startswith("| a ")]
    assert 5 == len(rows)
    assert "`all` (every random stream)" in rows[0]
    assert rows[0].rstrip(" |").endswith("–")
    assert "`init` (initial weights)" in rows[1]
    assert 2 == rows[1].count("[")
    assert "what does not vary keeps seed 0" in note
    assert "tested on the same 3,000 images, and nothing is subtracted" in note
    assert "by a binomial standard deviation of up to 0.8" in note
    assert "The split does not vary in `all`" in note


def test_a_budget_in_seconds_is_a_source_of_its_own(tmp_path: Path) -> None:
    """The clock of the machine decides how many steps fit."""
    seconds = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=60))
    for folder, conditions in (("steps", CONDITIONS), ("seconds", seconds)):
        note = section(tmp_path / folder, ALIKE, [0, 1], conditions=conditions)[-1]
        assert (folder == "seconds") == ("runs differ in their number of steps too" in note)


def test_without_everything_there_are_no_shares(tmp_path: Path) -> None:
    """And the note says why."""
    _, table, note = section(tmp_path, {"init": 0.1, "order": 0.01})
    assert "There are no shares" in note
    assert all(1 == line.count("[") for line in table.splitlines() if line.startswith("| a "))


def test_the_report_has_the_section_once_before_the_groups(tmp_path: Path) -> None:
    """The groups are named by what varies, and each says that it holds no other source."""
    studies(tmp_path, APART, names=["a", "b"])
    text = build(tmp_path).text
    before, _, after = text.partition("## Group 1 of 4: 12 runs\n")
    assert 1 == before.count("## Sources of variance")
    assert "4 groups that differ in what varies between the seeds of their runs." in before
    assert "## Sources of variance" not in after
    assert "## Group 2 of 4: 12 runs, only " in after
    assert 3 == text.count("differs between the seeds**, the others keep seed 0, so intervals and tests here miss")
    assert 3 == text.count("| Differs between the seeds ")
    found = [block.title for block in compose(read(tmp_path)).blocks if isinstance(block, Section)]
    assert "Sources of variance" == found[0]


def test_a_split_group_does_not_claim_one_set_of_images(tmp_path: Path) -> None:
    """Its seeds have the test images in common, and its architectures the batches of each seed."""
    studies(tmp_path, {"split": 0.05}, names=["a", "b"])
    text = build(tmp_path).text
    assert (
        "All runs share one recipe, one budget and one set of test images, and for every seed they saw the same" in text
    )


def test_machines_get_the_same(tmp_path: Path) -> None:
    """The rows of the table, and what varies in each group."""
    studies(tmp_path, APART)
    content = msgspec.json.decode(as_json(read(tmp_path)).encode())
    ((together, *alone),) = content["variance"]
    assert ("all", None, None) == (together["vary"], together["fixed_seed"], together["share"])
    assert ["init", "order", "augment"] == [row["vary"] for row in alone]
    assert all(row["variance_low"] < row["variance"] < row["variance_high"] for row in (together, *alone))
    assert {("all", None), ("init", 0), ("order", 0), ("augment", 0)} == {
        (cohort["vary"], cohort["fixed_seed"]) for cohort in content["cohorts"]
    }


def test_claims_are_not_judged_by_one_source(tmp_path: Path) -> None:
    """An interval that misses most of the variance supports and contradicts nothing; arithmetic needs no interval."""
    studies(tmp_path, {"order": 0.05}, names=["a", "b"])
    (summary,) = read(tmp_path).cohorts
    claims = [
        Claim(
            id=metric.replace("_", "-"), statement="a", source="b", metric=metric, relation="higher", architecture="a"
        )
        for metric in ("test_accuracy", "num_parameters")
    ]
    accuracy, parameters = verdicts(summary, claims)
    assert "not testable" == accuracy.verdict
    assert "only order varies between the seeds" in accuracy.reason
    assert "not testable" != parameters.verdict


@pytest.mark.parametrize("seeds", [(3, 1, 2), (1, 2, 3)])
def test_the_command_makes_the_same_runs_again(tmp_path: Path, seeds: Sequence[int]) -> None:
    """The suite of a group names its source, and begins with the seed that the others keep."""
    studies(tmp_path, {"order": 0.05}, seeds)
    text = build(tmp_path).text
    assert 'vary = "order"' in text
    listed = text.partition("seeds = [\n")[2].partition("]")[0]
    assert sorted(seeds) == sorted(int(line.strip(" ,")) for line in listed.split())
    assert listed.strip().startswith(f"{seeds[0]},")
