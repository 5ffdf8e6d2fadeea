"""How metrics are written: headings, cells, figures with their units, and what the report says of a column."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from intelbench.reporting import document, formatting
from intelbench.reporting.document import Cell
from intelbench.results.metric import Metric
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import CohortSummary
from intelbench.statistics.estimates import Estimate

_LONG_SECONDS = 10
"""From here on a time with its unit is written in seconds, not in milliseconds."""

_WITH_PREFIX = {"flops": "FLOP", "joules": "J"}
"""Units that are written with a prefix, as in `4.08 TFLOP`."""


def heading(metric: Metric, summary: CohortSummary) -> str:
    """Return the heading of a column of the main table: `Training accuracy (120 of 2,160 images)`."""
    name, sampled = formatting.escape(metric.heading), ""
    numbers = {summary.data.num_test if metric.split == "test" else summary.data.num_validation}
    if metric.split == "training":
        num_train = summary.cohort.spec.num_train
        numbers = {len(run.images.training_ids) for run in summary.runs}
        sampled = "" if numbers == {num_train} else f" of {formatting.count(num_train)}"
    if not metric.per_image or not numbers:
        return name
    return f"{name} ({formatting.listed(map(formatting.count, sorted(numbers)))}{sampled} images)"


def ranking(summary: CohortSummary) -> Metric:
    """Return the metric by which the architectures of a cohort are ranked."""
    return METRICS.get(summary.ranking.metric)


def comparatives(summary: CohortSummary) -> tuple[str, str]:
    """Return the words for better and for worse by the metric that ranks: `above` and `below`, if higher is better."""
    return ("above", "below") if summary.ranking.higher_is_better else ("better than", "worse than")


def noun(metric: Metric) -> str:
    """Return the name of a metric in sentences, as `test accuracy`."""
    return formatting.escape(metric.noun)


def unit(metric: Metric) -> str:
    """Return the unit of a difference after a number, with a space: ` points`, ` nats`, or nothing."""
    if metric.change == "points":
        return " points"
    return " nats" if metric.unit == "nats" else ""


def bare(metric: Metric, value: float) -> str:
    """Write a difference without its unit."""
    written = formatting.bare_percent(value) if metric.change == "points" else formatting.significant(value)
    return written.replace("-", "−")


def lead(metric: Metric, estimate: Estimate) -> str:
    """Write a difference in a sentence, with its interval and unit: `8.4 [3.4, 13.5] points`."""
    write = formatting.percent_number if metric.change == "points" else formatting.number_interval
    return f"{write(estimate)}{unit(metric)}"


def subject(metric: Metric, summary: CohortSummary) -> str:
    """Return the heading of a column of differences by the metric that ranks."""
    own = " of architecture and recipe" if summary.cohort.own_recipes else ""
    by = "" if summary.ranking.is_accuracy else f" in {noun(metric)}"
    in_unit = f" ({unit(metric).strip()})" if unit(metric) else ""
    return f"Difference{own}{by}{in_unit}"


def difference(metric: Metric, estimate: Estimate) -> str:
    """Write a difference in a column headed `subject`."""
    if metric.change == "points":
        return formatting.points(estimate)
    return formatting.number_interval(estimate).replace("-", "−")


def cell(metric: Metric, estimate: Estimate | None) -> Cell:
    """Show a value in a column headed `metric.heading`, with its interval where it has one."""
    return document.cell(estimate, partial(_written, metric))


def change(metric: Metric, estimate: Estimate) -> str:
    """Write a difference or ratio of two values in a column headed `metric.heading`."""
    if metric.change == "points":
        return f"{formatting.points(estimate)} points"
    if metric.change == "ratio":
        return formatting.times_interval(estimate)
    return _scaled(metric.scale)(estimate).replace("-", "−")


def figure(value: float, unit: str, digits: int = 2) -> str:
    """Write a number without an interval, with its unit: that of a metric, or `times`; shares with some digits."""
    if unit == "share":
        return formatting.percent(value, digits)
    if unit == "mebibytes":
        return f"{formatting.mebibytes(round(value * 2**20))} MB"
    if unit == "seconds" and value < _LONG_SECONDS:
        return f"{formatting.milliseconds(value)} ms"
    written: Mapping[str, Callable[[float], str]] = {
        "parameters": formatting.count,
        "times": formatting.times,
        "flops": lambda number: formatting.quantity(number, _WITH_PREFIX["flops"]),
        "bytes": lambda number: formatting.size(round(number)),
        "joules": lambda number: formatting.quantity(number, _WITH_PREFIX["joules"]),
        "seconds": lambda number: f"{formatting.significant(number)} s",
        "steps": lambda number: f"{formatting.count(number)} {'step' if number == 1 else 'steps'}",
    }
    return written.get(unit, formatting.significant)(value)


def interval(estimate: Estimate, unit: str) -> str:
    """Write a number with its interval and its unit: that of a metric, `times`, `points` or `difference`."""
    if unit == "share":
        return formatting.percent_interval(estimate)
    if unit == "points":
        return f"{formatting.points(estimate)} points"
    if unit == "times":
        return f"{formatting.number_interval(estimate)} ×"
    if unit == "bytes":
        return formatting.size_interval(estimate)
    if unit == "seconds":
        is_short = estimate.mean < _LONG_SECONDS
        return f"{_scaled(1e3 if is_short else 1)(estimate)} {'ms' if is_short else 's'}"
    if unit in _WITH_PREFIX:
        return formatting.quantity_interval(estimate, _WITH_PREFIX[unit])
    text = formatting.number_interval(estimate).replace("-", "−")
    return f"{text} steps" if unit == "steps" else text


def definitions(metrics: Iterable[Metric], summary: CohortSummary) -> list[str]:
    """Return what each column means, as items of a list; nothing for columns that explain themselves."""
    all_trained = not METRICS.get("num_trainable_parameters").is_shown(summary)
    facts = {
        "warmup_steps": summary.cohort.spec.conditions.warmup_steps,
        "batch_sizes": " or ".join(map(str, summary.cohort.batch_sizes)),
        "memory": formatting.MEMORY_NAMES[summary.memory_field] if summary.memory_field else "",
        "steps_of": " of the head, on stored features," if summary.on_features else "",
        "extraction": "; with the extraction of features where a run did it (**Stored features** has both)"
        if summary.on_features
        else "",
        "trained": "; all are trained" if all_trained else ", and those trained",
    }
    lines = []
    for metric in metrics:
        if not metric.of_logits:
            note = metric.note.format_map(facts)
        else:  # a plug-in's
            note = (
                f"{formatting.escape(metric.definition)}, mean over seeds [95 % interval over seeds and test images]; "
                f"{metric.better} is better. Computed by {formatting.code(METRICS.entries[metric.name].provider)}."
            )
        lines += [f"**{heading(metric, summary)}**: {note}"] if note else []
    return lines


def _written(metric: Metric, estimate: Estimate) -> str:
    if metric.unit == "share":
        return formatting.percent_interval(estimate)
    if metric.unit == "bytes":
        return formatting.size_interval(estimate)
    if metric.unit == "parameters":
        return formatting.si(estimate.mean)
    if metric.unit == "steps":
        return formatting.count(estimate.mean)
    return _scaled(metric.scale)(estimate)


def _scaled(scale: float) -> Callable[[Estimate | None], str]:
    return formatting.with_interval(lambda value: formatting.significant(scale * value))
