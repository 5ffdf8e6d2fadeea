"""One process per run. Death, signal and time-out become failure records; an interrupt leaves none."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from intelbench.errors import UserError
from intelbench.orchestration import child
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.process import Limits, OverrunError, Process, Starter
from intelbench.records.locks import Lock
from intelbench.records.store import read_run, write_run
from intelbench.records.types import SCHEMA_VERSION, Environment, Failure, FailureCause, RunRecord

_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


def isolate(
    job: Job,
    environment: Environment,
    starter: Starter,
    limits: Limits,
    lock: Lock,
    on_progress: Callable[[Progress], None],
) -> RunRecord:
    """Execute the job in a process of its own and return the record that then lies in `job.runs`.

    Args:
        job: What to execute.
        environment: This machine, for the record of a run that cannot write its own.
        starter: Starts the process.
        limits: What the process may take.
        lock: The run's lock, which the process is to hold too.
        on_progress: Called with every sign of life.

    Raises:
        UserError: the run is over and its record could not be written; its checkpoint, if there is one, stands.
    """
    target = Path(job.runs) / job.run_id
    before = _inode(target)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    oom_kills = _oom_kills()
    last = Progress(phase="starting")
    overrun = None
    with Process(child.__name__, job, starter, limits, inherit=lock.inheritable) as process:
        try:
            for answer in process.answers():
                last = msgspec.json.decode(answer, type=Progress)
                on_progress(last)
        except OverrunError as error:
            overrun = error.cause, str(error)
    if process.returncode == child.NOT_STORED:
        raise UserError(f"a record cannot be written: {process.last_words}; mend that, and give the same command again")
    if _inode(target) != before:  # a record appears whole, so what happened afterwards does not matter
        return read_run(target).record
    cause, message = overrun or _explain(process.returncode, _oom_kills() > oom_kills)
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=job.run_id,
        started_at=started_at,
        spec=job.spec,
        environment=environment,
        stream_digests={},
        profile=job.profile,
        profile_absent=job.profile_absent,
        failure=Failure(
            cause=cause,
            message=f"{message} while {last.phase}",
            step=last.step if last.phase == "training" else None,
            details=process.last_words,
        ),
    )
    write_run(Path(job.runs), record, {})
    return record


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _explain(returncode: int, oom_killed: bool) -> tuple[FailureCause, str]:
    """Why a process ended that left no record."""
    if returncode == -signal.SIGKILL and oom_killed:
        return "out_of_memory", "the kernel ended the process for want of memory"
    if returncode < 0:
        return "killed", f"the process was ended by {signal.Signals(-returncode).name}"
    return "error", f"the process ended with status {returncode}"


def _oom_kills() -> int:
    """How often the kernel has ended a process of this control group for want of memory."""
    try:
        events = dict(line.split() for line in _CGROUP_EVENTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(events.get("oom_kill", 0))
