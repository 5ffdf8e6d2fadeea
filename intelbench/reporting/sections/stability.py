"""Stability: whether losses jump, accuracy swings, and predictions change without need."""

from intelbench.reporting.document import Block, Column, Paragraph, definitions, table_of
from intelbench.reporting.formatting import bare_percent, number_interval, percent_number
from intelbench.reporting.rows import ARCHITECTURE, Row, estimate, number
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.stability import SPIKE_DEVIATIONS, SPIKE_WINDOW

_CHURN = (
    Column[Row]("Churn (%)", ARCHITECTURE.show, is_number=False),
    estimate("Between evaluations", "churn", percent_number),
    number("Wins", "churn_wins", bare_percent),
    number("Losses", "churn_losses", bare_percent),
    number("Neutral", "churn_neutral", bare_percent),
    number("Unnecessary", "churn_unnecessary", bare_percent),
    number("Between seeds", "seed_churn_total", bare_percent),
    number("Neutral", "seed_churn_neutral", bare_percent),
    number("Unnecessary", "seed_churn_unnecessary", bare_percent),
)
_CHURN_NOTE = (
    "**Prediction churn** (Milani Fard et al., 2016): share of the same images whose prediction changed, from one "
    "evaluation point to the next on validation images, mean over the runs; and between two seeds on test images, "
    "mean over all pairs. Wins went from wrong to right, losses from right to wrong, neutral ones from wrong to "
    "wrong; unnecessary is what the change in accuracy does not require: wins and losses that cancel, and the "
    "neutral ones."
)


def stability(summary: CohortSummary) -> list[Block]:
    """Show how steadily networks train and predict; nothing where no run has finished."""
    architectures = list(tables.stability(summary))
    if not architectures:
        return []
    points = summary.cohort.spec.conditions.evaluation_points
    columns = [
        ARCHITECTURE,
        estimate("Relative loss variance", "relative_loss_variance", number_interval, "as in the main table"),
        estimate(
            "Spikes (%)", "spike_score", percent_number,
            f"share of training steps whose loss is more than {SPIKE_DEVIATIONS:g} standard deviations above the mean "
            f"of the {SPIKE_WINDOW} steps before (after OLMo 2, 2024, with a shorter window)",
        ),
        number("Diverged", "num_diverged", str),
        estimate(
            "Run to run (points)", "run_to_run_deviation", percent_number,
            "standard deviation of test accuracy over seeds, with its chi-square interval",
        ),
        estimate(
            "Swing (points)", "accuracy_swing", percent_number,
            f"mean absolute change of validation accuracy between the {points} evaluation points",
        ),
        estimate(
            "Forgetting events an image", "forgetting_events", number_interval,
            "right at one evaluation point and wrong at the next (after Toneva et al., 2019, on validation images)",
        ),
    ]  # fmt: skip
    note = (
        f"{definitions(columns)} Means over the runs, with their 95 % interval over seeds, and over the validation "
        "images for swing, churn and forgetting events."
    )
    return [table_of(columns, architectures), Paragraph(note), table_of(_CHURN, architectures), Paragraph(_CHURN_NOTE)]
