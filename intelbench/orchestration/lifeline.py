"""How a parent ends a process of its own with all that it started, and how such a process ends with its parent."""

import os
import signal
import subprocess
import sys
import threading

_GRACE_SECONDS = 3.0
"""Between asking a process group to end and ending it."""


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started: asked first, then forced. It leads a group of its own."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
            process.wait(_GRACE_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def die_with_parent() -> None:
    """End this process, and all that it started, as soon as its stdin ends, whose other end the parent keeps open."""
    threading.Thread(target=_watch_stdin, daemon=True).start()


def _watch_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not through the buffer, whose lock would be held when Python ends
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)
