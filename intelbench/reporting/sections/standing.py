"""Probability of being the best: where each architecture may stand by the metric that ranks."""

from functools import partial

from intelbench.reporting import formatting, metrics
from intelbench.reporting.document import Block, Paragraph, table_of
from intelbench.reporting.rows import ARCHITECTURE, estimate, number
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.posterior import NUM_DRAWS

_COLUMNS = (
    ARCHITECTURE,
    number("Best (%)", "best_probability", partial(formatting.drawn_percent, num_draws=NUM_DRAWS)),
    estimate("Expected rank", "expected_rank", formatting.number_interval),
    number("Seeds", "num_runs", str),
)


def standing(summary: CohortSummary) -> list[Block]:
    """Return the probability that an architecture is the best, and its expected rank; nothing for a single one."""
    standings = tables.standings(summary)
    if len(standings) < 2:
        return []
    ranking = metrics.ranking(summary)
    values = "test accuracies" if summary.ranking.is_accuracy else f"values of {metrics.noun(ranking)}"
    note = (
        f"Over {NUM_DRAWS:,} draws of the true {values} from their posterior: other seeds, by the moderated "
        "variance of each architecture, and other test images, which are the same for all (docs/statistics.md). "
        "**Expected rank**: mean of the drawn ranks, with the 95 % interval of the rank. The tests of pairs, and not "
        "these probabilities, say whether two architectures differ."
    )
    return [table_of(_COLUMNS, standings), Paragraph(note)]
