"""What has to be equal in two records of a run, and in two reports: everything but the machine, times and memory."""

import re

import numpy as np
from msgspec.structs import replace

from intelbench.records.store import StoredRun
from intelbench.records.types import RunRecord

MEASURED = (
    "training_seconds", "total_seconds", "first_step_seconds", "peak_memory", "contention", "energy", "resumed_after",
)  # fmt: skip
"""Measurements of the machine."""
MEASURED_TRACES = re.compile(r".*_seconds|(contention|reference_kernel|step_breakdown)_step")
"""Arrays of times, and the steps after which the machine was measured, which is done again after a resumption."""
MEASURED_COLUMNS = re.compile(
    r"Peak (process )?memory|Step \(ms\)|Images/s|Training time \(s\)|After [\d.,]+ s of training \(%\)"
)
"""Columns of a report. A column `On the front (%)` that follows one of them depends on it."""
MEASURED_SENTENCES = re.compile(r"images a second|training speed|one of them decides|disturbed")
"""Sentences about speed, about the number of seeds that decide on it, and about runs whose steps were longer."""
MEASURED_FACTS = "| `num_cpus`", "| `slots`", "| runs started"
"""Rows of the environment."""


def assert_equal(expected: StoredRun, run: StoredRun) -> None:
    """Fail unless two records are of the same run, and equal but for the machine, times and memory."""
    assert expected.record == _with_times_of(expected.record, run.record)
    one, other = expected.traces(), run.traces()
    assert one.keys() == other.keys()
    for name in one:
        if not MEASURED_TRACES.fullmatch(name):
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def _with_times_of(expected: RunRecord, run: RunRecord) -> RunRecord:
    """Return the record of a run with the measurements of the machine, and the slots, of another one."""
    assert expected.measurements
    assert run.measurements
    assert run.profile
    assert expected.profile
    if run.spec.execution.slots == expected.spec.execution.slots:
        assert expected.run_id == run.run_id
    return replace(
        run,
        run_id=expected.run_id,
        started_at=expected.started_at,
        spec=replace(run.spec, execution=replace(run.spec.execution, slots=expected.spec.execution.slots)),
        environment=replace(run.environment, num_cpus=expected.environment.num_cpus),
        profile=replace(run.profile, measured=expected.profile.measured),
        measurements=replace(run.measurements, **{name: getattr(expected.measurements, name) for name in MEASURED}),
    )


def without_measurements(report: str) -> str:
    """Return a report in Markdown without what was measured of the machine."""
    report = re.sub(
        r"\(cpu, 1 thread(, 2 runs at once)?\)|-[0-9a-f]{8}(?=\.svg\))| --on slots(?= |$)", "", report, flags=re.M
    )
    return "\n\n".join(
        _table_without_measurements(block) if block.startswith("|") else _text_without_measurements(block)
        for block in report.split("\n\n")
    )


def _table_without_measurements(table: str) -> str:
    rows = [re.split(r" *(?<!\\)\| *", line) for line in table.splitlines() if not line.startswith(MEASURED_FACTS)]
    measured = [bool(MEASURED_COLUMNS.fullmatch(heading)) for heading in rows[0]]
    measured = [
        each or (heading == "On the front (%)" and before)
        for each, heading, before in zip(measured, rows[0], [False, *measured], strict=False)
    ]
    del rows[1]  # the line below the headings, which is as wide as they are
    return "\n".join("|".join(cell for cell, each in zip(row, measured, strict=True) if not each) for row in rows)


def _text_without_measurements(text: str) -> str:
    return " ".join(sentence for sentence in re.split(r"(?<=\.) ", text) if not MEASURED_SENTENCES.search(sentence))
