"""Tables for a paper: results with intervals, and differences of pairs, of each group of records."""

from collections.abc import Sequence
from dataclasses import dataclass

from intelbench.errors import plural
from intelbench.reporting import formatting, metrics, narrative
from intelbench.reporting.document import Table, walk
from intelbench.reporting.formatting import ABSENT, code, count, escape, span
from intelbench.reporting.sections.differences import differences
from intelbench.reporting.sections.results import results
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary

_METRICS = (
    "test_accuracy", "num_parameters", "peak_process_bytes", "peak_cuda_allocated_bytes", "step_seconds",
    "images_per_second",
)  # fmt: skip
"""Metrics whose columns fit on a page. Sections have all of them."""


@dataclass(frozen=True)
class PaperTable:
    """A table with a caption that says what its numbers and intervals are."""

    table: Table
    caption: str
    """Prose with inline Markdown."""
    label: str
    """Name for references, unique in a study."""


def paper_tables(cohorts: Sequence[CohortSummary]) -> list[PaperTable]:
    """Return the results of each group of records, and the differences of its pairs if any were tested."""
    tables = []
    for summary in cohorts:
        tables.append(PaperTable(results_table(summary), _results_caption(summary), f"results-{summary.cohort.key}"))
        pairs = next((block for block in walk(differences(summary)) if isinstance(block, Table)), None)
        if summary.ranked and pairs:
            label = f"differences-{summary.cohort.key}"
            tables.append(PaperTable(pairs, _differences_caption(summary), label))
    return tables


def results_table(summary: CohortSummary) -> Table:
    """Return the main table of the report with fewer columns."""
    main = next(block for block in results(summary) if isinstance(block, Table))
    shown = [metrics.ranking(summary), *map(METRICS.get, _METRICS)]
    wanted = {"Architecture", "Runs", "Group", "Failed"} | {metrics.heading(metric, summary) for metric in shown}
    kept = [
        place
        for place, column in enumerate(main.columns)
        if column.title in wanted and any(row[place].text not in ("", ABSENT) for row in main.rows)
    ]
    return Table([main.columns[place] for place in kept], [[row[place] for place in kept] for row in main.rows])


def trained_on(summary: CohortSummary) -> str:
    """Say on which data, with which budget and on which machine: `photos (2,160 training ...), 60 s ...`."""
    spec, environment = summary.cohort.spec, summary.cohort.records[0].environment
    budgets = " or ".join(map(str, summary.cohort.budgets))
    return (
        f"{escape(narrative.data_name(summary.data.source))} ({narrative.images(summary)}), {budgets} of training "
        f"a run on {escape(spec.execution.machine(environment.device_name))}"
    )


def _results_caption(summary: CohortSummary) -> str:
    shares = [share for a in summary.finished if (share := a.majority_share("test")) is not None]
    metric = metrics.ranking(summary)
    accuracies = "Test accuracy"
    if not summary.ranking.is_accuracy:
        accuracies = f"{escape(metric.heading)} ({metric.better} is better) and test accuracy"
    sentences = [
        f"Image classification on {trained_on(summary)}.",
        f"{accuracies}: mean over n = {_seeds(summary)} [95 % interval over seeds and test images].",
        "Step: median [95 % interval, two-level bootstrap of runs and their steps]; memory: largest peak.",
    ]
    by = "" if summary.ranking.is_accuracy else f" in {metrics.noun(metric)}"
    if summary.groups:
        sentences.append(
            f"Architectures that share a letter do not differ significantly{by} (paired by seed and image, "
            f"corrected by Holm's method, {100 * summary.significance:.2g} %)."
        )
    if summary.cohort.own_recipes:
        sentences.append("Each architecture was trained under its own recipe.")
    if shares:
        sentences.append(f"The majority baseline is {formatting.percent(max(shares))}.")
    if summary.cohort.failed:
        sentences.append(f"{plural(len(summary.cohort.failed), 'run')} failed; means are those of the others.")
    return " ".join([*sentences, f"Data digest {code(summary.data.comparable_digest)}."])


def _differences_caption(summary: CohortSummary) -> str:
    metric = metrics.ranking(summary)
    in_points = metric.change == "points"
    unit = " (percentage points)" if in_points else " (nats)" if metric.unit == "nats" else ""
    seeds = span([pair.difference.n for pair in summary.differences], "seed")
    margin = metric.margin(summary.margin)
    if in_points:
        margin = formatting.plural_number(100 * summary.margin, "percentage point")
    return (
        f"Differences in {metrics.noun(metric)}{unit} on {escape(narrative.data_name(summary.data.source))}, "
        f"n = {seeds} × {count(summary.data.num_test)} test images, paired by seed and image "
        "[95 % interval over seeds and images, not corrected for the number of pairs]. p: two-sided; p (Holm): "
        f"corrected over all pairs. Equivalent: shown to differ by less than {margin} (two one-sided tests)."
    )


def _seeds(summary: CohortSummary) -> str:
    return span([len(architecture.runs) for architecture in summary.finished] or [0], "seed")
