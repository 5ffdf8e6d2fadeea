"""How many more seeds decide the open pairs, in the frame, the section and on the command line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intelbench.reporting.sections.planner import planner
from intelbench.results.planner import plan, plan_table, seconds_per_run
from intelbench.statistics.comparisons import paired_differences
from intelbench.statistics.planning import ASSURANCE, Question, assurance
from tests.command import Command
from tests.reporting.rendered import rendered
from tests.results.test_sequential import DESIGN
from tests.statistics.tables import complete_table
from tests.synthetic import Study, Summarize, synthetic_runs

NEAR = {"a": 0.80, "b": 0.76, "c": 0.3}


def test_an_open_pair_has_the_seeds_that_decide_it(summarize: Summarize) -> None:
    """The first number with 80 % assurance at the level of the open pairs; a decided pair is not planned."""
    summary = summarize(["a", "b", "c"], range(4), accuracies=NEAR)
    planned = plan(summary)
    (found,) = planned.open_pairs
    assert (3, {"a", "b"}) == (planned.num_pairs, {found.first.name, found.second.name})
    question = Question(found.pair.inferred, summary.significance, summary.margin)
    assert found.num_seeds is not None
    assert assurance(question, found.num_seeds - 1) < ASSURANCE <= assurance(question, found.num_seeds)
    assert found.num_seeds - 4 == found.more_seeds
    assert {"a": found.more_seeds, "b": found.more_seeds} == planned.more_seeds
    expected = found.more_seeds * sum(map(seconds_per_run, summary.finished[:2]))
    assert expected == pytest.approx(planned.seconds) == pytest.approx(found.seconds)


def test_the_section_shows_what_is_planned(summarize: Summarize) -> None:
    """The number of open pairs, and the row of each."""
    answer, table, _ = rendered(planner(summarize(["a", "b", "c"], range(4), accuracies=NEAR)))
    assert answer.startswith("1 of 3 pairs is undecided. To decide those that more seeds are likely to decide, run")
    assert 3 == len(table.splitlines())


def test_where_nothing_is_open_only_that_is_said(summarize: Summarize) -> None:
    """A pair that is decided needs no table."""
    apart = summarize(["a", "b"], range(6), accuracies={"a": 0.8, "b": 0.3})
    assert ["Nothing is open: 1 pair decided."] == rendered(planner(apart))


def test_one_seed_has_no_plan(summarize: Summarize) -> None:
    """Nothing was compared."""
    assert [] == planner(summarize(["a", "b"], [0]))


def test_images_that_are_too_few_are_named(summarize: Summarize) -> None:
    """Seeds agree on every image, and the two networks are right on 30 and on 28 of 100 images alone."""
    image = np.arange(100)
    right = np.array([image < 50, (image >= 30) & (image < 78)])
    table = complete_table(np.repeat(right[:, None], 4, axis=1))
    summary = replace(summarize(["a", "b"], range(4)), correct=table, differences=tuple(paired_differences(table)))
    rows = plan_table(summary)
    assert [(None, None, True)] == [(row["more_seeds"], row["seconds"], row["needs_images"]) for row in rows]
    answer, table, _ = rendered(planner(summary))
    assert answer.endswith("1 of 1 pair is undecided. 1 pair needs more test images: no number of seeds decides it.")
    assert "more test images" in table


def test_planned_looks_are_not_planned_again(summarize: Summarize) -> None:
    """After the last look no seed that is added by hand decides anything, so none is promised."""
    summary = summarize(["a", "b"], range(8), design=_TWO, accuracies={"a": 0.8, "b": 0.79})
    assert [None] == [pair.better for pair in summary.differences]
    assert () == plan(summary).open_pairs
    (said,) = rendered(planner(summary))
    assert "seeds that are added by hand decide nothing" in said


_TWO = type(DESIGN)(
    architectures=("a", "b"), seeds=DESIGN.seeds, looks=DESIGN.looks, spending="pocock", significance=0.05, margin=0.01
)


def test_the_command_prints_the_plan(intelbench: Command, tmp_path: Path) -> None:
    """As Markdown; with a wider margin nothing is open; a folder with one architecture has no pair."""
    synthetic_runs(tmp_path / "results" / "runs", ["a", "b"], range(4), Study(accuracies={"a": 0.8, "b": 0.77}))
    done = intelbench("plan", "results")
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("# Seeds that would decide open pairs\n\n1 of 1 pair is undecided.")
    assert "Nothing is open" in intelbench("plan", "results", "--margin", "90").stdout
    synthetic_runs(tmp_path / "alone" / "runs", ["a"], range(4))
    assert "There is no pair to compare." in intelbench("plan", "alone").stdout
    assert "Expected percentage points" in intelbench("plan", "results", "--margin", "0").stderr
