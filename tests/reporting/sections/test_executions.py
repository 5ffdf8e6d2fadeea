"""The report has one table of accuracy for runs on several numbers of GPUs, and their times in groups."""

import re
from pathlib import Path

import msgspec
import pytest

from intelbench.api.results import load
from intelbench.config.budget import Budget
from intelbench.reporting.document import Section, Table, walk
from intelbench.reporting.export import as_json
from intelbench.reporting.report import compose, write_plan
from intelbench.results.study import read
from tests.reporting.rendered import rendered
from tests.synthetic import CONDITIONS, EXECUTION, Study, synthetic_runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return records of two architectures: five seeds on one GPU and two on two, of which one is on both."""
    synthetic_runs(tmp_path, ["a", "b"], range(5))
    two = msgspec.structs.replace(EXECUTION, gpus=2)
    synthetic_runs(tmp_path, ["a", "b"], [4, 5], Study(execution=two))
    return tmp_path


def headings_of(table: Table) -> set[str]:
    """Return the headings of a table."""
    return {column.title for column in table.columns}


def test_accuracies_share_a_table_and_times_do_not(folder: Path) -> None:
    """The section says which groups it has, and that repeated runs agree; it has no column of cost."""
    document = compose(read(folder))
    said = rendered(document.blocks[:1])[0]
    assert "2 groups that differ in how their runs were executed: `execution.gpus`. Each group has its own" in said
    (section,) = [each for each in document.blocks if getattr(each, "title", "") == "Accuracy across executions"]
    assert isinstance(section, Section)
    note, main = rendered(section.blocks)[:2]
    assert note.startswith("Groups 1 and 2 differ only in how their runs were executed")
    assert note.endswith("2 runs of these groups repeat a run that is in the table, with equal test predictions.")
    assert isinstance(section.blocks[1], Table)
    headings = headings_of(section.blocks[1])
    assert "Test accuracy (300 images)" in headings
    assert not {"Step (ms)", "Images/s", "Parameters", "Peak process memory"} & headings
    assert all(" 6 |" in line for line in main.splitlines()[2:4])
    timed = [table for table in walk(document.blocks) if isinstance(table, Table) and "Images/s" in headings_of(table)]
    assert 2 == len(timed)


def test_groups_have_one_plan(folder: Path) -> None:
    """Of all their seeds, as the report has one table of their accuracies; another experiment has a plan of its own."""
    planned = write_plan(read(folder))
    assert "## Groups 1 and 2\n" in planned
    assert "differ only in how their runs were executed, so this is about all of them" in planned
    assert "1 pair" in planned
    assert "## Group 1 of" not in planned
    larger = msgspec.structs.replace(CONDITIONS, image_size=96)
    synthetic_runs(folder, ["a", "b"], [0], Study(conditions=larger))
    planned = write_plan(read(folder))
    assert ["## Groups 1 and 2", "## Group 3 of 3: 2 runs"] == re.findall("^##.*", planned, re.MULTILINE)


def test_the_plan_is_the_same_in_report_api_and_json(tmp_path: Path) -> None:
    """Of all groups together, and no other one for a group."""
    folder, near = tmp_path, {"a": 0.81, "b": 0.8}
    synthetic_runs(folder, ["a", "b"], range(4), Study(accuracies=near))
    two = msgspec.structs.replace(EXECUTION, gpus=2)
    synthetic_runs(folder, ["a", "b"], [4, 5], Study(accuracies=near, execution=two))
    document = compose(read(folder), full=True)
    assert 1 == sum(isinstance(block, Section) and block.title == "Planner" for block in walk(document.blocks))
    content = msgspec.json.decode(as_json(read(folder)))
    assert [[], []] == [cohort["plan"] for cohort in content["cohorts"]]
    frame = load(folder).plan()
    assert ["+".join(content["executions"][0]["cohorts"])] * len(frame) == frame["cohort"].tolist()
    assert [row["num_seeds"] for row in content["executions"][0]["plan"]] == frame["num_seeds"].tolist() == [6]


def test_json_has_the_accuracies_of_all_groups(folder: Path) -> None:
    """Without times and memory."""
    content = msgspec.json.decode(as_json(read(folder)))
    (executions,) = content["executions"]
    assert [cohort["key"] for cohort in content["cohorts"]] == executions["cohorts"]
    assert 0 == executions["num_changed_predictions"]
    assert [6, 6] == [row["num_finished"] for row in executions["architectures"]]
    assert "test_accuracy" in executions["architectures"][0]
    assert not [name for name in executions["architectures"][0] if "second" in name or "bytes" in name]
    assert 1 == len(executions["differences"])


def test_a_budget_in_seconds_has_groups_alone(tmp_path: Path) -> None:
    """Which must not be compared, since a faster execution trains for more steps."""
    timed = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=60))
    for gpus in (1, 2):
        execution = msgspec.structs.replace(EXECUTION, gpus=gpus)
        synthetic_runs(tmp_path, ["a", "b"], [0, 1], Study(conditions=timed, execution=execution))
    document = compose(read(tmp_path))
    assert "2 groups that must not be compared" in rendered(document.blocks[:1])[0]
    assert not [each for each in document.blocks if getattr(each, "title", "") == "Accuracy across executions"]
