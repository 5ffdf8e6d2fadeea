"""Read files of a data folder, which may be pipes, may grow, and may change or disappear at any moment."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from intelbench.errors import UserError, printable
from intelbench.records.locks import TO_READ

MAX_BYTES = 2**28
"""Largest file that is read: the size of the largest accepted image, uncompressed at 24 bits."""
_BLOCK = 2**20
"""Bytes of a read."""
_PERMANENT = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO}
)
"""Errors of a missing, locked or irregular file. Other errors may be temporary."""


class UnusableFileError(Exception):
    """A file that cannot be used; the message says why without naming the file."""


class Content(NamedTuple):
    """A file whose bytes must not change."""

    path: Path
    digest: str
    """128-bit digest of the bytes, hexadecimal."""

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            UserError: the bytes have another digest, or the file cannot be read any more.
        """
        try:
            content = read_file(self.path)
        except UnusableFileError as error:
            raise UserError(
                f"data {printable(self.path)}: cannot be read any more ({error}); bring it back and run again"
            ) from error
        if _digest([content]) != self.digest:
            raise UserError(
                f"data {printable(self.path)}: has changed since the session began; leave the data alone and run again"
            )
        return content


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        UnusableFileError: the file is missing, locked, too large or not a regular file.
        UserError: the file could not be read for a reason that may be temporary.
    """
    return b"".join(_blocks(path))


def digest_of(path: Path) -> str:
    """Return the hexadecimal 128-bit digest of a file's bytes.

    Raises:
        UnusableFileError: the file is missing, locked, too large or not a regular file.
        UserError: the file could not be read for a reason that may be temporary.
    """
    return _digest(_blocks(path))


def _digest(blocks: Iterable[bytes]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for block in blocks:
        state.update(block)
    return state.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        descriptor = os.open(path, TO_READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnusableFileError("not a regular file")
            expected, size, block = min(status.st_size + 1, _BLOCK), 0, b""
            while size == 0 or len(block) == expected:
                block = os.read(descriptor, expected)
                size += len(block)
                if size > MAX_BYTES:
                    raise UnusableFileError(f"more than {MAX_BYTES // 2**20} MiB, too large for an image")
                yield block
                if not block:
                    return
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _PERMANENT:
            raise UnusableFileError(reason) from error
        raise UserError(
            f"data {printable(path)}: cannot be read just now ({reason}); run again, or repair or remove the file"
        ) from error
