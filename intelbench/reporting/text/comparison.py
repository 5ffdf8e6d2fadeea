"""Sections of the report on what may be concluded: every pair of architectures, and every run."""

from collections.abc import Mapping, Sequence
from typing import Any

from intelbench.reporting import markdown
from intelbench.reporting.markdown import ABSENT, escape
from intelbench.reporting.text import metrics
from intelbench.results import tables
from intelbench.results.metrics import metrics_in
from intelbench.results.summaries import CohortSummary
from intelbench.results.tables import estimate_of, rows
from intelbench.statistics import inference
from intelbench.statistics.estimates import SIGNIFICANCE

MAX_PAIRS = 500
MAX_OPEN_PAIRS = 15
MAX_SEED_COLUMNS = 50
_OWN_RECIPES = (
    "Each architecture was trained under its own recipe: what is told apart here is two architectures **with their "
    "recipes**. How much of it is the architecture's, only runs under one recipe for all can say."
)

Row = Mapping[str, Any]


def comparison(summary: CohortSummary) -> list[str]:
    """Every pair on the same seeds and images; nothing where no two may be compared."""
    pairs = rows(tables.differences(summary))
    if not 0 < len(pairs) <= MAX_PAIRS:
        return []
    own = summary.cohort.own_recipes
    subject = f"Difference{' of architecture and recipe' if own else ''} (points)"
    headers = ["Pair", subject, "p", "p (Holm)", "Detectable (points)", "Better"]
    table = markdown.table(headers, [_pair(row) for row in pairs])
    if len(pairs) > MAX_OPEN_PAIRS:
        table = markdown.details(f"All {len(pairs)} pairs", table)
    blocks = [*([_OWN_RECIPES] if own else []), table, _method(summary), _omnibus(summary)]
    return [*blocks, _seed_by_seed(summary, pairs), *_by_plugin_metrics(summary)]


def every_run(summary: CohortSummary) -> str:
    """Test accuracy of each finished run, with the interval of its images alone."""
    number = sum(len(architecture.runs) for architecture in summary.architectures)
    return markdown.listing(f"Every run ({number:,})", number, lambda: _runs(summary))


def _runs(summary: CohortSummary) -> str:
    cells = [
        [
            escape(row["architecture"]),
            str(row["seed"]),
            markdown.percent_interval(estimate_of({**row, "num_runs": 1}, "test_accuracy")),
            markdown.percent(row["validation_accuracy"]),
            markdown.significant(row["loss_variance"]),
            markdown.milliseconds(row["step_seconds"]),
            markdown.count(row["num_steps"]),
        ]
        for row in rows(tables.runs(summary))
    ]
    headers = ["Architecture", "Seed", "Test accuracy", "Validation accuracy", "Loss variance", "Step (ms)", "Steps"]
    share = max((a.majority_share("test") or 0 for a in summary.finished), default=0)
    note = (
        "The intervals are Wilson's (1927), 95 %, over the test images: for this network as it was trained. The "
        f"majority baseline of test accuracy is {markdown.percent(share)}."
    )
    return f"{note}\n\n{markdown.table(headers, cells)}"


def _pair(row: Row) -> list[str]:
    difference = estimate_of(row, "difference")
    return [
        f"{escape(row['first'])} − {escape(row['second'])}",
        ABSENT if difference is None else markdown.points(difference),
        markdown.p_value(row["p_value"]),
        markdown.p_value(row["p_holm"]),
        markdown.bare_percent(row["detectable_difference"]),
        escape(row["better"]) if row["better"] else "not distinguishable",
    ]


