"""The CPUs of this machine: how many, which ones belong together, and who uses which."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

_TOPOLOGY = Path("/sys/devices/system/cpu")
HAS_AFFINITY = hasattr(os, "sched_getaffinity")


def num_processors() -> int:
    """Return the number of CPUs that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if HAS_AFFINITY else os.cpu_count() or 1


def own_processors() -> list[int]:
    """Return the CPUs that this process may use, those of one core next to each other; empty if that is not known."""
    return sorted(os.sched_getaffinity(0), key=_core_first) if HAS_AFFINITY else []


def divided(processors: Sequence[int], parts: int) -> list[frozenset[int]]:
    """Return parts of nearly equal size, each of processors next to each other; all of them if they are too few."""
    number = len(processors)
    if number < parts:
        return [frozenset(processors)] * parts
    bounds = [part * number // parts for part in range(parts + 1)]
    return [frozenset(processors[start:end]) for start, end in pairwise(bounds)]


def divided_by_place(near: Sequence[frozenset[int]], processors: Sequence[int]) -> list[frozenset[int]]:
    """Return the processors of each device: those that are near it, divided among the devices near the same ones.

    Args:
        near: Processors near each device; empty where that is not known.
        processors: Those that may be used.
    """
    usable = [frozenset(processors) & own or frozenset(processors) for own in near]
    found: list[frozenset[int]] = [frozenset()] * len(near)
    for group in dict.fromkeys(usable):
        members = [index for index, own in enumerate(usable) if own == group]
        parts = divided([processor for processor in processors if processor in group], len(members))
        for index, part in zip(members, parts, strict=True):
            found[index] = part
    return found


@contextmanager
def pinned(processors: frozenset[int]) -> Iterator[None]:
    """Let this thread, and what it starts in the block, use these CPUs alone; an empty set changes nothing."""
    if not processors or not HAS_AFFINITY:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _core_first(processor: int) -> tuple[int, int]:
    """Return a key that puts the CPUs of one core next to each other."""
    try:
        siblings = (_TOPOLOGY / f"cpu{processor}/topology/thread_siblings_list").read_text()
        return int(siblings.replace("-", ",").split(",")[0]), processor
    except (OSError, ValueError):
        return processor, processor
