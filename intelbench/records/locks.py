"""File locks that are released when their process exits: the kernel's `flock`, or `filelock` on Windows.

Some network disks keep such locks for each host alone; see `leases`.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TO_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
"""Flags to open a path that may not be a regular file: opening a pipe does not block, and Windows keeps all bytes."""
HAS_FLOCK = importlib.util.find_spec("fcntl") is not None
_LOCK_OF_FOLDER = ".lock"
"""File that `filelock` locks instead of a folder."""


@dataclass(frozen=True)
class Lock:
    """A lock, held until it is released or its process exits. Keep it: `filelock` releases one without references."""

    release: Callable[[], object]
    inheritable: tuple[int, ...] = ()
    """File descriptors; a child process that inherits them holds the lock until it exits. Only with `flock`."""
    claim: bytes = b""
    """Content of the file of a lease, which differs each time."""
    is_lost: Callable[[], bool] = lambda: False
    """Return whether another host has taken over the lease, as soon as this process has noticed."""


def hold(path: Path, *, wait: bool = False, shared: bool = False) -> Lock | None:
    """Lock a file or a folder; return `None` if another process holds the lock and `wait` is false.

    Raises:
        OSError: the path does not exist, or is on a disk without locks.
    """
    return (_flock if HAS_FLOCK else _filelock)(path, wait=wait, shared=shared)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Lock a file or a folder for the block, and yield whether that was possible; some disks have no locks."""
    try:
        lock = hold(path, wait=wait)
    except OSError:
        lock = None
    try:
        yield lock is not None
    finally:
        if lock:
            lock.release()


def _flock(path: Path, *, wait: bool, shared: bool) -> Lock | None:
    fcntl = importlib.import_module("fcntl")  # Python on Windows does not have this module
    # A network disk gives an exclusive lock only to a file that is open for writing.
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
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave the lock to a child that has inherited it
        os.close(descriptor)

    return Lock(release, (descriptor,))


def _filelock(path: Path, *, wait: bool, shared: bool) -> Lock | None:
    """Take an exclusive lock even if `shared` is true: `filelock` has no shared lock between processes."""
    from filelock import FileLock, Timeout

    if not path.exists():
        raise FileNotFoundError(path)
    lock = FileLock(path / _LOCK_OF_FOLDER if path.is_dir() else path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        return None
    return Lock(lock.release)
