"""Runs as TensorBoard's event files: scalars, and hyperparameters with metrics."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intelbench.trackers.packages import require
from intelbench.trackers.tracker import Outcome, Place, Point, Status, TrackedRun, Value

FOLDER = "tensorboard"
"""Folder in the results folder."""
_STATUS: Mapping[Status, str] = {
    "finished": "STATUS_SUCCESS",
    "failed": "STATUS_FAILURE",
    "interrupted": "STATUS_UNKNOWN",
}


class TensorboardTracker:
    """Writes `SUITE/RUN_ID/events.out.tfevents...` into a folder. It needs neither PyTorch nor TensorFlow."""

    keeps_files = False

    def __init__(self, place: Place) -> None:
        self._modules = require(
            "tensorboard.summary.writer.event_file_writer",
            "tensorboard.compat.proto.event_pb2",
            "tensorboard.compat.proto.summary_pb2",
            "tensorboard.plugins.hparams.summary_v2",
            "tensorboard.plugins.hparams.api_pb2",
            "tensorboard.plugins.hparams.plugin_data_pb2",
            "tensorboard.plugins.hparams.metadata",
            "tensorboard.plugins.text.metadata",
            extra="tensorboard",
        )
        self._folder = Path(place.given) if place.given else place.results / FOLDER

    def connect(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def start(self, run: TrackedRun) -> "_EventFile":
        """Start a run in place of that of its name, or continue that."""
        folder = self._folder / run.suite / run.run_id
        if not run.after_step and folder.is_dir():
            for earlier in folder.glob("events.out.tfevents.*"):
                earlier.unlink(missing_ok=True)  # another session may do so, too
        return _EventFile(self._modules, folder, run)


class _EventFile:
    """An event file of a run."""

    def __init__(self, modules: Sequence[Any], folder: Path, run: TrackedRun) -> None:
        writer, self._event, self._summary, summaries, self._api, self._plugin_data, self._hparams, self._text = modules
        self._writer = writer.EventFileWriter(str(folder))
        self._started_at = run.started_at
        if run.after_step:  # TensorBoard leaves out what an interrupted process has written after the checkpoint
            log = self._event.SessionLog(status=self._event.SessionLog.START)
            self._add(self._event.Event(step=run.after_step + 1, session_log=log))
        else:
            started_at = time.time() if run.started_at is None else run.started_at
            self._write(summaries.hparams_pb(_plain(run.parameters), trial_id=run.run_id, start_time_secs=started_at))

    def add(self, points: Sequence[Point]) -> None:
        """Add points to curves."""
        for point in points:
            values = [self._summary.Summary.Value(tag=name, simple_value=value) for name, value in point.values.items()]
            self._write(self._summary.Summary(value=values), point.step)

    def end(self, outcome: Outcome) -> None:
        """Add metrics, why the run has failed, and its status."""
        if outcome.metrics:
            self.add([Point(outcome.step, outcome.metrics)])
        if outcome.message:
            # A text as TensorBoard's text plug-in reads it: a tensor of one string.
            metadata = self._text.create_summary_metadata(display_name="failure", description="")
            value = self._summary.Summary.Value(tag="failure", metadata=metadata)
            value.tensor.dtype = 7  # DT_STRING
            value.tensor.string_val.append(outcome.message.encode())
            self._write(self._summary.Summary(value=[value]), outcome.step)
        ended = self._plugin_data.HParamsPluginData(
            session_end_info=self._plugin_data.SessionEndInfo(
                status=self._api.Status.Value(_STATUS[outcome.status]),
                end_time_secs=time.time() if self._started_at is None else self._started_at + (outcome.seconds or 0.0),
            )
        )
        value = self._summary.Summary.Value(
            tag=self._hparams.SESSION_END_INFO_TAG,
            metadata=self._hparams.create_summary_metadata(ended),
            tensor=self._hparams.NULL_TENSOR,
        )
        self._write(self._summary.Summary(value=[value]))
        self._writer.close()

    def _write(self, summary: Any, step: int = 0) -> None:
        self._add(self._event.Event(step=step, summary=summary))

    def _add(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)


def _plain(parameters: Mapping[str, Value]) -> dict[str, Value]:
    """Return parameters as TensorBoard shows them: whole numbers as floats, so that a column has one type."""
    return {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in parameters.items()
    }
