"""Stability: whether losses jump, accuracy swings, and predictions change without need."""

from collections.abc import Sequence

from intelbench.reporting.document import Block, Cells, Paragraph, Table, cell, table
from intelbench.reporting.formatting import bare_percent, escape, number_interval, percent_number
from intelbench.reporting.rows import Row, rows
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.stability import SPIKE_DEVIATIONS, SPIKE_WINDOW


def stability(summary: CohortSummary) -> list[Block]:
    """How steadily networks train and predict; nothing where no run has finished."""
    found = rows(tables.stability(summary))
    if not found:
        return []
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.estimate("loss_variance"), number_interval),
            cell(row.estimate("spike_score"), percent_number),
            cell(row.num_diverged, str),
            cell(row.run_to_run_deviation, bare_percent),
            cell(row.estimate("accuracy_swing"), percent_number),
            cell(row.estimate("forgetting_events"), number_interval),
        ]
        for row in found
    ]
    headers = ["Architecture", "Loss variance", "Spikes (%)", "Diverged", "Run to run (points)", "Swing (points)"]
    headers += ["Forgetting events an image"]
    points = summary.cohort.spec.conditions.evaluation_points
    note = (
        "**Loss variance**: as in the main table. **Spikes**: share of training steps whose loss is more than "
        f"{SPIKE_DEVIATIONS:g} standard deviations above the mean of the {SPIKE_WINDOW} steps before (after OLMo 2, "
        "2024, with a shorter window). **Run to run**: standard deviation of test accuracy over seeds. **Swing**: mean "
        f"absolute change of validation accuracy between the {points} evaluation points. **Forgetting events**: right "
        "at one evaluation point and wrong at the next (after Toneva et al., 2019, on validation images). Means over "
        "the runs, with their 95 % interval over seeds."
    )
    churn_note = (
        "**Prediction churn** (Milani Fard et al., 2016): share of the same images whose prediction changed, from one "
        "evaluation point to the next on validation images, mean over the runs; and between two seeds on test images, "
        "mean over all pairs. Wins went from wrong to right, losses from right to wrong, neutral ones from wrong to "
        "wrong; unnecessary is what the change in accuracy does not require: wins and losses that cancel, and the "
        "neutral ones."
    )
    return [table(headers, cells), Paragraph(note), _churn(found), Paragraph(churn_note)]


def _churn(found: Sequence[Row]) -> Table:
    parts = ("total", "wins", "losses", "neutral", "unnecessary")
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.estimate("churn"), percent_number),
            *(cell(getattr(row, f"churn_{part}"), bare_percent) for part in parts[1:]),
            *(cell(getattr(row, f"seed_churn_{part}"), bare_percent) for part in (parts[0], parts[3], parts[4])),
        ]
        for row in found
    ]
    headers = ["Churn (%)", "Between evaluations", "Wins", "Losses", "Neutral", "Unnecessary"]
    headers += ["Between seeds", "Neutral", "Unnecessary"]
    return table(headers, cells)
