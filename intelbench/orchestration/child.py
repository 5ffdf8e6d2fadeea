"""The process of one run: it reads a job, reports progress, and leaves a record directory.

Of several processes that execute a run together, that of rank 0 does so. One that fails says why and waits until the
parent ends it: if it ended by itself, the others would fail too, and for no reason of their own.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from intelbench.errors import HostError
from intelbench.orchestration.execute import assist, execute, failure_of
from intelbench.orchestration.host import require_code, require_machine
from intelbench.orchestration.job import NOT_STORED, REFUSED, STOPPED, Job, Progress
from intelbench.orchestration.keeping import not_kept
from intelbench.orchestration.plugin_files import load_plugins_of_run
from intelbench.orchestration.process import take_request
from intelbench.plugins.guard import preserve_process_state
from intelbench.records.kept import publish
from intelbench.records.store import write_run
from intelbench.records.workspace import LostLeaseError
from intelbench.training.checkpoint import StopRequestedError

_UPDATE_SECONDS = 0.5
"""Shortest time between two updates of one phase: the parent should do nothing while this process measures."""


def main() -> None:
    """Execute the job."""
    stop = threading.Event()
    last: tuple[str, str | None, float] = ("", None, 0.0)

    def on_stop() -> bool:
        """Stop after the training step, with a checkpoint; return `False` if there is nothing to save."""
        stop.set()
        return last[0] == "training"

    job, answer = take_request(Job, on_stop)

    def on_progress(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if (progress.phase, progress.note) != last[:2] or now - last[2] >= _UPDATE_SECONDS:
            last = (progress.phase, progress.note, now)
            answer(progress)

    load_plugins_of_run(job.plugins, job.spec.seed_of("init"))
    if job.rank:
        _assist(job, answer)
    try:
        require_machine(job.environment, job.spec.execution)
        if job.plugins:
            require_code(job)
        with preserve_process_state():
            record, traces = execute(job, on_progress, stop)
    except (StopRequestedError, LostLeaseError):
        sys.exit(STOPPED)
    except HostError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(REFUSED)
    if job.spec.execution.gpus > 1 and record.failure and record.failure.cause != "diverged":
        answer(Progress(phase=last[0], failure=record.failure))
        _wait_for_parent()
    try:
        write_run(job.workspace.runs, record, traces, job.claim)
    except LostLeaseError:
        sys.exit(STOPPED)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NOT_STORED)
    try:
        publish(job.workspace.runs, job.run_id)
    except OSError as error:
        on_progress(Progress(phase="keeping weights", note=not_kept(error)))
    if record.failure is None or record.failure.cause == "diverged":  # other failures can be resumed
        job.workspace.discard_checkpoint()


def _assist(job: Job, answer: Callable[[Progress], None]) -> NoReturn:
    """Compute the run together with rank 0, until the parent ends this process."""
    try:
        require_machine(job.environment, job.spec.execution)
        with preserve_process_state():
            assist(job)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - every failure is a result
        answer(Progress(phase="training", failure=failure_of(error, None, job.plugins)))
    _wait_for_parent()


def _wait_for_parent() -> NoReturn:
    while True:
        threading.Event().wait()
