"""Results: the main table, what its columns mean, accuracy against cost, and every run."""

from collections.abc import Sequence
from functools import partial

from intelbench.errors import UserError
from intelbench.reporting import formatting, metrics, narrative
from intelbench.reporting.document import Block, Cell, Figure, Items, Paragraph, cell, listing, table, table_of
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import ABSENT, code, escape
from intelbench.reporting.rows import ARCHITECTURE, SEED, Row, estimate, number
from intelbench.results import baseline, tables
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.runs import SPLITS, Split
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate

_OF_RUNS = (
    ARCHITECTURE,
    SEED,
    estimate("Test accuracy", "test_accuracy", formatting.percent_interval, num_runs=1),
    number("Validation accuracy", "validation_accuracy", formatting.percent),
    number("Relative loss variance", "relative_loss_variance", formatting.significant),
    number("Step (ms)", "step_seconds", formatting.milliseconds),
    number("Steps", "num_steps", formatting.count),
)
_MEANINGS = {
    "Rank": "1 + the number of architectures whose {metric} is significantly better. `=`: shared.",
    "Group": "two architectures share a letter unless they are significantly different (Piepho, 2004).",
    "Runs": "finished runs, one a seed; n of every mean in the row.",
    "Finished (%)": "share of all runs that finished, whatever made the others fail, with Wilson's 95 % interval "
    "(1927) for runs that fail independently of each other. `†` in Rank: some runs failed, and the rank is that of the "
    "others, as is each mean in the row.",
}


def results(summary: CohortSummary) -> list[Block]:
    """Return the main table, what its columns mean, every run behind it, and the metric that ranks against cost."""
    runs = [every_run(summary)] if summary.finished else []
    return [*main_table(summary, metrics_in("main")), *runs, *_accuracy_against_cost(summary)]


def main_table(summary: CohortSummary, of_metrics: Sequence[Metric]) -> list[Block]:
    """Return a row for each architecture with these metrics, why there is no rank, and what the columns mean.

    The metric that ranks comes first, unless it is one of these anyway.
    """
    ranking = metrics.ranking(summary)
    columns = [metric for metric in of_metrics if metric.is_shown(summary)]
    columns = columns if ranking in columns else [ranking, *columns]
    architectures = tables.main(summary)
    ranks = [row["rank"] for row in architectures]
    cells = [_cells(row, ranks, summary, columns) for row in architectures]
    test_accuracy = _accuracy_header("test", summary)
    shown = [
        header for header in cells[0] if any(row[header].text != ABSENT for row in cells) or header == test_accuracy
    ]
    lines = [*cells, *_baseline_cells(summary)]
    blocks: list[Block] = [table(shown, [[line.get(header, "") for header in shown] for line in lines])]
    if note := narrative.ranking_note(summary):
        blocks.append(Paragraph(note))
    blocks.append(Items(_definitions(shown, summary, columns)))
    return blocks


def every_run(summary: CohortSummary) -> Block:
    """Return test accuracy of each finished run, with the interval of its images alone."""
    number = sum(len(architecture.runs) for architecture in summary.architectures)
    return listing(f"Every run ({number:,})", number, lambda: _runs(summary))


def _runs(summary: CohortSummary) -> list[Block]:
    share = max((a.majority_share("test") or 0 for a in summary.finished), default=0)
    note = (
        "The intervals are Wilson's (1927), 95 %, over the test images: for this network as it was trained. The "
        f"majority baseline of test accuracy is {formatting.percent(share)}."
    )
    columns, metric = list(_OF_RUNS), metrics.ranking(summary)
    if not summary.ranking.is_accuracy:
        columns.insert(2, number(escape(metric.heading), "score", lambda score: metrics.figure(score, metric.unit, 1)))
    return [Paragraph(note), table_of(columns, tables.runs(summary))]


