"""Locks that no dead process holds: the kernel's `flock`, and where there is none (Windows) those of `filelock`."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from intelbench.records.files import TO_READ

HAS_FLOCK = importlib.util.find_spec("fcntl") is not None
_LOCK_OF_FOLDER = ".lock"
"""What `filelock` locks in the place of a folder."""


@dataclass(frozen=True)
class Lock:
    """A lock, held until it is released or its process ends. Keep it: `filelock` releases one that nobody refers to."""

    release: Callable[[], object]
    inheritable: tuple[int, ...]
    """Descriptors: a child process that inherits them keeps the lock for as long as it lives. Only with `flock`."""


def hold(path: Path, *, wait: bool = False, shared: bool = False) -> Lock | None:
    """Lock a file or a folder, or return `None` where another process holds it and is not waited for.

    Raises:
        OSError: it is not there, or on a disk without locks.
    """
    return (_flock if HAS_FLOCK else _filelock)(path, wait=wait, shared=shared)


def _flock(path: Path, *, wait: bool, shared: bool) -> Lock | None:
    fcntl = importlib.import_module("fcntl")  # mypy has no such module on Windows, nor has Python
    # A network disk locks for one alone only what is open for writing.
    descriptor = os.open(path, TO_READ if shared or path.is_dir() else os.O_RDWR)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise

    def release() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave it to a child that has inherited it
        os.close(descriptor)

    return Lock(release, (descriptor,))


def _filelock(path: Path, *, wait: bool, shared: bool) -> Lock | None:
    """Lock for one alone, whatever is asked for: `filelock` has no shared lock that other processes see."""
    from filelock import FileLock, Timeout

    if not path.exists():
        raise FileNotFoundError(path)
    lock = FileLock(path / _LOCK_OF_FOLDER if path.is_dir() else path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        return None
    return Lock(lock.release, ())
