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
from typing import Any, TypeVar

from intelbench.errors import UserError
from intelbench.profiling.processors import num_processors

_MOST = 8
"""Processes, each of which takes memory; this one has no time for what comes of more."""

_CAN_FORK = sys.platform == "linux" and hasattr(os, "fork")
"""Elsewhere a copy of a process is not safe, or there is none."""

S = TypeVar("S")
T = TypeVar("T")


def on_all_processors(
    work: Callable[[S], T], parts: Sequence[S], meanwhile: Callable[[], object] = lambda: None
) -> Iterator[T]:
    """What comes of each part, in order; this process does something else `meanwhile`.

    Raises:
        UserError: a process was ended from outside.
    """
    num_workers = max(1, min(len(parts), num_processors(), _MOST))
    context = multiprocessing.get_context("fork" if _CAN_FORK else "spawn")
    with _explained(), ProcessPoolExecutor(num_workers, context, _begin) as pool:
        found = pool.map(work, parts)
        meanwhile()
        yield from found


def in_two(first: Sequence[Callable[[], S]], last: Sequence[Callable[[], T]]) -> tuple[list[S], list[T]]:
    """What comes of each work, in order: this process begins with the first of all, a copy of it with the last.

    The copy has all that is in memory without its being sent; only Linux makes one safely, and elsewhere this process
    does all. The collector leaves alone meanwhile what was there, or it would all be copied.

    Raises:
        UserError: the copy was ended from outside.
    """
    works: list[Callable[[], Any]] = [*first, *last]
    made = list(_in_two(works) if _CAN_FORK else (work() for work in works))
    return made[: len(first)], made[len(first) :]


def _in_two(works: Sequence[Callable[[], Any]]) -> Iterator[Any]:
    gc.freeze()
    try:
        with _explained(), ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _begin, tuple(works)) as pool:
            begun = [pool.submit(_do, place) for place in reversed(range(len(works)))]
            try:
                for work, theirs in zip(works, reversed(begun), strict=True):
                    yield work() if theirs.cancel() else theirs.result()
            finally:
                for theirs in begun:  # something failed: what is not begun need not be
                    theirs.cancel()
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
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as it is for a command in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word; the first process has the last
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(place: int) -> Any:
    return _inherited[place]()
