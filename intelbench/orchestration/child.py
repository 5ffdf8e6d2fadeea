"""The process of one run: a job on stdin, signs of life on stdout, a record directory at the end.

Started by `isolate` as `python -m intelbench.orchestration.child`; nobody else calls it.
"""

import os
import sys
import time
from pathlib import Path

import msgspec

from intelbench.architectures.registry import load_plugin
from intelbench.orchestration.execute import execute
from intelbench.orchestration.job import Beat, Job
from intelbench.orchestration.lifeline import die_with_parent
from intelbench.records.store import write_run

_BEAT_SECONDS = 0.5
"""Shortest time between two beats of one phase: the parent must have nothing to do while this process measures."""


def main() -> None:
    """Execute the job."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    die_with_parent()
    beats = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a plug-in prints is not mistaken for a beat
    last: tuple[str, float] = ("", 0.0)

    def watch(beat: Beat) -> None:
        nonlocal last
        now = time.monotonic()
        if beat.phase != last[0] or now - last[1] >= _BEAT_SECONDS:
            last = (beat.phase, now)
            beats.write(msgspec.json.encode(beat) + b"\n")

    for plugin in job.plugins:
        load_plugin(Path(plugin))
    record, traces = execute(job, watch)
    write_run(Path(job.runs), record, traces)


if __name__ == "__main__":
    main()
