"""Arrays are reduced to what they say; damaged ones are the user's to mend."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.errors import UserError
from intelbench.records.store import read_with_traces, write_run
from intelbench.records.types import Measurements, RunRecord
from intelbench.results.metrics import METRICS
from intelbench.results.runs import observe
from tests.reporting.rendered import build
from tests.synthetic import Study, synthetic_run


@pytest.mark.parametrize(
    "damage",
    [
        lambda traces: traces.pop("step_loss"),
        lambda traces: traces.update(test_logits=np.zeros((2, 2))),
        lambda traces: traces.update(test_labels=traces["test_labels"] + 99),
        lambda traces: traces.update(validation_labels=np.zeros(7)),
    ],
)
def test_traces_that_break_their_promise_are_refused(tmp_path: Path, damage: object) -> None:
    """A missing array, a wrong shape or an impossible class is an error that names the file."""
    record, traces = synthetic_run("a", 0, Study())
    damage(traces)
    path = write_run(tmp_path, record, traces)
    with pytest.raises(UserError, match=r"traces\.npz"):
        observe(*read_with_traces(path))


def test_observed_numbers_are_those_of_the_arrays(tmp_path: Path) -> None:
    """Accuracy, confusion and timing come straight from the arrays; warm-up steps are left out of timing only."""
    record, traces = synthetic_run("a", 0, Study())
    run = observe(*read_with_traces(write_run(tmp_path, record, traces)))
    right = traces["test_logits"].argmax(axis=1) == traces["test_labels"]
    assert right.mean() == run.test_accuracy
    assert right.sum() == run.confusion.trace()
    assert traces["step_seconds"][3:].tolist() == run.warm_step_seconds.tolist()
    assert len(traces["step_loss"]) == len(run.step_loss)
    assert run.evaluation_accuracy[-1] == METRICS.get("validation_accuracy").value(run)


def test_steps_after_a_resumption_warm_up_again(tmp_path: Path) -> None:
    """They stay in the traces and are left out of timing."""
    record, traces = synthetic_run("a", 0, Study())
    assert record.measurements is not None
    measurements = msgspec.structs.replace(record.measurements, resumed_after=(10,))
    run = observe(*read_with_traces(write_run(tmp_path, replace(record, measurements), traces)))
    expected = np.concatenate([traces["step_seconds"][3:10], traces["step_seconds"][13:]])
    assert expected.tolist() == run.warm_step_seconds.tolist()
    assert len(traces["step_seconds"]) == len(run.step_seconds)


def test_the_validation_accuracy_is_that_of_the_weights_that_were_kept(tmp_path: Path) -> None:
    """Over all images and of each; a step without an evaluation is refused."""
    record, traces = synthetic_run("a", 0, Study())
    assert record.measurements is not None
    first = int(traces["evaluation_step"][0])
    kept = replace(record, msgspec.structs.replace(record.measurements, kept_step=first))
    run = observe(*read_with_traces(write_run(tmp_path / "kept", kept, traces)))
    right = traces["validation_predictions"][0] == traces["validation_labels"]
    assert right.mean() == METRICS.get("validation_accuracy").value(run) != run.evaluation_accuracy[-1]
    assert run.images.kept_right is not None
    assert right.tolist() == run.images.kept_right.tolist()
    wrong = replace(record, msgspec.structs.replace(record.measurements, kept_step=first + 1))
    with pytest.raises(UserError, match="evaluation_step does not have kept_step"):
        observe(*read_with_traces(write_run(tmp_path / "wrong", wrong, traces)))


@pytest.mark.parametrize("field", ["suspended_seconds", "clock_shift_seconds"])
def test_a_run_whose_clock_was_disturbed_tells_no_speed(tmp_path: Path, field: str) -> None:
    """It is flagged, in no average of times, and its accuracy counts; a report of nothing else is written too."""
    for seed in (0, 1):
        record, traces = synthetic_run("a", seed, Study())
        assert record.measurements is not None
        assert record.measurements.contention is not None
        contention = msgspec.structs.replace(record.measurements.contention, **{field: 1.5})
        disturbed = msgspec.structs.replace(record.measurements, contention=contention)
        path = write_run(tmp_path, replace(record, disturbed), traces)
        run = observe(*read_with_traces(path))
        assert [] == run.warm_step_seconds.tolist()
        assert run.median_step_seconds is None
        assert run.test_accuracy is not None
        other, traces = synthetic_run("b", seed, Study())
        write_run(tmp_path, other, traces)
    text = build(tmp_path, full=True).text
    assert "2 of 4 runs were disturbed** by a machine that slept, or a clock that was set" in text
    assert "are left out of every table of speed" in text


def replace(record: RunRecord, measurements: Measurements) -> RunRecord:
    """The record with other measurements."""
    return msgspec.structs.replace(record, measurements=measurements)
