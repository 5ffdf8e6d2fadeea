"""Trackers of a session: what they are told while runs are executed, and that none of them can hurt one."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intelbench.api.execution import execute
from intelbench.errors import UserError
from intelbench.orchestration import tracking
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.tracking import Tracking
from intelbench.records.workspace import Checkpoint, Workspace
from intelbench.trackers.tracker import Outcome, Point, TrackedRun
from tests.command import Command
from tests.orchestration.conftest import Clock
from tests.reading import read_runs
from tests.synthetic import synthetic_runs


class Memory:
    """A tracker that remembers, and fails where it is told to."""

    keeps_files = False

    def __init__(self, fails_at: str = "", waits_for: threading.Event | None = None) -> None:
        self.told: list[Any] = []
        self._fails_at = fails_at
        self._waits_for = waits_for

    def connect(self) -> None:
        """Connect."""
        self._note("connect", "connect")
        if self._waits_for:
            self._waits_for.wait()

    def start(self, run: TrackedRun) -> "Memory":
        """Start a run."""
        self._note("start", (run.run_id, run.after_step))
        return self

    def add(self, points: Sequence[Point]) -> None:
        """Add points."""
        self._note("add", [*points])

    def end(self, outcome: Outcome) -> None:
        """End a run."""
        self._note("end", outcome)

    def _note(self, method: str, told: object) -> None:
        if method == self._fails_at:
            raise ConnectionError("no route to host")
        self.told.append(told)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """The job of a run whose record exists; nothing but its name, spec and environment is used."""
    synthetic_runs(tmp_path / "runs", ["resnet101"], [0])
    record = read_runs(tmp_path / "runs")[0][0].record
    workspace = Workspace(tmp_path / "runs", record.run_id)
    job: Any = SimpleNamespace(
        run_id=record.run_id, spec=record.spec, environment=record.environment, workspace=workspace
    )
    return [job]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that tests set, for the time between points."""
    fake = Clock()
    fake.now = 100.0
    monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=fake))
    return fake


def progress(step: int) -> Progress:
    """Training at a step."""
    return Progress(phase="training", step=step, loss=1 / step, images_per_second=8.0)


def session(tracker: Memory, jobs: Sequence[Job], during: Callable[[Tracking], None]) -> list[str]:
    """Execute one run in a session with a tracker; return what is reported."""
    reports: list[str] = []
    listener = Tracking("mine", tracker, jobs, reports.append)
    listener.session_started([job.spec for job in jobs], [True])
    during(listener)
    listener.session_ended()
    return reports


def test_progress_is_kept_each_second_and_sent_every_ten(jobs: list[Job], clock: Clock) -> None:
    """Then curves and outcome of the record, which the tracker has before the session ends."""

    def during(listener: Tracking) -> None:
        listener.run_started(0)
        listener.run_updated(0, Progress(phase="building"))
        for step in range(1, 45):
            clock.now += 0.5
            listener.run_updated(0, progress(step))
        listener.run_ended(0, read_runs(jobs[0].workspace.runs)[0][0].record, 20.0)

    tracker = Memory()
    assert [] == session(tracker, jobs, during)
    connected, started, *sent, curves, outcome = tracker.told
    assert ("connect", (jobs[0].run_id, 0)) == (connected, started)
    assert [[1], [*range(3, 22, 2)], [*range(23, 42, 2)], [43]] == [[point.step for point in points] for points in sent]
    assert {"progress/loss": 1.0, "progress/images_per_second": 8.0} == sent[0][0].values
    assert 60 == sum("loss" in point.values for point in curves)
    assert ("finished", 60) == (outcome.status, outcome.step)


@pytest.mark.parametrize("fails_at", ["connect", "start", "add", "end"])
def test_a_tracker_that_fails_is_reported_once(jobs: list[Job], fails_at: str) -> None:
    """With the command that sends the runs later; it is told nothing more."""

    def during(listener: Tracking) -> None:
        listener.run_started(0)
        listener.run_updated(0, progress(1))
        listener.run_ended(0, read_runs(jobs[0].workspace.runs)[0][0].record, 20.0)

    tracker = Memory(fails_at)
    (report,) = session(tracker, jobs, during)
    assert report.startswith("tracker 'mine': failed with ConnectionError: no route to host. The session continues")
    assert f"`intelbench publish {jobs[0].workspace.runs.parent} --to mine` sends the runs later" in report
    calls = ["connect", "start", "add", "add", "end"]  # progress, then the curves of the record
    assert calls.index(fails_at) == len(tracker.told)


