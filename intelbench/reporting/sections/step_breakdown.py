"""Step breakdown: where the time of a training step goes, and what it is bound by."""

from functools import partial

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Cells, Figure, Paragraph, Table, cell, table
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import ABSENT, escape
from intelbench.reporting.rows import Row, rows
from intelbench.results import usage
from intelbench.results.summaries import CohortSummary
from intelbench.results.timing import DATA_BOUND, OVERHEAD_BOUND, OVERHEAD_BOUND_CPU
from intelbench.results.usage import PART_NAMES

_FEWEST_FOR_TAIL = 20
"""With fewer steps the 95th percentile is only the largest one."""


def step_breakdown(summary: CohortSummary) -> list[Block]:
    """Medians of the parts of a step, as a table and a figure; nothing where steps were not looked at in parts."""
    found = rows(usage.step_breakdown(summary))
    if not found:
        return []
    are_of_run = all(row.are_of_run for row in found)
    figure = Figure(
        f"step-breakdown-{summary.cohort.key}.svg",
        "Median parts of a training step",
        partial(plots.step_breakdown, summary),
    )
    return [_table(found, are_of_run), figure, Paragraph(_note(summary, are_of_run))]


def _table(found: list[Row], are_of_run: bool) -> Table:
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.num_steps, formatting.count),
            *(_quartiles(row, part) for part in PART_NAMES),
            _quartiles(row, "step_with_data_wait"),
            cell(
                row.step_with_data_wait_seconds_percentile_95 if row.num_steps >= _FEWEST_FOR_TAIL else None,
                formatting.milliseconds,
            ),
            *([] if are_of_run else [cell(row.overhead, formatting.signed_percent)]),
            f"{row.bound_by}-bound" if row.bound_by else ABSENT,
        ]
        for row in found
    ]
    headers = ["Milliseconds", "Steps", *PART_NAMES.values(), "Step with data wait", "95th percentile"]
    headers += ["Verdict"] if are_of_run else ["Profiling overhead (%)", "Verdict"]
    return table(headers, cells)


def _quartiles(row: Row, name: str) -> Cell:
    median, low, high = (getattr(row, f"{name}_seconds{end}") for end in ("", "_quartile_1", "_quartile_3"))
    write = formatting.milliseconds
    return Cell(f"{write(median)} [{write(low)}, {write(high)}]", median)


def _note(summary: CohortSummary, are_of_run: bool) -> str:
    on_gpu = summary.cohort.spec.execution.device == "cuda"
    overhead = (
        f"overhead-bound where the host takes {formatting.percent(OVERHEAD_BOUND, 0)} of the GPU's time or more to ask "
        "for the work"
        if on_gpu
        else f"overhead-bound where more than {formatting.percent(OVERHEAD_BOUND_CPU, 0)} is outside the budget"
    )
    note = (
        "Median [quartiles] of the last steps of each run. "
        if are_of_run
        else "Median [quartiles] of steps that were taken after the run, for this table alone; the steps of the run "
        "were not looked at in parts. "
    )
    note += (
        "**Transfer**: to the device, and normalisation; with **batch wait** it makes up the "
        "data wait of a run. **Outside the budget**: what a budget in seconds does not pay for, the gradient norm "
        "and bookkeeping. **Step with data wait**: all but that. **95th percentile**: of it, given from "
        f"{_FEWEST_FOR_TAIL} steps up. "
    )
    if not are_of_run:
        note += (
            "**Profiling overhead**: how much longer the median step with its data wait was than the run's own; noise, "
            "mostly. "
        )
    note += (
        "**Verdict**: data-bound where waiting and transfer take more than "
        f"{formatting.percent(DATA_BOUND, 0)} of the time, {overhead}, else compute-bound."
    )
    if summary.cohort.spec.conditions.step == "graph":
        note += (
            " The two passes of a step that is replayed from a CUDA graph are one: **Forward** is 0 there, and "
            "**Backward** is both."
        )
    return note