def _cells(row: Row, ranks: Sequence[object], summary: CohortSummary, columns: Sequence[Metric]) -> dict[str, Cell]:
    """Return the cells of one architecture by heading; columns without any value are left out later."""
    failed, runs = row["num_failed"], row["num_finished"]
    causes = formatting.listed(map(formatting.cause, (row["failure_causes"] or "").split()))
    tied = "=" if ranks.count(row["rank"]) > 1 else ""
    cells = {
        "Architecture": Cell(escape(row["architecture"])),
        "Rank": cell(row["rank"], lambda rank: f"{rank}{tied}{'†' if failed else ''}"),
        "Group": Cell(row["group"] or ABSENT),
        "Runs": Cell(f"{runs} of {runs + failed}" if failed else str(runs), runs),
    }
    for metric in columns:
        heading = metrics.heading(metric, summary)
        if heading in (*cells, "Finished (%)", "Failed"):
            raise UserError(f"metric {metric.name!r}: the main table has another column {heading!r}; choose another")
        cells[heading] = metrics.cell(metric, _estimate(row, metric))
    if summary.cohort.failed:
        rate = tables.estimate_of(row, "success_rate", runs + failed)
        cells["Finished (%)"] = cell(rate, formatting.with_interval(formatting.bare_percent))
    cells["Failed"] = Cell(f"{failed}: {causes}" if failed else ABSENT, failed or None)
    return cells


def _estimate(row: Row, metric: Metric) -> Estimate | None:
    """Return the value of a metric in a row of the main table; `None` where it is absent."""
    if row["metric"] == metric.name:
        return tables.estimate_of(row, "score")
    if metric.interval:
        return tables.estimate_of(row, metric.name)
    value = row[metric.name]
    return None if value is None else Estimate(value, None, None, row["num_finished"])


def _accuracy_header(split: Split, summary: CohortSummary) -> str:
    return metrics.heading(METRICS.get(f"{split}_accuracy"), summary)


def _baseline_cells(summary: CohortSummary) -> list[dict[str, Cell]]:
    """Return the majority baseline as a row under the architectures, where some accuracy was measured."""
    cells = {}
    for split in SPLITS:
        shares = [share for a in summary.finished if (share := a.majority_share(split)) is not None]
        if shares:
            cells[_accuracy_header(split, summary)] = cell(max(shares), formatting.percent)
    metric = metrics.ranking(summary)
    if not summary.ranking.is_accuracy and (value := baseline.baseline_value(summary)) is not None:
        cells[metrics.heading(metric, summary)] = Cell(metrics.figure(value, metric.unit, 1), value)
    return [{"Architecture": Cell("*majority baseline*"), **cells}] if cells else []


def _definitions(shown: Sequence[str], summary: CohortSummary, of_metrics: Sequence[Metric]) -> list[str]:
    """Say what each column shown means, and why a kind of memory is missing."""
    noun = metrics.noun(metrics.ranking(summary))
    defined = [
        f"**{header}**: {text.replace('{metric}', noun)}" for header, text in _MEANINGS.items() if header in shown
    ]
    columns = [metric for metric in of_metrics if metrics.heading(metric, summary) in shown]
    ranks = metrics.ranking(summary)
    if not (ranks.note or ranks.of_logits):
        columns.remove(ranks)
        direction = f"{ranks.definition}, mean over seeds [95 % interval over seeds and test images]; {ranks.better}"
        defined.append(f"**{metrics.heading(ranks, summary)}**: {direction} is better.")
    return [*defined, *metrics.definitions(columns, summary), *_absent_memory(summary, of_metrics)]


def _absent_memory(summary: CohortSummary, of_metrics: Sequence[Metric]) -> list[str]:
    """Say why kinds of memory have no column: one line for all that lack it for the same reasons."""
    fields: dict[tuple[str, ...], list[str]] = {}
    wanted = {metric.name for metric in of_metrics}
    for field, reasons in tables.absent_memory(summary).items():
        if f"peak_{field}" in wanted:
            fields.setdefault(tuple(reasons), []).append(formatting.MEMORY_NAMES[field])
    return [
        f"No column for {formatting.listed(names)}: {formatting.listed(map(escape, reasons))}."
        for reasons, names in fields.items()
    ]


def _accuracy_against_cost(summary: CohortSummary) -> list[Block]:
    metric = metrics.ranking(summary)
    if not summary.cost_panels or all(metric.of(a) is None for a in summary.finished):
        return []
    untimed = [code(a.name) for a in summary.finished if a.median_step_seconds is None]
    share = baseline.baseline_value(summary)
    name = metric.heading.partition(" (")[0]
    caption = (
        f"{escape(name)} against what it costs. Bars: 95 % interval over seeds and test images, where there are "
        "several seeds."
    )
    if share is not None:
        caption += f" The majority baseline is {metrics.figure(share, metric.unit, 1)}."
    if untimed:
        caption += f" No step after warm-up, so no step time: {formatting.listed(untimed)}."
    figure = Figure("cost", f"{name} against time and memory", partial(plots.cost, summary))
    return [figure, Paragraph(caption)]