def test_a_tracker_that_hangs_does_not_hold_up_the_session(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """The session waits for a limited time at its start and at its end."""
    monkeypatch.setattr(tracking, "_CONNECT_SECONDS", 0.01)
    monkeypatch.setattr(tracking, "_CLOSE_SECONDS", 0.01)
    release = threading.Event()
    (report,) = session(Memory(waits_for=release), jobs, lambda listener: listener.run_started(0))
    release.set()
    assert report.startswith("tracker 'mine': not everything is sent after 0 s. The session continues without it")


def test_an_interrupted_run_continues_in_the_tracker(jobs: list[Job]) -> None:
    """From the step of its checkpoint; without one it starts again."""
    tracker = Memory()
    assert [] == session(tracker, jobs, lambda listener: listener.run_started(0))
    assert ["connect", (jobs[0].run_id, 0), Outcome(status="interrupted")] == tracker.told
    workspace = jobs[0].workspace
    workspace.folder.mkdir()
    checkpoint = Checkpoint(step=7, done=0.5, spec=jobs[0].spec, environment=jobs[0].environment)
    workspace.save(checkpoint, lambda file: file.write(b"state"))
    resumed = Memory()
    session(resumed, jobs, lambda listener: listener.run_started(0))
    assert (jobs[0].run_id, 7) == resumed.told[1]


def test_without_a_pending_run_nothing_is_sent(jobs: list[Job]) -> None:
    """Not even a connection is made."""
    tracker = Memory()
    listener = Tracking("mine", tracker, jobs, pytest.fail)
    listener.session_started([jobs[0].spec], [False])
    listener.run_skipped(0, read_runs(jobs[0].workspace.runs)[0][0].record)
    listener.session_ended()
    assert [] == tracker.told


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_track(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """`--track` sends a finished and a failed run to two trackers; the same command again adds none."""
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    arguments = ("run", "tiny", "diverges", "--suite", small_suite, "--data", small_folder, "--plugin", plugin)
    tracked = (*arguments, "--track", "mlflow", "--track", "tensorboard")
    for _ in range(2):
        done = intelbench(*tracked)
        assert 1 == done.returncode, done.stderr
        assert "The session continues" not in done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
    stored = {run.path.name: run for run in read_runs(tmp_path / "results" / "runs")[0]}
    assert stored.keys() == {run.info.run_name for run in runs}
    assert 2 == len(runs)
    assert {"FINISHED", "FAILED"} == {run.info.status for run in runs}
    for run in runs:
        folder = tmp_path / "results" / "tensorboard" / "small" / run.info.run_name
        assert 1 == len(list(folder.iterdir()))
        scalars = EventAccumulator(str(folder)).Reload().Tags()["scalars"]
        if run.info.status == "FINISHED":
            losses = [each.value for each in client.get_metric_history(run.info.run_id, "loss")]
            assert stored[run.info.run_name].traces()["step_loss"].tolist() == losses
            assert {"loss", "test_accuracy", "progress/loss"} <= set(scalars)
        else:
            assert "diverged" in run.data.tags["mlflow.note.content"]
            assert "test_accuracy" not in scalars


def test_a_name_that_is_not_known_is_refused_before_the_start(
    intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path
) -> None:
    """As any mistake in an option; from Python a text is no list."""
    arguments = ("run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin)
    done = intelbench(*arguments, "--track", "mlflo")
    assert 2 == done.returncode
    assert done.stderr.startswith("intelbench: tracker 'mlflo' is not known. Expected one of: mlflow, tensorboard, ")
    assert not (tmp_path / "results").exists()
    with pytest.raises(UserError, match=r"track: 'mlflow' is not accepted\. Expected .*\. Try track=\['mlflow'\]"):
        execute(["tiny"], tmp_path, track="mlflow")  # type: ignore[typeddict-item]


def test_without_track_no_tracker_is_imported() -> None:
    """Neither by the modules of a session nor by a report's."""
    code = (
        "import sys, intelbench.orchestration.session, intelbench.api.results, intelbench.cli.main; "
        "print([name for name in ('mlflow', 'tensorboard', 'wandb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
