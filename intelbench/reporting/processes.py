"""Work that other processes do; none outlives this one, however it ends."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from intelbench.errors import UserError

S = TypeVar("S")
T = TypeVar("T")


def on_all_processors(work: Callable[[S], T], parts: Sequence[S]) -> Iterator[T]:
    """What comes of each part, in order.

    Raises:
        UserError: a process was ended from outside.
    """
    with _explained(), ProcessPoolExecutor(initializer=_begin) as pool:
        yield from pool.map(work, parts)


@contextmanager
def aside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Begin `work` in a copy of this process, and give a function that waits for what comes of it, or raises that.

    The copy has all that is in memory without its being sent; only Linux makes one safely, and elsewhere the work is
    done when it is waited for. The collector leaves alone meanwhile what was there, or it would all be copied.

    Raises:
        UserError: the copy was ended from outside.
    """
    if sys.platform != "linux":
        yield work
        return
    gc.freeze()
    try:
        with _explained(), ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _begin, (work,)) as pool:
            yield partial(pool.submit(_do).result, None)
    finally:
        gc.unfreeze()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError(
            "a process that helps with the report was ended from outside, for want of memory perhaps; "
            "free some, or report on fewer records"
        ) from error


_inherited: list[Callable[[], Any]] = []


def _begin(*inherited: Callable[[], Any]) -> None:
    """In the other process, which gets its arguments without their being packed where it is a copy."""
    _inherited.extend(inherited)
    gc.disable()  # it ends soon
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word; the first process has the last one
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do() -> Any:
    return _inherited[0]()
