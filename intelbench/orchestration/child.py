"""The process of one run: it reads a job, reports progress, and leaves a record directory."""

import sys
import threading
import time

from intelbench.errors import HostError
from intelbench.orchestration.execute import execute
from intelbench.orchestration.host import require_machine
from intelbench.orchestration.job import NOT_STORED, REFUSED, STOPPED, Job, Progress
from intelbench.orchestration.keeping import not_kept
from intelbench.orchestration.plugin_files import load_plugins
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

    load_plugins(job.plugins, job.spec.seed_of("init"))
    try:
        require_machine(job.environment, job.spec.execution)
        with preserve_process_state():
            record, traces = execute(job, on_progress, stop)
    except (StopRequestedError, LostLeaseError):
        sys.exit(STOPPED)
    except HostError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(REFUSED)
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
