"""Time to accuracy: how long until validation accuracy first reached each of some targets fixed beforehand."""

import math
from collections.abc import Mapping
from functools import partial

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Column, Details, Paragraph, cell, table, table_of
from intelbench.reporting.formatting import ABSENT, escape
from intelbench.reporting.rows import ARCHITECTURE, Row
from intelbench.reporting.sections.accuracy_by_budget import has_curves
from intelbench.results import efficiency
from intelbench.results.efficiency import Unit
from intelbench.results.summaries import CohortSummary

NEVER = "∞"
_percent = partial(formatting.percent, digits=0)


def time_to_accuracy(summary: CohortSummary) -> list[Block]:
    """Return seconds to each target by architecture; nothing where no architecture was evaluated during training."""
    if not has_curves(summary):
        return []
    times, rungs = list(efficiency.time_to_accuracy(summary)), efficiency.ladder(len(summary.data.class_names))
    if not times:
        none = f"No run reached {_percent(rungs[0])}." if rungs else "With one class there is nothing to reach."
        return [Paragraph(none)]
    targets = list(dict.fromkeys(row["target"] or 0.0 for row in times))
    cells = {(row["architecture"], row["target"]): row for row in times}
    names = [architecture.name for architecture in summary.architectures]
    headers = ["Seconds to validation accuracy", *map(_percent, targets)]
    reached = table(headers, [[escape(name), *(_reached(cells[name, target]) for target in targets)] for name in names])
    missed = next((f"; no run reached {_percent(rung)}" for rung in rungs if rung not in targets), "")
    points = plural(summary.cohort.spec.conditions.evaluation_points, "evaluation point")
    note = (
        f"Training time until validation accuracy first reached it, on straight lines between the {points} of a run: "
        "median over all runs, and how many of them reached it. A run that did not, or failed, counts as infinite "
        f"({NEVER}), so the median is finite only if more than half of the runs got there. ≤: it was reached before "
        "the first evaluation point, where nothing is known of the curve. The targets are all multiples of 10 % above "
        f"chance, fixed beforehand{missed}. How far the truth bends between two points is not known."
    )
    title = "The same in seconds, steps and FLOPs, from the quickest run to the slowest"
    return [reached, Paragraph(note), Details(title, [table_of(_BY_UNIT, times)])]


def _reached(row: Row) -> Cell:
    text = f"{_written(row, 'seconds', '')} ({_num_reached(row)})"
    return Cell(text, math.inf if row["seconds"] is None else row["seconds"])


def _num_reached(row: Row) -> str:
    return f"{row['num_reached']} of {row['num_runs']}"


def _spent(unit: Unit, row: Row) -> Cell:
    """Show the median [least, most] over the runs."""
    median, least, most = (_written(row, unit, end) for end in ("", "_least", "_most"))
    text = median if median == ABSENT or least == NEVER else f"{median} [{least}, {most}]"
    return Cell(text, math.inf if median == NEVER else row[unit])


def _written(row: Row, unit: Unit, end: str) -> str:
    """Write what was spent; what is missing is infinite, unless the seconds are there."""
    value = row[f"{unit}{end}"]
    if value is None:
        return NEVER if row[f"seconds{end}"] is None else ABSENT
    sign = "≤ " if row[f"{unit}{end}_is_bound"] else ""
    if unit == "steps":
        return sign + formatting.count(round(value))
    return sign + formatting.significant(value / 1e12 if unit == "flops" else value)


_HEADINGS: Mapping[Unit, str] = {"seconds": "Seconds", "steps": "Steps", "flops": "TFLOPs"}
_BY_UNIT = (
    Column[Row]("Target", lambda row: cell(row["target"], _percent), is_number=False),
    ARCHITECTURE,
    Column[Row]("Reached", lambda row: Cell(_num_reached(row), row["num_reached"])),
    *(Column[Row](_HEADINGS[unit], partial(_spent, unit)) for unit in efficiency.COMPARED_UNITS),
)
