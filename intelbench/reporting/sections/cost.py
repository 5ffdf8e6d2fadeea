"""Choice by cost: who is on the Pareto front of the metric that ranks and each kind of cost, and how surely."""

from collections.abc import Mapping
from functools import partial

from intelbench.reporting import formatting, metrics
from intelbench.reporting.document import Block, Cell, Column, Items, Paragraph, table_of
from intelbench.reporting.formatting import escape
from intelbench.reporting.rows import Row
from intelbench.results import efficiency
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import estimate_of
from intelbench.statistics.estimates import Estimate
from intelbench.statistics.posterior import NUM_DRAWS

_Points = Mapping[tuple[str, str], Row]
"""By architecture and kind of cost."""


def cost(summary: CohortSummary) -> list[Block]:
    """Return the metric that ranks, each kind of cost, and how often an architecture is on the front.

    There is none of a single architecture.
    """
    if len(summary.finished) < 2:
        return []
    points = {(row["architecture"], row["cost"]): row for row in list(efficiency.pareto(summary))}
    if not points:
        return [Paragraph("Who is on the Pareto front is not said where nothing may be ranked.")]
    kinds = [METRICS.get(name) for name in dict.fromkeys(name for _, name in points)]
    metric = metrics.ranking(summary)
    columns = [
        Column[str]("Architecture", escape, is_number=False),
        Column[str](
            metric.heading, lambda name: metrics.cell(metric, estimate_of(points[name, kinds[0].name], "score"))
        ),
    ]
    for kind in kinds:
        columns.append(Column(kind.heading, partial(_spent, points, kind)))
        columns.append(Column("On the front (%)", partial(_share, points, kind)))
    names = [architecture.name for architecture in summary.finished]
    return [table_of(columns, names), Paragraph(_note(summary)), Items(metrics.definitions(kinds, summary))]


def _spent(points: _Points, kind: Metric, name: str) -> Cell:
    row = points[name, kind.name]
    return metrics.cell(kind, None if row["value"] is None else Estimate(row["value"], None, None, row["num_seeds"]))


def _share(points: _Points, kind: Metric, name: str) -> Cell:
    """Show how often an architecture is on the front; never all or none of the draws where one could differ."""
    row = points[name, kind.name]
    share = row["front_share"]
    certain = row["front_certain"]
    text = formatting.bare_percent(share) if certain else formatting.drawn_percent(share, NUM_DRAWS)
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
