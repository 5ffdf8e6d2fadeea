"""Runs as event files, which TensorBoard's own reader reads."""

from pathlib import Path
from typing import Any

import pytest

from intelbench.api.results import load
from intelbench.trackers.tensorboard import TensorboardTracker
from intelbench.trackers.tracker import Outcome, Place, Point, TrackedRun

PARAMETERS = {"seed": 0, "flip": True}
RUN = TrackedRun(run_id="resnet101-s0-abc", suite="mine", architecture="resnet101", parameters=PARAMETERS)


def read(folder: Path) -> Any:
    """TensorBoard's view of the event files in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def session(events: Any, tag: str) -> Any:
    """The message of the plug-in for hyperparameters under a tag."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return getattr(HParamsPluginData.FromString(content), tag)


def test_publish(results: Path, tmp_path: Path) -> None:
    """A folder for each record in one of its suite, with curves, metrics, hyperparameters and status."""
    loaded = load(results)
    for _ in range(2):
        assert 4 == loaded.publish("tensorboard", tmp_path)
    summary = loaded.study.cohorts[0]
    folders = sorted((tmp_path / "quick").iterdir())
    assert sorted(run.record.run_id for run in summary.cohort.runs) == [folder.name for folder in folders]
    assert [1] * 4 == [len(list(folder.iterdir())) for folder in folders]
    first = summary.runs[0]
    events = read(tmp_path / "quick" / first.record.run_id)
    losses = [(event.step, round(event.value, 5)) for event in events.Scalars("loss")]
    assert [(step, round(loss, 5)) for step, loss in enumerate(first.step_loss.tolist(), start=1)] == losses
    assert first.evaluation_step.tolist() == [event.step for event in events.Scalars("validation_accuracy")]
    assert {"learning_rate", "test_accuracy", "step_seconds"} <= set(events.Tags()["scalars"])
    started = session(events, "session_start_info")
    assert ("resnet101", 0.0) == (started.hparams["architecture"].string_value, started.hparams["seed"].number_value)
    assert 1 == session(events, "session_end_info").status
    failed = read(folders[3])
    (text,) = failed.Tensors("failure")[0].tensor_proto.string_val
    assert b"diverged: the training loss of step 3: not finite" == text
    assert 2 == session(failed, "session_end_info").status


def test_two_sessions_remove_an_earlier_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one finds it removed, and starts the run too."""
    tracker = TensorboardTracker(place)
    tracker.connect()
    tracker.start(RUN).end(Outcome(status="interrupted"))
    monkeypatch.setattr(Path, "glob", lambda folder, _: [folder / "events.out.tfevents.removed"])
    tracker.start(RUN).end(Outcome(status="finished"))


def test_a_run_continues_after_a_checkpoint(place: Place) -> None:
    """What was written after the checkpoint is not shown; a run that starts again replaces the file."""
    tracker = TensorboardTracker(place)
    tracker.connect()
    log = tracker.start(RUN)
    log.add([Point(step, {"progress/loss": 2.0}) for step in (1, 2, 3)])
    log.end(Outcome(status="interrupted"))
    resumed = tracker.start(TrackedRun(**{**vars(RUN), "after_step": 2}))
    resumed.add([Point(4, {"progress/loss": 1.0})])
    resumed.end(Outcome(status="finished"))
    folder = place.results / "tensorboard" / "mine" / RUN.run_id
    assert [1, 2, 4] == [event.step for event in read(folder).Scalars("progress/loss")]
    tracker.start(RUN).end(Outcome(status="finished"))
    assert [] == read(folder).Tags()["scalars"]
    assert session(read(folder), "session_start_info").hparams["flip"].bool_value is True
