"""What trackers are told of a run is what its record has."""

from pathlib import Path

import msgspec
import numpy as np

from intelbench.api.results import load
from intelbench.records.store import record_folders, write_run
from intelbench.results.metrics import METRICS
from intelbench.trackers.contents import recorded
from tests.synthetic import Study, synthetic_run


def test_a_finished_run(results: Path) -> None:
    """Curves are the arrays of its traces, metrics have the names and values of the one list."""
    first = record_folders(results / "runs")[0]
    run, points, outcome = recorded(first)
    summary = load(results).study.cohorts[0].runs[0]
    assert (first.name, "quick", "resnet101") == (run.run_id, run.suite, run.architecture)
    curve = {point.step: point.values["loss"] for point in points if "loss" in point.values}
    assert dict(zip(range(1, 61), summary.step_loss.tolist(), strict=True)) == curve
    accuracy = [point.values["validation_accuracy"] for point in points if "validation_accuracy" in point.values]
    assert summary.evaluation_accuracy.tolist() == accuracy
    assert {"learning_rate", "gradient_norm", "validation_loss"} <= {name for point in points for name in point.values}
    assert ("finished", 60, summary.test_accuracy) == (outcome.status, outcome.step, outcome.metrics["test_accuracy"])
    assert outcome.metrics.keys() < METRICS.entries.keys()
    assert "validation_accuracy" not in outcome.metrics, "it is the last point of its curve"
    assert summary.measurements.total_seconds == outcome.seconds


def test_the_validation_accuracy_of_kept_weights_is_a_metric(tmp_path: Path) -> None:
    """It is that of the report, which is not the last point of the curve."""
    record, traces = synthetic_run("a", 0, Study())
    assert record.measurements is not None
    first, *_, last = traces["evaluation_step"].tolist()
    for kept_step, expected in ((first, True), (last, False)):
        measured = msgspec.structs.replace(record.measurements, kept_step=kept_step)
        path = write_run(tmp_path / str(kept_step), msgspec.structs.replace(record, measurements=measured), traces)
        _, points, outcome = recorded(path)
        (row,) = load(path.parent).runs().to_dict("records")
        shown = outcome.metrics.get("validation_accuracy", points[-1].values["validation_accuracy"])
        assert row["validation_accuracy"] == shown
        assert expected == ("validation_accuracy" in outcome.metrics)


def test_parameters_determine_the_run(results: Path) -> None:
    """Architecture, seed, suite, conditions, data digest and environment, each one plain value."""
    run, _, _ = recorded(record_folders(results / "runs")[1])
    known = run.parameters
    assert ("resnet101", 1, "quick") == (known["architecture"], known["seed"], known["suite"])
    assert 60 == known["conditions.budget.steps"]
    assert load(results).study.cohorts[0].data.digest == known["data.digest"]
    assert "2.11.0" == known["environment.torch"]
    assert all(isinstance(value, str | int | float | bool) for value in known.values())


def test_a_failed_run(results: Path) -> None:
    """It has a cause, the step, and no curve."""
    _, points, outcome = recorded(record_folders(results / "runs")[3])
    assert () == points
    assert ("failed", 2) == (outcome.status, outcome.step)
    assert "diverged: the training loss of step 3: not finite" == outcome.message


def test_long_curves_are_thinned_evenly(results: Path) -> None:
    """The first and the last step stay, and so does every evaluation."""
    path = record_folders(results / "runs")[0]
    thinned = recorded(path, most_points=10).points
    steps = [point.step for point in thinned if "loss" in point.values]
    assert (10, 1, 60) == (len(steps), steps[0], steps[-1])
    assert set(np.diff(steps)) <= {6, 7}
    evaluations = [point.step for point in recorded(path).points if "validation_accuracy" in point.values]
    assert evaluations == [point.step for point in thinned if "validation_accuracy" in point.values]
