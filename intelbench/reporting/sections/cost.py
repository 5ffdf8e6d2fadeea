"""Choice by cost: who is on the Pareto front of test accuracy and each kind of cost, and how surely."""

from intelbench.reporting import formatting, metrics
from intelbench.reporting.document import Block, Cell, Items, Paragraph, cell, table
from intelbench.reporting.formatting import escape
from intelbench.reporting.rows import Row, rows
from intelbench.results import efficiency
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate
from intelbench.statistics.resampling import NUM_RESAMPLES


def cost(summary: CohortSummary) -> list[Block]:
    """Test accuracy, each kind of cost, and how often an architecture is on the front; of one there is none."""
    if len(summary.finished) < 2:
        return []
    found = rows(efficiency.pareto(summary))
    if not found:
        return [Paragraph("Who is on the Pareto front is not said where nothing may be ranked.")]
    kinds = list(dict.fromkeys(row.cost for row in found))
    by_name = {(row.architecture, row.cost): row for row in found}
    headers = ["Architecture", "Test accuracy"]
    for kind in kinds:
        headers += [METRICS.get(kind).heading, "On the front (%)"]
    cells = []
    for architecture in summary.finished:
        accuracy = by_name[architecture.name, kinds[0]].estimate("test_accuracy")
        line = [Cell(escape(architecture.name)), cell(accuracy, formatting.percent_interval)]
        for kind in kinds:
            row = by_name[architecture.name, kind]
            mean = None if row.value is None else Estimate(row.value, None, None, row.num_seeds)
            line += [metrics.cell(METRICS.get(kind), mean), _share(row)]
        cells.append(line)
    definitions = metrics.definitions(map(METRICS.get, kinds), summary)
    return [table(headers, cells), Paragraph(_note(found[0].num_seeds)), Items(definitions)]


def _share(row: Row) -> Cell:
    """How often it is on the front; never all or none of the resamples where another one could differ."""
    share = row.front_share
    if share is not None and not row.front_certain:
        share = min(max(share, 0.5 / NUM_RESAMPLES), 1 - 0.5 / NUM_RESAMPLES)
    text = formatting.bare_percent(share)
    return Cell(f"**{text}**" if row.on_front else text, share)


def _note(num_seeds: int) -> str:
    drawn = "seeds and test images" if num_seeds > 1 else "test images, there being one seed"
    return (
        f"Means over {formatting.plural(num_seeds, 'seed')} that all have finished. An architecture is on the Pareto "
        "front if no other one costs no more and is no less accurate, and better in one of the two. **On the front**: "
        f"in how many of {NUM_RESAMPLES:,} bootstrap resamples of {drawn}; in bold, those on the front of the means "
        "themselves; 100.0 only where an architecture costs least, so that no resample could change it. Costs are "
        "taken as they are: where two are nearly the same, which is the lower may be chance."
    )
