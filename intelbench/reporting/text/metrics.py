"""How metrics are written: headings, cells, figures with their units, and what the report says of a column."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from intelbench.reporting import markdown
from intelbench.reporting.markdown import ABSENT
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.runs import Split
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate

_LONG_SECONDS = 10
"""From here on a time with its unit is written in seconds, not in milliseconds."""


def heading(metric: Metric, summary: CohortSummary) -> str:
    """Return the heading of a column of the main table: `Training accuracy (240 images)`."""
    name = markdown.escape(metric.heading)
    if metric.split is None:
        return name
    numbers = _num_images(metric.split, summary)
    images = f" ({markdown.listed(map(markdown.count, sorted(numbers)))} images)" if numbers else ""
    return f"{name}{images}"


def cell(metric: Metric, estimate: Estimate | None) -> str:
    """Write a value in a column headed `metric.heading`, with its interval where it has one."""
    if estimate is None:
        return ABSENT
    if metric.unit == "share":
        return markdown.percent_interval(estimate)
    if metric.unit == "bytes":
        return markdown.size_interval(estimate)
    if metric.unit == "parameters":
        return markdown.si(estimate.mean)
    if metric.unit == "steps":
        return markdown.count(estimate.mean)
    return markdown.number_interval(_scaled(estimate, metric.scale))


def estimate_in(row: Mapping[str, Any], metric: Metric, num_runs: int) -> Estimate | None:
    """Return the value of a metric in a row of the main table."""
    value = row[metric.name]
    if value is None:
        return None
    low, high = (row[f"{metric.name}_{end}"] if metric.interval else None for end in ("low", "high"))
    return Estimate(value, low, high, num_runs)


def change(metric: Metric, estimate: Estimate) -> str:
    """Write a difference or ratio of two values in a column headed `metric.heading`."""
    if metric.change == "points":
        return f"{markdown.points(estimate)} points"
    if metric.change == "ratio":
        return markdown.times_interval(estimate)
    return markdown.number_interval(_scaled(estimate, metric.scale))


def figure(value: float, unit: str) -> str:
    """Write a number without an interval, with its unit: that of a metric, or `times`."""
    if unit == "share":
        return markdown.percent(value, 2)
    if unit == "mebibytes":
        return f"{markdown.mebibytes(round(value * 2**20))} MB"
    if unit == "seconds" and value < _LONG_SECONDS:
        return f"{markdown.milliseconds(value)} ms"
    written: Mapping[str, Callable[[float], str]] = {
        "parameters": markdown.count,
        "times": markdown.times,
        "flops": lambda number: f"{markdown.si(number)}FLOP",
        "bytes": lambda number: markdown.size(round(number)),
        "joules": lambda number: f"{markdown.si(number)}J",
        "seconds": lambda number: f"{markdown.significant(number)} s",
        "steps": lambda number: f"{markdown.count(number)} steps",
    }
    return written.get(unit, markdown.significant)(value)


def interval(estimate: Estimate, unit: str) -> str:
    """Write a number with its interval and its unit: that of a metric, `times`, `points` or `difference`."""
    if unit == "share":
        return markdown.percent_interval(estimate)
    if unit == "points":
        return f"{markdown.points(estimate)} points"
    if unit == "times":
        return f"{markdown.number_interval(estimate)} ×"
    if unit == "bytes":
        return markdown.size_interval(estimate)
    if unit == "seconds":
        short = estimate.mean < _LONG_SECONDS
        scaled = _scaled(estimate, 1e3 if short else 1)
        return f"{markdown.number_interval(scaled)} {'ms' if short else 's'}"
    return markdown.number_interval(estimate).replace("-", "−")


def definitions(metrics: Iterable[Metric], summary: CohortSummary) -> list[str]:
    """Say of each column what it means, in an item of a list; nothing of those that explain themselves."""
    all_trained = not METRICS.get("num_trainable_parameters").is_shown(summary)
    facts = {
        "warmup_steps": summary.cohort.spec.conditions.warmup_steps,
        "batch_sizes": " or ".join(map(str, summary.cohort.batch_sizes)),
        "memory": markdown.memory_name(summary.memory_field) if summary.memory_field else "",
        "trained": "; all are trained" if all_trained else ", and those trained",
    }
    notes = {metric: _plugin_note(metric) if metric.of_logits else metric.note.format_map(facts) for metric in metrics}
    return [f"- **{heading(metric, summary)}**: {note}" for metric, note in notes.items() if note]


def _plugin_note(metric: Metric) -> str:
    provider = markdown.code(METRICS.entries[metric.name].provider)
    return (
        f"{markdown.escape(metric.definition)}, mean over seeds [95 % interval over seeds and test images]; "
        f"{metric.better} is better. Computed by {provider}."
    )


def _num_images(split: Split, summary: CohortSummary) -> set[int]:
    """Return on how many images of a split the runs were measured, each number once."""
    if split == "training":
        return {run.num_training_images for architecture in summary.finished for run in architecture.runs}
    return {summary.data.num_test if split == "test" else summary.data.num_validation}


def _scaled(estimate: Estimate, scale: float) -> Estimate:
    low, high = (None if bound is None else scale * bound for bound in (estimate.low, estimate.high))
    return Estimate(scale * estimate.mean, low, high, estimate.n)
