"""A pool of processes that exit with this process, even if it is killed."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from intelbench.errors import UserError
from intelbench.profiling.processors import num_processors

_MAX_PROCESSES = 8
"""More processes take more memory, and this process cannot use their results."""

S = TypeVar("S")
T = TypeVar("T")


def on_all_processors(work: Callable[[S], T], parts: Sequence[S]) -> Iterator[T]:
    """Call `work` with each part in a pool of processes, on one processor in this one, and yield the results in order.

    Raises:
        UserError: a process of the pool was killed.
    """
    num_workers = min(len(parts), num_processors(), _MAX_PROCESSES)
    if num_workers < 2:
        yield from map(work, parts)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    try:
        with ProcessPoolExecutor(num_workers, context, _begin) as pool:
            yield from pool.map(work, parts)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that reads records was killed, perhaps by the kernel's OOM killer. Free some memory, or report "
            "on fewer records"
        ) from error


def _begin() -> None:
    """Prepare a process of the pool: it exits on Ctrl-C without a message, and when its parent has exited."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # ignored in a command that runs in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
