"""Step breakdown: where the time of a training step goes, and what it is bound by."""

from functools import partial

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Column, Figure, Paragraph, cell, table_of
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import ABSENT, milliseconds
from intelbench.reporting.rows import ARCHITECTURE, Row, number
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary
from intelbench.results.timing import DATA_BOUND, OVERHEAD_BOUND, OVERHEAD_BOUND_CPU
from intelbench.results.usage import PART_NAMES

_MIN_STEPS_FOR_TAIL = 20
"""With fewer steps the 95th percentile is only the largest one."""


def step_breakdown(summary: CohortSummary) -> list[Block]:
    """Return medians of the parts of a step as a table and a figure; nothing without a breakdown."""
    breakdowns = list(usage.step_breakdown(summary))
    if not breakdowns:
        return []
    are_of_run = all(row["are_of_run"] for row in breakdowns)
    columns = [column for column in _COLUMNS if column is not _OVERHEAD or not are_of_run]
    figure = Figure("step-breakdown", "Median parts of a training step", partial(plots.step_breakdown, summary))
    return [table_of(columns, breakdowns), figure, Paragraph(_note(summary, are_of_run))]


def _quartiles(name: str, row: Row) -> Cell:
    median, low, high = (row[f"{name}_seconds{end}"] for end in ("", "_quartile_1", "_quartile_3"))
    return Cell(f"{milliseconds(median)} [{milliseconds(low)}, {milliseconds(high)}]", median)


def _tail(row: Row) -> Cell:
    has_tail = row["num_steps"] >= _MIN_STEPS_FOR_TAIL
    return cell(row["step_with_data_wait_seconds_percentile_95"] if has_tail else None, milliseconds)


_OVERHEAD = number("Profiling overhead (%)", "overhead", formatting.signed_percent)
_COLUMNS = (
    Column[Row]("Milliseconds", ARCHITECTURE.show, is_number=False),
    number("Steps", "num_steps", formatting.count),
    *(Column[Row](title, partial(_quartiles, part)) for part, title in PART_NAMES.items()),
    Column[Row]("Step with data wait", partial(_quartiles, "step_with_data_wait")),
    Column[Row]("95th percentile", _tail),
    _OVERHEAD,
    Column[Row]("Verdict", lambda row: f"{row['bound_by']}-bound" if row["bound_by"] else ABSENT),
)


def _note(summary: CohortSummary, are_of_run: bool) -> str:
    on_gpu = summary.cohort.spec.execution.device == "cuda"
    overhead = (
        f"overhead-bound where the host takes {formatting.percent(OVERHEAD_BOUND, 0)} of the GPU's time or more to ask "
        "for the work"
        if on_gpu
        else f"overhead-bound where more than {formatting.percent(OVERHEAD_BOUND_CPU, 0)} is outside the budget"
    )
    steps, profiling = "of the last steps of each run.", ""
    if not are_of_run:
        steps = (
            "of steps that were taken after the run, for this table alone; the steps of the run were not looked at in "
            "parts."
        )
        profiling = (
            "**Profiling overhead**: how much longer the median step with its data wait was than the run's own; noise, "
            "mostly. "
        )
    note = (
        f"Median [quartiles] {steps} **Transfer**: to the device, and normalisation; with **batch wait** it makes up "
        "the data wait of a run. **Outside the budget**: what a budget in seconds does not pay for, the gradient norm "
        "and bookkeeping. **Step with data wait**: all but that. **95th percentile**: of it, given from "
        f"{_MIN_STEPS_FOR_TAIL} steps up. {profiling}**Verdict**: data-bound where waiting and transfer take more than "
        f"{formatting.percent(DATA_BOUND, 0)} of the time, {overhead}, else compute-bound."
    )
    if summary.cohort.spec.conditions.step == "graph":
        note += (
            " The two passes of a step that is replayed from a CUDA graph are one: **Forward** is 0 there, and "
            "**Backward** is both."
        )
    return note
