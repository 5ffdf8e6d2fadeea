"""The process of one run: a job goes in, signs of life come out, and a record directory is there at the end.

Started by `isolate`; nobody else calls it.
"""

import sys
import time
from pathlib import Path

from intelbench.orchestration.execute import execute
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.plugin_files import load_plugins
from intelbench.orchestration.process import take_request
from intelbench.plugins.guard import preserve_process_state
from intelbench.records.store import write_run
from intelbench.records.workspace import Workspace

_UPDATE_SECONDS = 0.5
"""Shortest time between two updates of one phase: the parent must have nothing to do while this process measures."""
NOT_STORED = 74
"""Exit status of a run that is over but could not be written down (EX_IOERR of sysexits.h)."""


def main() -> None:
    """Execute the job."""
    job, answer = take_request(Job)
    last: tuple[str, str | None, float] = ("", None, 0.0)

    def on_progress(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if (progress.phase, progress.note) != last[:2] or now - last[2] >= _UPDATE_SECONDS:
            last = (progress.phase, progress.note, now)
            answer(progress)

    load_plugins(job.plugins, job.spec.seed)
    with preserve_process_state():
        record, traces = execute(job, on_progress)
    try:
        write_run(Path(job.runs), record, traces)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NOT_STORED)
    if record.failure is None or record.failure.cause == "diverged":  # else it may go on once the cause is gone
        Workspace(Path(job.runs), job.run_id).discard_checkpoint()
