"""Leases: locks that exclude other hosts too, on disks that keep the kernel's locks for each host alone.

A lease is a file that its process renews. It needs no more of a disk than exclusive creation and renaming: network
disks do not exchange two names at once, by which `filelock` takes over a lease.
"""

import os
import secrets
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from intelbench.errors import UserError
from intelbench.records.files import content_of
from intelbench.records.locks import Lock, hold

LEASE_SECONDS = 90.0
"""Time after which other hosts take over the lease of a process that does not renew it; it does every 30 s."""
_MAX_BYTES = 4096
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_seen: dict[Path, tuple[tuple[bytes, int], float]] = {}
"""Content and time of leases of other hosts, and since when they are unchanged by this host's clock."""


def hold_everywhere(file: Path, lease_file: Path) -> Lock | None:
    """Lock a file on this host, and take the lease; return `None` if another process holds one of the two.

    Raises:
        OSError: the file does not exist, the lease cannot be created, or the disk has no locks.
    """
    with ExitStack() as stack:
        if (lock := hold(file)) is None:
            return None
        stack.callback(lock.release)
        if (claim := lease(lease_file)) is None:
            return None
        stack.callback(claim.release)
        return Lock(stack.pop_all().close, lock.inheritable, claim.claim, claim.is_lost)


def lease(path: Path) -> Lock | None:
    """Create a file that this process renews until it releases the lease; return `None` if another host has it.

    The caller holds a lock of the kernel for the same purpose, so a lease of its own host is one of a process that has
    exited. One of another host is free when this process has looked at it for `LEASE_SECONDS` without a change; a host
    that was paused for so long loses it.

    Raises:
        OSError: the file cannot be created.
    """
    host = _host()
    if (claim := _content(path)) is not None and (claim.startswith(host) or _is_abandoned(path, claim)):
        _remove(path, claim)
    claim = host + secrets.token_hex(16).encode()
    try:
        with path.open("xb") as file:
            file.write(claim)
    except FileExistsError:
        return None
    _seen.pop(path, None)
    released, lost = threading.Event(), threading.Event()
    threading.Thread(target=_renew, args=(path, claim, released, lost), daemon=True).start()

    def release() -> None:
        released.set()
        _remove(path, claim)

    return Lock(release, claim=claim, is_lost=lost.is_set)


def is_leased(path: Path) -> bool:
    """Return whether another host has a lease, as far as this process has seen; nothing is written.

    The caller holds a lock of the kernel, so a lease of its own host is one of a process that has exited.
    """
    claim = _content(path)
    if claim is None:  # there is none, or it cannot be read
        return os.path.lexists(path)
    return not claim.startswith(_host()) and not _is_abandoned(path, claim)


def _host() -> bytes:
    """Return what the leases of this host begin with; a name alone can be that of several containers."""
    with suppress(OSError):
        return f"{socket.gethostname()} {_BOOT.read_text().strip()} ".encode()
    return f"{socket.gethostname()} ".encode()


def _content(path: Path) -> bytes | None:
    try:
        return content_of(path, _MAX_BYTES)
    except UserError:
        return None


def _is_abandoned(path: Path, claim: bytes) -> bool:
    """Return whether a lease has not been renewed for as long as it lasts, and note when it was seen."""
    now = time.monotonic()
    try:
        state = claim, path.stat().st_mtime_ns
    except OSError:
        return False
    if (last := _seen.get(path)) is None or last[0] != state:
        _seen[path] = state, now
        return False
    return now - last[1] >= LEASE_SECONDS


def _remove(path: Path, claim: bytes) -> None:
    """Remove a lease with this content. Of several processes that try, one alone renames it."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with suppress(OSError):
        if _content(path) != claim:
            return
        path.rename(aside)
        if _content(aside) != claim:  # another process has taken it over in between
            os.link(aside, path)
        aside.unlink()


def _renew(path: Path, claim: bytes, released: threading.Event, lost: threading.Event) -> None:
    """Renew a lease until it is released or lost."""
    interval, renewed = LEASE_SECONDS / 3, time.monotonic()
    while not released.wait(interval):
        with suppress(OSError):
            current = _content(path)
            if current == claim:
                os.utime(path)
                renewed = time.monotonic()
            elif current is not None or not path.exists():
                lost.set()
        if lost.is_set() or time.monotonic() - renewed > LEASE_SECONDS - interval:
            lost.set()
            return
