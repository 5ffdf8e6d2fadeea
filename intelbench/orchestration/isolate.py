"""A run as an engine gets it, and its execution in a process of its own.

Death, signal and time-out of that process become failure records. A cancelled run leaves no record.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from intelbench.errors import UserError
from intelbench.orchestration.job import NOT_STORED, STARTING, STOPPED, WAITING, Job, Progress
from intelbench.orchestration.process import FreshPython, OverrunError, Process, Starter, command_of
from intelbench.profiling.variables import process_variables
from intelbench.records.store import read_run, write_run
from intelbench.records.types import SCHEMA_VERSION, Failure, FailureCause, RunRecord

LOOK_SECONDS = 0.1
"""Between two looks at a run that is executed: for progress, limits and its end."""
_JOB, _PROGRESS = "job.json", "progress.jsonl"
"""Files of `Unit.command`."""
_STOP_SECONDS = 20.0
"""Time in which a cancelled run may end its training step and save a checkpoint."""
_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


@dataclass(kw_only=True)
class Unit:
    """A run to execute: by `command`, on this host or another one, or by `isolate`, in a process of this one."""

    job: Job
    starter: Starter
    inherit: Collection[int]
    """Descriptors of the run's lock, which the run's process is to hold too."""
    resources: ExitStack
    """The run's lock; after `command`, its files instead."""
    on_progress: Callable[[Progress], None]
    last: Progress = STARTING
    started: float = field(default_factory=time.monotonic)
    handle: Any = None
    """What the engine has returned for the run."""
    _started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    _file: BinaryIO | None = None
    _unread: bytes = b""

    def command(self) -> list[str]:
        """Write a file in the folder of the records, and return the command that executes the run.

        The command locks the run, holds it to its limits and leaves its record, also of a failure. It needs the folders
        of this process and an equal installation, neither input nor output. On SIGTERM and SIGUSR2, by which schedulers
        end a job, it saves a checkpoint, leaves no record, and exits with status 75: the same command resumes the run.
        """
        self.resources.close()  # the command takes the lock
        scratch = tempfile.TemporaryDirectory(prefix=f".{self.job.run_id}-", dir=self.job.runs)
        folder = Path(self.resources.enter_context(scratch))
        (folder / _JOB).write_bytes(msgspec.json.encode(self.job))
        (folder / _PROGRESS).touch()
        self._file = self.resources.enter_context((folder / _PROGRESS).open("rb"))
        return command_of(__name__, str(folder))

    def relay(self) -> None:
        """Report the progress that the command has written since the last call."""
        if self._file:
            *lines, self._unread = (self._unread + self._file.read()).split(b"\n")
            for line in lines:
                self.report(msgspec.json.decode(line, type=Progress))

    def report(self, progress: Progress) -> None:
        """Note the progress, and pass it on."""
        self.last = progress
        self.on_progress(progress)

    def record(self) -> RunRecord | None:
        """Return the record of the run; `None` until it has left one."""
        target = self.job.workspace.target
        return None if inode(target) in (None, self.job.replaces) else read_run(target).record

    def fail(self, cause: FailureCause, message: str, details: str = "") -> RunRecord:
        """Write and return the record of a run that could not write its own."""
        job, last = self.job, self.last
        record = RunRecord(
            schema_version=SCHEMA_VERSION,
            run_id=job.run_id,
            started_at=self._started_at,
            spec=job.spec,
            environment=job.environment,
            stream_digests={},
            profile=job.profile,
            profile_absent=job.profile_absent,
            look=job.look,
            failure=Failure(
                cause=cause,
                message=f"{message} while {last.phase}",
                step=last.step if last.phase == "training" else None,
                details=details,
            ),
        )
        write_run(job.workspace.runs, record, {})
        return record

    def isolate(self) -> Generator[bool, None, None]:
        """Execute the run in a process of its own, and yield `False` until it has left a record.

        The process ends with the generator; closing that earlier cancels the run, which then saves a checkpoint.

        Raises:
            UserError: the run has ended and its record could not be written; its checkpoint, if there is one, remains.
        """
        oom_kills, overrun = _oom_kills(), None
        child = "intelbench.orchestration.child"
        with Process(child, self.job, self.starter, self.job.limits, self.inherit) as process:
            try:
                while (answers := process.read()) is not None:
                    for answer in answers:
                        self.report(msgspec.json.decode(answer, type=Progress))
                    yield False
            except OverrunError as error:
                overrun = error.cause, str(error)
            except BaseException:  # the generator is closed, or Ctrl-C or a signal came while it looked
                process.stop(_STOP_SECONDS)
                raise
        if process.returncode == NOT_STORED:
            raise UserError(
                f"a record cannot be written: {process.last_words}; repair that, and give the same command again"
            )
        if self.record() is None:  # a record appears complete, so what happened afterwards does not matter
            cause, message = overrun or _explain(process.returncode, _oom_kills() > oom_kills)
            self.fail(cause, message, process.last_words)


def inode(path: Path) -> int | None:
    """Return the inode of a file or folder; `None` if it does not exist."""
    return path.stat().st_ino if path.exists() else None


def _explain(returncode: int, oom_killed: bool) -> tuple[FailureCause, str]:
    """Return why a process without a record has ended."""
    if returncode == -signal.SIGKILL and oom_killed:
        return "out_of_memory", "the kernel killed the process because memory was full"
    if returncode < 0:
        return "killed", f"the process was killed by {signal.Signals(-returncode).name}"
    return "error", f"the process exited with status {returncode}"


def _oom_kills() -> int:
    """Return how often the kernel has killed a process of this control group because memory was full."""
    try:
        events = dict(line.split() for line in _CGROUP_EVENTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(events.get("oom_kill", 0))


def _stop(number: int, _: object) -> None:
    """Stop the run, once, although schedulers repeat their signals."""
    for ending in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(STOPPED)


def main() -> None:
    """Execute the run whose job is in the folder that `Unit.command` has written."""
    for ending in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):  # Ctrl-C in a terminal reaches this process too
        signal.signal(ending, _stop)
    folder = Path(sys.argv[2])
    job = msgspec.json.decode((folder / _JOB).read_bytes(), type=Job)
    starter = FreshPython(process_variables(job.spec.execution.threads))
    with (folder / _PROGRESS).open("ab", buffering=0) as written, ExitStack() as resources:

        def on_progress(progress: Progress) -> None:
            with suppress(OSError):  # on a full disk the run continues without a display
                written.write(msgspec.json.encode(progress) + b"\n")

        lock = resources.enter_context(job.workspace.lock())
        if lock is None:
            on_progress(WAITING)
            return
        unit = Unit(job=job, starter=starter, inherit=lock.inheritable, resources=resources, on_progress=on_progress)
        if unit.record() is None:  # another process may have made it since
            with closing(unit.isolate()) as run:
                for _ in run:
                    time.sleep(LOOK_SECONDS)
