"""A run as an engine gets it, and its execution in a process of its own.

Death, signal and time-out of that process become failure records. A cancelled run leaves no record.
"""

import signal
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from intelbench.errors import HostError, UserError
from intelbench.orchestration.job import NOT_STORED, REFUSED, STARTING, STOPPED, Job, Progress
from intelbench.orchestration.process import OverrunError, Starter, command_of
from intelbench.orchestration.shared import Profiles, ProgressReader, progress_file
from intelbench.orchestration.study import StudyFile
from intelbench.orchestration.team import Team
from intelbench.records.locks import Lock
from intelbench.records.store import write_run
from intelbench.records.types import Failure, FailureCause, RunRecord, utc_now

LOOK_SECONDS = 0.1
"""Between two looks at a run that is executed: for progress, limits and its end."""
_STOP_SECONDS = 20.0
"""Time in which a cancelled run may end its training step and save a checkpoint."""
_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


@dataclass(kw_only=True)
class Unit:
    """A run to execute: by `command`, on this host or another one, or by `isolate`, in a process of this one."""

    job: Job
    study: StudyFile
    starter: Starter
    profiles: Profiles
    lock: Lock
    """The run's lock, which the run's process is to hold too."""
    resources: ExitStack
    """Releases the lock; nothing after `command`."""
    on_progress: Callable[[Progress], None]
    last: Progress = STARTING
    ending: str = "ended without a record"
    """What the engine knows of the end of a run that has left no record, such as the state of its job."""
    is_cancelled: bool = False
    """Whether somebody else has cancelled the run, so that the engine does not start it again."""
    is_out_of_memory: bool = False
    """Whether the engine knows that the run needs more memory than it was given, so that it fails as by itself."""
    resumes_after: int = 0
    """Step of the checkpoint from which the run was started; 0 without one."""
    started: float = field(default_factory=time.monotonic)
    handle: Any = None
    """What the engine has returned for the run."""
    _started_at: str = field(default_factory=utc_now)
    _worker: ProgressReader | None = None
    _process: Team | None = None

    @property
    def num_gpus(self) -> int:
        """Return how many GPUs the run uses."""
        execution = self.job.spec.execution
        return execution.gpus if execution.device == "cuda" else 0

    @property
    def num_cpus(self) -> int:
        """Return how many CPUs the run can use."""
        execution = self.job.spec.execution
        return execution.gpus * (execution.threads + execution.workers)

    def command(self) -> list[str]:
        """Write the study, if it is not written, and return the command of a worker that executes the run.

        The worker locks the run, holds it to its limits and leaves its record, also of a failure. It needs the folders
        of this process and an equal installation; what it prints is for a file. On SIGTERM and SIGUSR2, by which
        schedulers end a job, it saves a checkpoint, leaves no record, and exits with status 75: the same command
        resumes the run.
        """
        self.release()  # the worker takes the lock
        self._worker = ProgressReader(progress_file(self.study.folder, self.job.run_id))
        arguments = "work", str(self.study.path), "--run", self.job.run_id
        return command_of("intelbench.launch", *arguments)

    def release(self) -> None:
        """Release the lock of the run, if that has not been done."""
        self.resources.close()
        self.job = msgspec.structs.replace(self.job, claim=b"")

    def relay(self) -> None:
        """Report the progress that a worker has written since the last call."""
        for progress in self._worker.read() if self._worker else ():
            self.report(progress)

    def ask_to_stop(self) -> None:
        """Ask the process of `isolate`, if it runs, to save a checkpoint and end; do not wait for that."""
        if self._process:
            self._process.ask_to_stop()

    def report(self, progress: Progress) -> None:
        """Note the progress, and pass it on."""
        self.last = progress
        self.on_progress(progress)

    def fail(self, cause: FailureCause, message: str, details: str = "") -> RunRecord:
        """Write and return the record of a run that could not write its own."""
        job, last = self.job, self.last
        step = last.step if last.phase == "training" else None
        failure = Failure(cause=cause, message=f"{message} while {last.phase}", step=step, details=details)
        record = job.failed(failure, job.environment, self._started_at)
        write_run(job.workspace.runs, record, {}, job.claim)
        return record

    def profiled(self) -> Job:
        """Profile the network, if no other run has done that; return the job with the profile."""
        self.job = self.profiles.add_to(self.job, lambda: self.report(Progress(phase="profiling")))
        checkpoint = self.job.workspace.checkpoint()
        note = f"resumes after step {checkpoint.step}" if checkpoint else None
        self.report(Progress(phase="starting", note=note))
        return self.job

    def isolate(self) -> Generator[bool, None, None]:
        """Execute the run in a process of its own, and yield `False` until it has left a record, or lost its lease.

        Its network is profiled first, if no other run has done that. The process ends with the generator; closing that
        earlier cancels the run, which then saves a checkpoint.

        Raises:
            UserError: the run has ended and its record could not be written; its checkpoint, if there is one, remains.
            HostError: this host is of another kind than the one for which the run was planned.
        """
        job = self.profiled()
        oom_kills, overrun = _oom_kills(), None
        with Team(job, self.starter, self.lock.inheritable) as process:
            self._process = process
            try:
                while not self.lock.is_lost() and (news := process.read()) is not None:
                    for progress in news:
                        self.report(progress)
                    yield False
            except OverrunError as error:
                overrun = error.cause, str(error)
            except BaseException:  # the generator is closed, or Ctrl-C or a signal came while it looked
                process.stop(_STOP_SECONDS)
                raise
        if self.lock.is_lost() or process.returncode == STOPPED:
            self.report(Progress(phase="stopped", note="another host has taken over the run"))
            return
        if process.returncode == REFUSED:
            raise HostError(process.last_words.rpartition("\n")[2])
        if process.returncode == NOT_STORED:
            raise UserError(
                f"a record cannot be written: {process.last_words}; repair that, and give the same command again"
            )
        if job.record() is None:  # a record appears complete, so what happened afterwards does not matter
            cause, message = overrun or _explain(process, _oom_kills() > oom_kills)
            self.fail(cause, message, process.last_words)


def _explain(process: Team, oom_killed: bool) -> tuple[FailureCause, str]:
    """Return why the process of a run, or the first of several, has ended without a record."""
    if process.failure:
        return process.failure.cause, f"{process.title}: {process.failure.message}"
    if process.returncode == -signal.SIGKILL and oom_killed:
        return "out_of_memory", f"the kernel killed {process.title} because memory was full"
    if process.returncode < 0:
        return "killed", f"{process.title} was killed by {signal.Signals(-process.returncode).name}"
    return "error", f"{process.title} exited with status {process.returncode}"


def _oom_kills() -> int:
    """Return how often the kernel has killed a process of this control group because memory was full."""
    try:
        events = dict(line.split() for line in _CGROUP_EVENTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(events.get("oom_kill", 0))
