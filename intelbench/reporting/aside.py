"""Work that goes on beside the rest."""

import gc
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def aside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Begin `work` in a copy of this process, and give a function that waits for what comes of it, or raises that.

    The copy has all that is in memory without its being sent; only Linux makes one safely, and elsewhere the work is
    done when it is waited for. The collector leaves alone meanwhile what was there, or it would all be copied.
    """
    if sys.platform != "linux":
        yield work
        return
    gc.freeze()
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _inherit, (work,)) as pool:
            yield partial(pool.submit(_do).result, None)
    finally:
        gc.unfreeze()


_inherited: list[Callable[[], Any]] = []


def _inherit(work: Callable[[], Any]) -> None:
    """In the copy, which gets its arguments without packing."""
    _inherited.append(work)


def _do() -> Any:
    return _inherited[0]()
