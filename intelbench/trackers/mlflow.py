"""Runs in MLflow: an experiment for each suite, parameters, curves, metrics, failures and files."""

import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from intelbench.errors import UserError, shortened
from intelbench.trackers.packages import require
from intelbench.trackers.tracker import Outcome, Place, Point, Status, TrackedRun

_RUN_ID = "intelbench.run_id"
"""Tag by which a run is found again: a name in MLflow can be changed by its users."""
_MAX_CHARACTERS = 500
"""Length of the value of a parameter that every store accepts."""
_MAX_PARAMETERS = 100
_MAX_METRICS = 1000
"""Most parameters and metrics that a server takes at once."""
_CONNECT_SECONDS = 10.0
_STATUS: Mapping[Status, str] = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MlflowTracker:
    """Writes to the tracking server or store that was given, else to MLflow's own setting (`MLFLOW_TRACKING_URI`)."""

    keeps_files = True

    def __init__(self, place: Place) -> None:
        self._mlflow, self._entities, self._exceptions = require(
            "mlflow.tracking.client", "mlflow.entities", "mlflow.exceptions", extra="mlflow"
        )
        self._given = place.given
        self._client: Any = None
        self._experiments: dict[str, str] = {}

    def connect(self) -> None:
        """Find out at once whether there is a server: MLflow alone tries for minutes. A local store is made.

        Raises:
            UserError: the server cannot be reached.
        """
        uri = self._given or self._mlflow.utils.get_tracking_uri()
        address = urlsplit(uri)
        if address.scheme in ("http", "https") and address.hostname:
            port = address.port or (443 if address.scheme == "https" else 80)
            try:
                socket.create_connection((address.hostname, port), _CONNECT_SECONDS).close()
            except OSError as error:
                raise UserError(
                    f"MLflow's server {address.hostname}:{port}: cannot be reached ({error}). Expected a tracking "
                    "server, or a local store such as sqlite:///mlflow.db. Try another MLFLOW_TRACKING_URI"
                ) from error
        self._client = self._mlflow.MlflowClient(uri)

    def start(self, run: TrackedRun) -> "_MlflowRun":
        """Start a run in place of that of its name, or continue that."""
        experiment = self._experiment(run.suite)
        known = self._client.search_runs([experiment], f"tags.`{_RUN_ID}` = '{run.run_id}'")
        if known and run.after_step:
            mlflow_id = known[0].info.run_id
            self._client.update_run(mlflow_id, status="RUNNING")
            return _MlflowRun(self._client, self._entities, mlflow_id, run)
        for earlier in known:
            self._client.delete_run(earlier.info.run_id)
        made = self._client.create_run(
            experiment,
            start_time=None if run.started_at is None else round(1000 * run.started_at),
            run_name=run.run_id,
            tags={_RUN_ID: run.run_id, "mlflow.source.name": "intelbench", "architecture": run.architecture},
        )
        parameters = [
            self._entities.Param(key, shortened(str(value), _MAX_CHARACTERS)) for key, value in run.parameters.items()
        ]
        for start in range(0, len(parameters), _MAX_PARAMETERS):
            self._client.log_batch(made.info.run_id, params=parameters[start : start + _MAX_PARAMETERS])
        return _MlflowRun(self._client, self._entities, made.info.run_id, run)

    def _experiment(self, name: str) -> str:
        """Return the id of the experiment of a suite, which is made if there is none."""
        if name not in self._experiments:
            known = self._client.get_experiment_by_name(name)
            try:
                self._experiments[name] = known.experiment_id if known else self._client.create_experiment(name)
            except self._exceptions.MlflowException:
                known = self._client.get_experiment_by_name(name)
                if not known:
                    raise
                self._experiments[name] = known.experiment_id  # another session has just made it
        return self._experiments[name]


class _MlflowRun:
    """A run in MLflow."""

    def __init__(self, client: Any, entities: Any, mlflow_id: str, run: TrackedRun) -> None:
        self._client = client
        self._entities = entities
        self._id = mlflow_id
        self._started_at = run.started_at

    def add(self, points: Sequence[Point]) -> None:
        """Add points to curves."""
        now = round(1000 * time.time())
        metrics = [
            self._entities.Metric(name, value, now, point.step)
            for point in points
            for name, value in point.values.items()
        ]
        for start in range(0, len(metrics), _MAX_METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + _MAX_METRICS])

    def end(self, outcome: Outcome) -> None:
        """Add metrics and files, why the run has failed, and its status."""
        if outcome.metrics:
            self.add([Point(outcome.step, outcome.metrics)])
        if outcome.message:
            self._client.set_tag(self._id, "mlflow.note.content", outcome.message)
        if outcome.files:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in outcome.files.items():
                    path = Path(folder, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                self._client.log_artifacts(self._id, folder)
        ended = None
        if self._started_at is not None:
            ended = round(1000 * (self._started_at + (outcome.seconds or 0.0)))
        self._client.set_terminated(self._id, _STATUS[outcome.status], ended)
