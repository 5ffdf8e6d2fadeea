"""Metrics of plug-ins: functions of the logits and labels of the test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from intelbench.errors import UserError, kind_of, one_of, shortened
from intelbench.plugins.loading import load_plugins
from intelbench.plugins.registry import Entry, takes_name
from intelbench.records.store import StoredRun, Traces
from intelbench.results import arrays
from intelbench.results.metric import Metric, OfLogits, of_logits
from intelbench.results.metrics import METRICS
from intelbench.results.runs import RunSummary

_BOUNDS = {"share": (0.0, 1.0), "nats": (0.0, np.inf), "number": (-np.inf, np.inf)}
"""Smallest and largest value that a function may return, by the unit of its metric."""
_MAX_CHARACTERS = {"heading": 60, "definition": 300}


@takes_name
def metric(
    name: str,
    *,
    heading: str,
    definition: str,
    better: Literal["higher", "lower"],
    unit: Literal["share", "nats", "number"] = "share",
) -> Callable[[OfLogits], Metric]:
    """Register the decorated function as a metric of the test images.

    The function gets logits (N x C, float64) and labels (N, int64), and returns a value of each image (N), whose mean
    is the metric, or one number.

    Args:
        name: Its name in claims, gates, JSON and CSV.
        heading: Heading of its column.
        definition: What is measured, as a phrase without a full stop.
        better: Which direction is better.
        unit: `share` (0 to 1, shown in percent), `nats` (at least 0), or `number`.

    Raises:
        UserError: an argument is not accepted, or the name is taken.
    """
    for argument, text in (("heading", heading), ("definition", definition)):
        if not isinstance(text, str) or not 0 < len(text.strip()) <= _MAX_CHARACTERS[argument]:
            raise UserError(
                f"metric {name!r:.100}: `{argument}` is {shortened(repr(text))}. Expected a text of at most "
                f"{_MAX_CHARACTERS[argument]} characters"
            )
    for argument, word, accepted in (("better", better, ("higher", "lower")), ("unit", unit, tuple(_BOUNDS))):
        if word not in accepted:
            raise UserError(
                f"metric {name!r:.100}: `{argument}` is {shortened(repr(word))}. {one_of(str(word), accepted)}"
            )

    def register(function: OfLogits) -> Metric:
        if not callable(function):
            raise UserError(f"metric {name!r:.100}: decorates {kind_of(function)}. Expected a function")
        value = Metric(
            name=name, heading=heading, unit=unit, definition=definition, better=better, compared="images",
            of_run=of_logits(name),
            per_image=lambda run: _by_image(run, name), of_logits=function, ranks=True,
            bounds=_BOUNDS[unit], tables=("main", "export", "runs", "diff"),
        )  # fmt: skip
        return METRICS.add(value, name, function=function)

    return register


def register_metrics(plugins: Sequence[str]) -> None:
    """Register the metrics of entry points and plug-in files, unless this process has registered them already.

    Raises:
        UserError: one of them fails.
    """
    for name in METRICS.entry_points():
        METRICS.find(name)
    load_plugins(plugins)


def with_plugin_values(run: RunSummary, traces: Traces) -> RunSummary:
    """Return a run with the values of the metrics of plug-ins; none without test images or finite logits.

    Raises:
        UserError: the function of a metric fails, or returns something else than finite values in its bounds.
    """
    entries = [entry for entry in METRICS.entries.values() if entry.value.of_logits]
    labels = run.test_labels.astype(np.int64)
    if not entries or not len(labels):
        return run
    num_classes = len(run.record.spec.data.class_names)
    logits = arrays.logits(traces, "test_logits", len(labels), num_classes)
    if not np.isfinite(logits).all():
        return run
    return replace(run, of_logits={entry.name: _computed(entry, logits, labels) for entry in entries})


def on_demand_values(runs: Sequence[StoredRun], names: Sequence[str]) -> list[Mapping[str, NDArray[np.float32]]]:
    """Return the values of the test images in finished runs, by name of a metric that is computed on demand.

    A run in which a metric is not defined lacks it.

    Raises:
        UserError: a record was damaged, removed or replaced since it was read.
    """
    return [_on_demand(run, names) for run in runs]


def _on_demand(run: StoredRun, names: Sequence[str]) -> Mapping[str, NDArray[np.float32]]:
    num_classes, traces = len(run.record.spec.data.class_names), run.traces()
    labels = arrays.classes(traces, "test_labels", num_classes, None).astype(np.int64)
    logits = arrays.logits(traces, "test_logits", len(labels), num_classes)
    values = {}
    for name in names:
        function = METRICS.get(name).on_demand
        assert function is not None
        if (of_images := function(logits, labels)) is not None:
            values[name] = of_images.astype(np.float32)
    return values


def _computed(entry: Entry[Metric], logits: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    function, whose = entry.value.of_logits, METRICS.describe(entry)
    assert function is not None
    with METRICS.guarded(entry):
        returned = np.asarray(function(logits.copy(), labels.copy()))
    if returned.dtype.kind not in "fiub" or returned.shape not in ((), (len(labels),)):
        raise UserError(
            f"{whose}: returned an array of shape {returned.shape} of {returned.dtype}. Expected a number, or an "
            f"array of {len(labels)} numbers, one for each test image"
        )
    values = returned.astype(np.float64)
    low, high = entry.value.limits
    wrong = ~((values >= low) & (values <= high) & np.isfinite(values))
    if wrong.any():
        example = float(values[wrong].flat[0])
        raise UserError(
            f"{whose}: returned {example:g} for {np.count_nonzero(wrong)} of {values.size} values. Expected finite "
            f"numbers from {low:g} to {high:g}, since its unit is {entry.value.unit}"
        )
    return values


def _by_image(run: RunSummary, name: str) -> NDArray[np.float64] | None:
    """Return the value of each image; a number is the value of every image, so it varies between seeds only."""
    values = run.of_logits.get(name)
    return None if values is None else np.broadcast_to(values, len(run.test_labels))