def _by_plugin_metrics(summary: CohortSummary) -> list[str]:
    """Every pair by each metric of a plug-in, compared as test accuracy is."""
    blocks = []
    for metric in metrics_in("main"):
        found = rows(tables.differences(summary, metric.name)) if metric.of_logits else []
        cells = [
            [
                f"{escape(row['first'])} − {escape(row['second'])}",
                metrics.change(metric, estimate) if (estimate := estimate_of(row, "difference")) else ABSENT,
                markdown.p_value(row["p_value"]),
                markdown.p_value(row["p_holm"]),
                escape(row["better"]) if row["better"] else "not distinguishable",
            ]
            for row in found
        ]
        title = f"Pairs by {escape(metric.heading)}"
        headers = ["Pair", f"Difference in {escape(metric.heading)}", "p", "p (Holm)", "Better"]
        blocks += [markdown.details(title, markdown.table(headers, cells))] if cells else []
    return blocks


def _method(summary: CohortSummary) -> str:
    num_seeds = len(summary.cohort.common_seeds)
    if num_seeds < 2:
        return "n = 1: one seed tells nothing of how far another would have come out differently."
    level = f"{SIGNIFICANCE / len(summary.differences):.2g}" if len(summary.differences) > 1 else f"{SIGNIFICANCE:g}"
    fewest = next(n for n in range(1, 20) if inference.smallest_sign_p_value(n) <= SIGNIFICANCE)
    reach = inference.smallest_sign_p_value(num_seeds)
    sign = (
        f"A sign test over {num_seeds} seeds cannot reach 5 % (its smallest p is {markdown.p_value(reach)}; it takes "
        f"{fewest} seeds), so none is made."
        if num_seeds < fewest
        else f"A sign test over {num_seeds} seeds could reach p = {markdown.p_value(reach)} at best; it is not used."
    )
    return (
        f"n = {num_seeds} seeds × {summary.correct.shape[2]:,} test images, the same for both of a pair. "
        "**Difference**: mean, with its 95 % interval over seeds and images (how: docs/STATISTICS.md), not corrected "
        "for the number of pairs. **p**: two-sided t test of the same. **p (Holm)**: corrected over all pairs (1979); "
        "at 5 % two architectures are told apart. **Detectable**: the true difference that this n, with the spread "
        "seen here, finds in four cases out of five (80 % power, at the level of Holm's first step, "
        f"{level}). {sign}"
    )


def _omnibus(summary: CohortSummary) -> str:
    found = rows(tables.omnibus(summary))
    if len(summary.finished) < 3 or not found:
        return ""
    statistics = [row["statistic"] for row in found]
    low, high = markdown.significant(min(statistics)), markdown.significant(max(statistics))
    largest = max(row["p_value"] for row in found)
    spread = low if low == high else f"{low} to {high}"
    return (
        f"All at once, Cochran's Q (1950) of the networks of each seed, as they were trained: Q = {spread} with "
        f"{found[0]['degrees_of_freedom']} degrees of freedom; largest p of {markdown.plural(len(found), 'seed')} "
        f"{_equal(largest)}."
    )


def _seed_by_seed(summary: CohortSummary, pairs: Sequence[Row]) -> str:
    """How many images only one of two got right, and McNemar's test, for the networks of each seed."""
    number = len(summary.cohort.common_seeds)
    title = "Discordant images, seed by seed"
    return markdown.listing(title, number, lambda: _discordances(summary, pairs), limit=MAX_SEED_COLUMNS)


def _discordances(summary: CohortSummary, pairs: Sequence[Row]) -> str:
    cells = [
        [
            f"{escape(row['first'])} − {escape(row['second'])}",
            *(
                f"{first} : {second} ({markdown.p_value(p)})"
                for first, second, p in zip(row["first_only"], row["second_only"], row["mcnemar_p_values"], strict=True)
            ),
        ]
        for row in pairs
    ]
    headers = ["Pair", *(f"Seed {seed}" for seed in summary.cohort.common_seeds)]
    note = (
        "Images that only the first got right : only the second (p of McNemar's exact test, 1947). It compares two "
        "networks as they were trained, not two architectures: another seed gives other networks."
    )
    return f"{note}\n\n{markdown.table(headers, cells)}"


def _equal(p: float) -> str:
    text = markdown.p_value(p)
    return text if text.startswith("<") else f"= {text}"
