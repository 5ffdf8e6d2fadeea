"""Choice by cost: who is on the Pareto front of test accuracy and each kind of cost, and how surely."""

from collections.abc import Sequence

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Cell, Items, Paragraph, cell, table
from intelbench.reporting.formatting import ABSENT, escape
from intelbench.reporting.rows import Row, rows
from intelbench.results import efficiency
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.resampling import NUM_RESAMPLES

_COST_NAMES = {
    "seconds_per_image": "Time an image (ms)",
    "training_seconds": "Training time (s)",
    "training_flops_per_image": "GFLOPs an image",
    "training_flops": "Training TFLOPs",
    "peak_memory_bytes": "Peak memory",
    "joules": "Energy (kJ)",
}


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
        headers += [_COST_NAMES[kind], "On the front (%)"]
    cells = []
    for architecture in summary.finished:
        accuracy = by_name[architecture.name, kinds[0]].estimate("test_accuracy")
        line = [Cell(escape(architecture.name)), cell(accuracy, formatting.percent_interval)]
        for kind in kinds:
            row = by_name[architecture.name, kind]
            line += [Cell(_cost(kind, row.value), row.value), _share(row)]
        cells.append(line)
    return [table(headers, cells), Paragraph(_note(found[0].num_seeds)), Items(_definitions(kinds, summary))]


def _share(row: Row) -> Cell:
    """How often it is on the front; never all or none of the resamples where another one could differ."""
    share = row.front_share
    if share is not None and not row.front_certain:
        share = min(max(share, 0.5 / NUM_RESAMPLES), 1 - 0.5 / NUM_RESAMPLES)
    text = formatting.bare_percent(share)
    return Cell(f"**{text}**" if row.on_front else text, share)


def _cost(kind: str, value: float | None) -> str:
    if value is None:
        return ABSENT
    if kind == "peak_memory_bytes":
        return formatting.size(round(value))
    factor = {"seconds_per_image": 1e3, "training_flops_per_image": 1e-9, "training_flops": 1e-12, "joules": 1e-3}
    return formatting.significant(factor.get(kind, 1.0) * value)


def _definitions(kinds: Sequence[str], summary: CohortSummary) -> list[str]:
    memory = formatting.memory_name(summary.memory_field) if summary.memory_field else ""
    meaning = {
        "seconds_per_image": "median step with its data wait, over the batch size; the budget fixes the seconds of a "
        "run, so they tell nothing.",
        "training_seconds": "the clock of the budget at the end: training alone, data wait included.",
        "training_flops_per_image": "forward and backward, 1 MAC = 2 FLOPs; the budget fixes those of a run.",
        "training_flops": "forward and backward of all images that a run was trained on, 1 MAC = 2 FLOPs.",
        "peak_memory_bytes": f"{memory}; the main table has the largest of the runs, this is their mean.",
        "joules": "as counted in each run, validation passes included.",
    }
    return [f"**{_COST_NAMES[kind]}**: {meaning[kind]}" for kind in kinds]


def _note(num_seeds: int) -> str:
    drawn = "seeds and test images" if num_seeds > 1 else "test images, there being one seed"
    return (
        f"Means over {formatting.plural(num_seeds, 'seed')} that all have finished. An architecture is on the Pareto "
        "front if no other one costs no more and is no less accurate, and better in one of the two. **On the front**: "
        f"in how many of {NUM_RESAMPLES:,} bootstrap resamples of {drawn}; in bold, those on the front of the means "
        "themselves; 100.0 only where an architecture costs least, so that no resample could change it. Costs are "
        "taken as they are: where two are nearly the same, which is the lower may be chance."
    )
