"""Time to accuracy: how long until validation accuracy first reached each of some targets fixed beforehand."""

import math
from collections.abc import Sequence

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Cells, Details, Paragraph, Table, table
from intelbench.reporting.formatting import ABSENT, escape
from intelbench.reporting.rows import Row, rows
from intelbench.reporting.sections.accuracy_by_budget import has_curves
from intelbench.results import efficiency
from intelbench.results.efficiency import Unit
from intelbench.results.summaries import CohortSummary

NEVER = "∞"


def time_to_accuracy(summary: CohortSummary) -> list[Block]:
    """Seconds to each target by architecture; nothing where no architecture was evaluated during training."""
    if not has_curves(summary):
        return []
    found, rungs = rows(efficiency.time_to_accuracy(summary)), efficiency.ladder(len(summary.data.class_names))
    if not found:
        none = f"No run reached {_percent(rungs[0])}." if rungs else "With one class there is nothing to reach."
        return [Paragraph(none)]
    targets = list(dict.fromkeys(row.target for row in found))
    cells = {(row.architecture, row.target): row for row in found}
    names = [architecture.name for architecture in summary.architectures]
    headers = ["Seconds to validation accuracy", *map(_percent, targets)]
    reached = table(headers, [[escape(name), *(_reached(cells[name, target]) for target in targets)] for name in names])
    missed = next((f"; no run reached {_percent(rung)}" for rung in rungs if rung not in targets), "")
    points = formatting.plural(summary.cohort.spec.conditions.evaluation_points, "evaluation point")
    note = (
        "Training time until validation accuracy first reached it at an evaluation point: median over all runs, and "
        f"how many of them reached it. A run that did not, or failed, counts as infinite ({NEVER}), so the median is "
        "finite only if more than half of the runs got there. The targets are all multiples of 10 % above chance, "
        f"fixed beforehand{missed}. Times are no finer than the {points} of a run: it got there at some moment since "
        "the point before."
    )
    folded = Details("The same in seconds, steps and FLOPs, from the quickest run to the slowest", [_by_unit(found)])
    return [reached, Paragraph(note), folded]


def _percent(share: float) -> str:
    return formatting.percent(share, 0)


def _reached(row: Row) -> Cell:
    seconds = NEVER if row.seconds is None else formatting.significant(row.seconds)
    return Cell(f"{seconds} ({row.num_reached} of {row.num_runs})", math.inf if row.seconds is None else row.seconds)


def _by_unit(found: Sequence[Row]) -> Table:
    cells: Cells = [
        [
            Cell(_percent(row.target), row.target),
            escape(row.architecture),
            Cell(f"{row.num_reached} of {row.num_runs}", row.num_reached),
            *(_range(row, unit) for unit in efficiency.COMPARED_UNITS),
        ]
        for row in found
    ]
    return table(["Target", "Architecture", "Reached", "Seconds", "Steps", "TFLOPs"], cells, left=2)


def _range(row: Row, unit: Unit) -> Cell:
    """Median [least, most] over the runs."""
    median, least, most = (_spent(row, unit, end) for end in ("", "_least", "_most"))
    text = median if median == ABSENT or least == NEVER else f"{median} [{least}, {most}]"
    return Cell(text, math.inf if median == NEVER else getattr(row, unit))


def _spent(row: Row, unit: Unit, end: str) -> str:
    """What is missing is infinite, unless the seconds are there."""
    value = getattr(row, f"{unit}{end}")
    if value is None:
        return NEVER if getattr(row, f"seconds{end}") is None else ABSENT
    if unit == "steps":
        return formatting.count(value)
    return formatting.significant(value / 1e12 if unit == "flops" else value)
