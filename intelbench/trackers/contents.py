"""What trackers are told of a run: its parameters, its curves and its outcome, from its spec or its record."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from intelbench.records.identity import facts
from intelbench.records.store import Traces, read_with_traces
from intelbench.records.types import Environment, RunSpec
from intelbench.results.columns import attributes
from intelbench.results.metrics import METRICS
from intelbench.results.plugin_metrics import with_plugin_values
from intelbench.results.runs import RunSummary, observe
from intelbench.trackers.tracker import Outcome, Point, TrackedRun, Value

_STEP_CURVES = {"loss": "step_loss", "learning_rate": "learning_rate", "gradient_norm": "gradient_norm"}
"""Curves of training steps, by the arrays of records that they show."""
_OF_CURVES = ("validation_accuracy",)
"""Metrics that are the last point of a curve of the same name, unless the weights of an earlier point were kept."""


class Recorded(NamedTuple):
    """A run as its record has it."""

    run: TrackedRun
    points: Sequence[Point]
    outcome: Outcome


def started(run_id: str, spec: RunSpec, environment: Environment, after_step: int = 0) -> TrackedRun:
    """Return a run that starts now."""
    return TrackedRun(
        run_id=run_id,
        suite=spec.suite,
        architecture=spec.architecture,
        parameters=parameters(spec, environment),
        after_step=after_step,
    )


def parameters(spec: RunSpec, environment: Environment) -> dict[str, Value]:
    """Return what determines the result of a run, by dotted key; a list or an absent value is a text."""
    weights = {} if spec.weights is None else {"weights.file": spec.weights.file, "weights.sha256": spec.weights.sha256}
    known = {
        **attributes(spec, "architecture", "provider", "seed", "suite"),
        **facts(spec, environment),
        **weights,
    }
    return {key: value if isinstance(value, Value) else str(value) for key, value in known.items() if value is not None}


def recorded(path: Path, *, most_points: int | None = None) -> Recorded:
    """Read the record in a folder.

    Args:
        path: Folder of the record.
        most_points: Points of a curve; one with more steps is thinned evenly. `None` for all.

    Raises:
        UserError: the record cannot be read, or a metric of a plug-in fails.
    """
    stored, traces = read_with_traces(path)
    record = stored.record
    started_at = datetime.fromisoformat(record.started_at).timestamp()
    run = replace(started(record.run_id, record.spec, record.environment), started_at=started_at)
    if failure := record.failure:
        message = f"{failure.cause}: {failure.message}"
        return Recorded(run, (), Outcome(status="failed", message=message, step=failure.step or 0))
    assert record.measurements is not None
    summary = with_plugin_values(observe(stored, traces), traces)
    on_curves = _OF_CURVES if summary.images.kept_point in (-1, len(summary.evaluation_step) - 1) else ()
    outcome = Outcome(
        status="finished",
        step=record.measurements.num_steps,
        metrics={name: value for name, value in metrics(summary).items() if name not in on_curves},
        seconds=record.measurements.total_seconds,
    )
    return Recorded(run, curves(summary, traces, most_points), outcome)


def metrics(run: RunSummary) -> dict[str, float]:
    """Return the value of every metric that a run has, by the names of the one list of metrics."""
    values = {name: entry.value.value(run) for name, entry in METRICS.entries.items()}
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def curves(run: RunSummary, traces: Traces, most_points: int | None = None) -> list[Point]:
    """Return the curves of a finished run: values after training steps, and after evaluations, by rising step."""
    num_steps = len(run.step_loss)
    kept = np.arange(num_steps)
    if most_points is not None and num_steps > most_points:
        kept = np.unique(np.linspace(0, num_steps - 1, most_points).round().astype(int))
    values: dict[int, dict[str, float]] = {}
    for name, array in _STEP_CURVES.items():
        if array in traces:
            _add(values, name, kept + 1, np.asarray(traces[array], dtype=np.float64)[kept])
    _add(values, "validation_accuracy", run.evaluation_step, run.evaluation_accuracy)
    if "validation_loss" in traces:
        _add(values, "validation_loss", run.evaluation_step, np.asarray(traces["validation_loss"], dtype=np.float64))
    return [Point(step, values[step]) for step in sorted(values) if values[step]]


def _add(values: dict[int, dict[str, float]], name: str, steps: NDArray[Any], numbers: NDArray[Any]) -> None:
    """Add a curve, without what is not finite."""
    for step, number in zip(steps.tolist(), numbers.tolist(), strict=False):
        if math.isfinite(number):
            values.setdefault(int(step), {})[name] = number
