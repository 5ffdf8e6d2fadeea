"""Download files of published weights into the cache of PyTorch's hub, its folder `checkpoints`.

A file with a hash in its name is where PyTorch would put it, and its hash is checked.
"""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import torch

from intelbench.architectures.hub import OnDownload
from intelbench.errors import UserError, shortened
from intelbench.paths import MAX_PATH
from intelbench.records.leases import hold_everywhere
from intelbench.records.locks import Lock

_HASH = re.compile(r"-([0-9a-f]{8,})\.")
"""First digits of the SHA-256 in the name of a file, as in PyTorch's hub."""
_PAUSES = (0.5, 2.0, 8.0)
"""Seconds before each retry."""
_LOOK_SECONDS = 0.2
"""Seconds between two looks at what another session has downloaded."""
_TIMEOUT_SECONDS = 30
_ANSWER_SECONDS = 5
"""Time in which a server has to answer before it counts as not reachable."""
_HEADERS = {"User-Agent": "intelbench"}
_CHUNK = 2**20
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


def is_reachable(url: str) -> bool:
    """Return whether the server of a file answers within five seconds; nothing is downloaded."""
    request = urllib.request.Request(url, method="HEAD", headers=_HEADERS)  # noqa: S310 - of architectures alone
    try:
        urllib.request.urlopen(request, timeout=_ANSWER_SECONDS).close()  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except (OSError, http.client.HTTPException):
        return False
    return True


def hub_file(url: str) -> Path:
    """Return the path at which the file of an address is in the cache of PyTorch's hub.

    A name with a hash is that of one file, as in PyTorch. A name without one, such as `model.safetensors`, is in a
    folder of its address, since other addresses end in it too.

    Raises:
        UserError: the text is no address, or does not end in the name of a file.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    name = parts.path.rpartition("/")[2]
    if not parts.scheme or name in {"", ".", ".."}:
        raise UserError(
            f"weights {shortened(repr(url), MAX_PATH)}: not the address of a file. "
            "Expected a URL that ends in its name, such as https://example.org/w.pth"
        )
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    return checkpoints / name if expected_digits(name) else checkpoints / _digest(url) / name


def downloaded(url: str, on_download: OnDownload) -> Path:
    """Download a file into the cache of PyTorch's hub, or wait until another session has downloaded it.

    Raises:
        UserError: the file cannot be downloaded, or is not the one that its name says.
    """
    path = hub_file(url)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with _held(partial, on_download):
        if path.exists():
            size = path.stat().st_size
            on_download(path.name, size, size)  # by the other session
        else:
            _complete(url, partial, path, on_download)
    return path


def expected_digits(name: str) -> str:
    """Return the first digits of the SHA-256 in the name of a published file; empty if the name has none."""
    match = _HASH.search(name)
    return match[1] if match else ""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _held(partial: Path, on_download: OnDownload) -> Iterator[None]:
    """Hold the lock of a partial file for the block, and remove the file if it is empty after the block."""
    lock = _lock(partial, on_download)
    try:
        yield
    finally:
        if lock:
            if _is_of(lock, partial) and not partial.stat().st_size:  # else it may be of another session
                partial.unlink()
            lock.release()


def _lock(partial: Path, on_download: OnDownload) -> Lock | None:
    """Create and lock a partial file; return `None` on a disk without locks.

    While another session downloads the file, here or on another host, its progress is shown.
    """
    while True:
        try:
            partial.touch()
        except OSError:
            return None  # the download says why
        try:
            lock = hold_everywhere(partial, partial.with_name(f"{partial.name}.lease"))
        except FileNotFoundError:
            continue  # the other session has just completed it
        except OSError:
            return None
        if lock and _is_of(lock, partial):
            return lock
        if lock:
            lock.release()  # of a file that the other session has completed or removed
        else:
            with suppress(FileNotFoundError):
                on_download(partial.stem, partial.stat().st_size, None)
            time.sleep(_LOOK_SECONDS)


def _is_of(lock: Lock, path: Path) -> bool:
    """Return whether the file at a path is the one that is locked, and not another one that has replaced it."""
    try:
        current = path.stat()
    except FileNotFoundError:
        return False
    return all(os.path.samestat(os.fstat(descriptor), current) for descriptor in lock.inheritable)


def _complete(url: str, partial: Path, path: Path, on_download: OnDownload) -> None:
    """Download what a partial file lacks, check it, and move it to its path.

    Raises:
        UserError: the file cannot be downloaded, or is not the one that its name says.
    """
    reason: Exception | None = None
    for pause in (0.0, *_PAUSES):
        time.sleep(pause)
        try:
            _continue(url, partial, on_download)
            break
        except urllib.error.HTTPError as error:
            error.close()
            reason = error
            if error.code == _RANGE_NOT_SATISFIABLE:
                partial.write_bytes(b"")  # not shorter than the whole file, so it must be damaged
            elif error.code < 500:
                raise UserError(_by_hand(url, path, error)) from error
        except (OSError, http.client.HTTPException) as error:
            reason = error
    else:
        raise UserError(_by_hand(url, path, reason)) from reason
    digest = sha256_of(partial)
    if not digest.startswith(expected_digits(path.name)):
        partial.unlink()
        raise UserError(f"weights {url}: what was downloaded is damaged, its SHA-256 is {digest}; run again")
    partial.replace(path)


def _continue(url: str, partial: Path, on_download: OnDownload) -> None:
    """Download the missing part of a file, or all of it if the server does not support ranges."""
    size = partial.stat().st_size if partial.exists() else 0
    headers = _HEADERS | ({"Range": f"bytes={size}-"} if size else {})
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - addresses come from architectures alone
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
        size = size if answer.status == _PARTIAL_CONTENT else 0
        length = getattr(answer, "length", None)  # `file:` and `ftp:` have none
        total = None if length is None else size + length
        with partial.open("ab" if size else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                size += len(chunk)
                on_download(partial.stem, size, total)
    if total is not None and size < total:
        raise ConnectionError(f"the connection ended after {size:,} of {total:,} bytes")


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def _by_hand(url: str, path: Path, reason: Exception | None) -> str:
    return f"weights {url}: cannot be downloaded ({reason}); fetch that file elsewhere and put it at {path}"
