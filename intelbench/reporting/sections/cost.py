"""Choice by cost: who is on the Pareto front of the metric that ranks and each kind of cost, and how surely."""

from collections.abc import Mapping

from intelbench.reporting import formatting, metrics
from intelbench.reporting.document import Block, Cell, Column, Items, Paragraph, table_of
from intelbench.reporting.rows import ARCHITECTURE, Row, rows
from intelbench.results import efficiency
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import estimate_of
from intelbench.statistics.estimates import Estimate
from intelbench.statistics.posterior import NUM_DRAWS


def cost(summary: CohortSummary) -> list[Block]:
    """Return the metric that ranks, each kind of cost, and how often an architecture is on the front.

    There is none of a single architecture.
    """
    if len(summary.finished) < 2:
        return []
    points = rows(efficiency.pareto(summary))
    if not points:
        return [Paragraph("Who is on the Pareto front is not said where nothing may be ranked.")]
    kinds = [METRICS.get(name) for name in dict.fromkeys(row["cost"] for row in points)]
    by_kind = {kind: {row["architecture"]: row for row in points if row["cost"] == kind.name} for kind in kinds}
    metric = metrics.ranking(summary)
    score = Column[Row](metric.heading, lambda row: metrics.cell(metric, estimate_of(row, "score")))
    columns = [ARCHITECTURE, score]
    for kind in kinds:
        columns += _columns(kind, by_kind[kind])
    order = [by_kind[kinds[0]][architecture.name] for architecture in summary.finished]
    note = Paragraph(_note(summary))
    return [table_of(columns, order), note, Items(metrics.definitions(kinds, summary))]


def _columns(kind: Metric, by_architecture: Mapping[str, Row]) -> list[Column[Row]]:
    """Return columns of a kind of cost, and of how often an architecture is on its front."""

    def spent(row: Row) -> Cell:
        own = by_architecture[row["architecture"]]
        value = own["value"]
        return metrics.cell(kind, None if value is None else Estimate(value, None, None, own["num_seeds"]))

    return [
        Column(kind.heading, spent),
        Column("On the front (%)", lambda row: _share(by_architecture[row["architecture"]])),
    ]


def _share(row: Row) -> Cell:
    """Show how often an architecture is on the front; never all or none of the draws where one could differ."""
    share = row["front_share"]
    if share is not None and not row["front_certain"]:
        share = min(max(share, 0.5 / NUM_DRAWS), 1 - 0.5 / NUM_DRAWS)
    text = formatting.bare_percent(share)
    return Cell(f"**{text}**" if row["on_front"] else text, share)


def _note(summary: CohortSummary) -> str:
    by = "" if summary.ranking.is_accuracy else f" by {metrics.noun(metrics.ranking(summary))}"
    no_worse, values = (f"no worse{by}", "values") if by else ("no less accurate", "accuracies")
    return (
        f"An architecture is on the Pareto front if no other one costs no more and is {no_worse}, and better in "
        f"one of the two. **On the front**: probability, over {NUM_DRAWS:,} draws of the true {values} and costs "
        "from their posterior (other seeds, other test images; docs/statistics.md); in bold, those on the front of the "
        "means themselves; 100.0 only where an architecture costs least in every draw."
    )
