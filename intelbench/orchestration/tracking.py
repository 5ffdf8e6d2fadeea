"""Listeners that send runs to experiment trackers while they are executed.

A tracker works in a thread of this process, next to the processes of runs: one that is slow, hangs or fails does not
hold up the session, and the clocks of runs do not include it.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from intelbench.errors import UserError, printable
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.listeners import RunListener
from intelbench.plugins.guard import failed_with
from intelbench.records.types import RunRecord, RunSpec
from intelbench.trackers.contents import recorded, started
from intelbench.trackers.tracker import Outcome, Point, RunLog, Tracker

_POINT_SECONDS = 1.0
"""Between two points of the progress of a run."""
_SEND_SECONDS = 10.0
"""Between two times that points are sent. A local store takes processor time, of which a run on the CPU has need."""
_MOST_POINTS = 500
"""Of a curve that is sent when a run has ended, while the next one begins; `intelbench publish` sends all."""
_CONNECT_SECONDS = 30.0
"""For which the first run waits, so that a tracker's imports do not take processor time from it."""
_CLOSE_SECONDS = 60.0
"""For which the session waits at its end for what is not sent yet."""


class Background:
    """Calls functions in their order in a thread of its own, which does not keep the program alive.

    After the first error no further function is called.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._calls: queue.SimpleQueue[Callable[[], None] | threading.Event] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="intelbench tracker", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function after all earlier ones."""
        self._calls.put(function)

    def settle(self, seconds: float) -> bool:
        """Wait until all functions have been called, at most for that time; return whether they have."""
        done = threading.Event()
        self._calls.put(done)
        return done.wait(seconds)

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            if isinstance(call, threading.Event):
                call.set()
            elif self.error is None:
                try:
                    call()
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a tracker never fails a run
                    self.error = error


@dataclass
class _Followed:
    """What has been sent of a run that is being executed; only the thread uses it, except for `points`."""

    points: list[Point] = field(default_factory=list)
    """Points that are not sent yet."""
    last_point: float = 0.0
    last_sent: float = 0.0
    log: RunLog = field(init=False)
    """Of the tracker, which starts the run before anything else is sent of it."""


class Tracking(RunListener):
    """Sends runs to a tracker: parameters at their start, progress, and at their end what their records hold."""

    def __init__(self, name: str, tracker: Tracker, jobs: Sequence[Job], report: Callable[[str], None]) -> None:
        self._name = name
        self._tracker = tracker
        self._jobs = jobs
        self._report = report
        self._background: Background | None = None
        self._followed: dict[int, _Followed] = {}
        self._has_failed = False

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Connect, and wait for that for a while; nothing is sent of runs that are recorded already."""
        if any(pending):
            self._background = Background()
            self._background.call(self._tracker.connect)
            self._background.settle(_CONNECT_SECONDS)
            self._check()

    def run_started(self, index: int) -> None:
        """Start the run, or continue the tracker's one if there is a checkpoint."""
        if index in self._followed:  # it was left to another process, which has given up
            return
        job = self._jobs[index]
        checkpoint = job.workspace.checkpoint()
        run = started(job.run_id, job.spec, job.environment, checkpoint.step if checkpoint else 0)
        followed = self._followed[index] = _Followed()

        def start() -> None:
            followed.log = self._tracker.start(run)

        self._call(start)

    def run_updated(self, index: int, progress: Progress) -> None:
        """Keep the progress of training once a second, and send it every ten."""
        followed = self._followed.get(index)
        if followed is None or progress.phase != "training" or progress.loss is None:
            return
        now = time.monotonic()
        if now - followed.last_point >= _POINT_SECONDS:
            followed.last_point = now
            followed.points.append(_point(progress))
        if now - followed.last_sent >= _SEND_SECONDS:
            followed.last_sent = now
            self._send(followed)

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """End a run that another process has recorded after it was started here."""
        self.run_ended(index, record, 0.0)

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Send the curves and the outcome of the record."""
        followed = self._followed.pop(index, None)
        if followed is not None:
            self._send(followed)
            self._call(partial(self._end, followed, Path(self._jobs[index].workspace.target)))

    def session_ended(self) -> None:
        """End what was interrupted, and wait for a while until all is sent."""
        for followed in self._followed.values():
            self._send(followed)
            self._call(partial(self._interrupt, followed))
        self._followed.clear()
        if self._background and not self._background.settle(_CLOSE_SECONDS):
            self._fail(f"not everything is sent after {_CLOSE_SECONDS:.0f} s")
        self._check()

    def _send(self, followed: _Followed) -> None:
        points, followed.points = followed.points, []
        if points:
            self._call(lambda: followed.log.add(points))

    def _interrupt(self, followed: _Followed) -> None:
        followed.log.end(Outcome(status="interrupted"))

    def _end(self, followed: _Followed, record: Path) -> None:
        content = recorded(record, most_points=_MOST_POINTS)
        followed.log.add(content.points)
        followed.log.end(content.outcome)

    def _call(self, function: Callable[[], None]) -> None:
        if self._background and not self._has_failed:
            self._background.call(function)
        self._check()

    def _check(self) -> None:
        """Report the first error of the tracker; in this thread, since the display redraws what others write."""
        error = self._background.error if self._background else None
        if error is not None:
            self._fail(str(error) if isinstance(error, UserError) else failed_with(error, ""))

    def _fail(self, said: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            folder = self._jobs[0].workspace.runs.parent
            self._report(
                f"tracker {self._name!r}: {printable(said)}. The session continues without it. "
                f"`intelbench publish {folder} --to {self._name}` sends the runs later"
            )


def _point(progress: Progress) -> Point:
    """Return the progress of a run as a point; names differ from those of its curves, which are of single steps."""
    values = {
        "progress/loss": progress.loss,
        "progress/validation_accuracy": progress.validation_accuracy,
        "progress/images_per_second": progress.images_per_second,
    }
    return Point(progress.step, {name: value for name, value in values.items() if value is not None})
