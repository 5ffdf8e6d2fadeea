"""One process per run. Death, signal and time-out become failure records; an interrupt leaves none."""

import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from intelbench.orchestration.job import Beat, Job
from intelbench.orchestration.lifeline import end_group
from intelbench.profiling.environment import child_environment
from intelbench.records.store import read_run, write_run
from intelbench.records.types import SCHEMA_VERSION, Environment, Failure, FailureCause, RunRecord

_STDERR_KEPT = 4000
_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


def isolate(job: Job, environment: Environment, timeout: float | None, watch: Callable[[Beat], None]) -> RunRecord:
    """Execute the job in a process of its own and return the record that then lies in `job.runs`.

    Args:
        job: What to execute.
        environment: This machine, for the record of a run that cannot write its own.
        timeout: Wall-clock seconds after which the run is ended, start-up included; `None` waits for ever.
        watch: Called with every sign of life.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    oom_kills = _oom_kills()
    last = Beat(phase="starting")
    timed_out = False
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "intelbench.orchestration.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=child_environment(job.spec.execution),
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the whole group
        )
        try:
            _send(process, job)
            for beat in _beats(process, None if timeout is None else time.monotonic() + timeout):
                last = beat
                watch(beat)
            process.wait()
        except TimeoutError:
            timed_out = True
        finally:
            end_group(process)
            for leftover in Path(job.runs).glob(f".{job.run_id}.*"):
                shutil.rmtree(leftover, ignore_errors=True)
        stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _STDERR_KEPT))
        details = stderr.read().decode(errors="replace").strip()
    if process.returncode == 0:
        return read_run(Path(job.runs) / job.run_id).record
    cause, message = _explain(process.returncode, timeout if timed_out else None, _oom_kills() > oom_kills)
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
            details=details,
        ),
    )
    write_run(Path(job.runs), record, {})
    return record


def _explain(returncode: int, timeout: float | None, oom_killed: bool) -> tuple[FailureCause, str]:
    """Why a process ended that left no record."""
    if timeout is not None:
        return "timeout", f"not finished after {timeout:g} s"
    if returncode == -signal.SIGKILL and oom_killed:
        return "out_of_memory", "the kernel ended the process for want of memory"
    if returncode < 0:
        return "killed", f"the process was ended by {signal.Signals(-returncode).name}"
    return "error", f"the process ended with status {returncode}"


def _send(process: subprocess.Popen[bytes], job: Job) -> None:
    """Hand over the job; stdin stays open, because its end tells the process that this one has died."""
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it died before it read: its exit status and stderr say why


def _beats(process: subprocess.Popen[bytes], deadline: float | None) -> Iterator[Beat]:
    """Signs of life until the process closes its stdout.

    Raises:
        TimeoutError: the deadline (monotonic seconds) passed first.
    """
    assert process.stdout is not None
    unread = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not selector.select(remaining):
                raise TimeoutError
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return
            *lines, unread = (unread + chunk).split(b"\n")
            for line in lines:
                yield msgspec.json.decode(line, type=Beat)


def _oom_kills() -> int:
    """How often the kernel has ended a process of this control group for want of memory."""
    try:
        events = dict(line.split() for line in _CGROUP_EVENTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(events.get("oom_kill", 0))
