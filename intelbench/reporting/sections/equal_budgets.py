"""Accuracy at equal steps and at equal time: one table, and whether the order changes between the two."""

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Column, Paragraph, table_of
from intelbench.reporting.formatting import code, percent_interval, points
from intelbench.reporting.narrative import MAX_NAMES
from intelbench.reporting.rows import ARCHITECTURE, Row
from intelbench.results.equal_budgets import OrderChange, equal_budget_table, equal_budgets, order_change
from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import estimate_of

UNKNOWN = "not available"


def equal_budgets_section(summary: CohortSummary) -> list[Block]:
    """Return the accuracies at equal steps and equal time; nothing with one architecture, or one never evaluated."""
    views = equal_budgets(summary)
    if len(summary.finished) < 2 or not views:
        return []
    by_unit = {view.unit: view.amount for view in views}
    headings = {
        "steps": f"After {plural(round(by_unit['steps']), 'step')} (%)",
        "seconds": f"After {formatting.significant(by_unit['seconds'])} s of training (%)",
    }
    found = equal_budget_table(summary, views)
    cells = {(row["architecture"], row["unit"]): row for row in found}

    def shown(unit: str) -> Column[Row]:
        return Column(headings[unit], lambda row: _accuracy(cells[row["architecture"], unit]))

    architectures = [row for row in found if row["unit"] == "steps"]
    blocks: list[Block] = [table_of([ARCHITECTURE, *map(shown, headings)], architectures)]
    note = (
        "Validation accuracy after the largest number of steps, and after the longest training time, that every run "
        "reached; mean over seeds [95 % interval over seeds and validation images]. Between two evaluation points of "
        "a run a straight line is taken; how far the truth bends there is not known. "
        f"*{UNKNOWN.capitalize()}*: a run of the architecture was first evaluated later."
    )
    if len(summary.cohort.batch_sizes) > 1:
        note += " A step has another number of images where the batch size is another."
    return [*blocks, Paragraph(_answer(order_change(summary, views))), Paragraph(note)]


def _accuracy(row: Row) -> Cell:
    accuracy = estimate_of(row, "validation_accuracy")
    return Cell(UNKNOWN) if accuracy is None else Cell(percent_interval(accuracy, unit=""), accuracy.mean)


def _answer(change: OrderChange | None) -> str:
    """Say whether the order of the architectures changes between the two columns."""
    if change is None:
        return (
            "Whether the order changes between the two is not tested: that takes two architectures with a value in "
            "both columns, on two seeds in common with the same batches and the same validation images."
        )
    if not change.num_changed:
        return "The order of the means is the same at equal steps and at equal time."
    pairs = plural(change.num_pairs, "pair")
    start = f"The means of {change.num_changed} of {pairs} have the opposite order at equal steps and at equal time"
    if not change.reversals:
        return f"{start}; for no pair are both leads significant, so the order may be the same."
    said = [
        f"{code(each.first)} is ahead of {code(each.second)} by {points(each.at_equal_steps)} points at equal steps, "
        f"and behind by {points(-each.at_equal_seconds)} points at equal time"
        for each in change.reversals[:MAX_NAMES]
    ]
    more = len(change.reversals) - MAX_NAMES
    said += [f"and {more} more"] if more > 0 else []
    return f"{start}. **The order changes** beyond chance: {'; '.join(said)}."
