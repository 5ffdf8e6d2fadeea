"""Locks of processes: the kernel's, which end with their process, and leases, which exclude other hosts too.

The kernel's lock is `flock`, or that of `filelock` on Windows. Some network disks keep such locks for each host alone.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from intelbench.records.files import TO_READ

if TYPE_CHECKING:
    from filelock import SoftFileLease

HAS_FLOCK = importlib.util.find_spec("fcntl") is not None
_LOCK_OF_FOLDER = ".lock"
"""File that `filelock` locks instead of a folder."""
LEASE_SECONDS = 90.0
"""Time after which other hosts take over the lease of a process that does not renew it; it does every 30 s."""
_seen: "dict[Path, SoftFileLease]" = {}
"""Leases of other processes, and since when they are unchanged."""


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


def lease(path: Path) -> Lock | None:
    """Create a file that this process renews until it releases the lease; return `None` if another process has it.

    The lease of a process that has exited is free at once on its own host. On others it is free when they have looked
    at it for `LEASE_SECONDS` without a change, so a host that was paused for so long loses it.

    Raises:
        OSError: the file cannot be created.
    """
    from filelock import SoftFileLease, Timeout

    claim = _seen.get(path) or SoftFileLease(path, lease_duration=LEASE_SECONDS, thread_local=False)
    try:
        claim.acquire(timeout=0)
    except Timeout:
        _seen[path] = claim
        return None
    _seen.pop(path, None)
    return Lock(claim.release, claim=path.read_bytes(), is_lost=lambda: claim.compromise is not None)


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
