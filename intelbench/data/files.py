"""Read the files of a data folder, which may be pipes, may grow, and may change or vanish at any moment."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from intelbench.errors import UserError, printable
from intelbench.records.files import TO_READ

MAX_BYTES = 2**28
"""Larger files are not read: as much as the largest image that is decoded takes, uncompressed at 24 bits."""
_BLOCK = 2**20
_OF_THE_FILE = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENXIO}
)
"""What the system says of a file that is gone, locked or no file. Anything else may pass, and says nothing of it."""


class UnusableFileError(Exception):
    """A file that cannot be read as it lies there; the message says why and does not name the file."""


class Content(NamedTuple):
    """A file, and the digest of the bytes that it had when it was looked at."""

    path: Path
    digest: str

    def read(self) -> bytes:
        """The bytes with that digest.

        Raises:
            UserError: the file has other bytes by now, or cannot be read any more.
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
    """The bytes of a file.

    Raises:
        UnusableFileError: gone, locked, too large or no regular file.
        UserError: it could not be read just now.
    """
    return b"".join(_blocks(path))


def digest_of(path: Path) -> str:
    """Digest of the file's bytes: 128 bits, hexadecimal. Raises as `read_file`."""
    return _digest(_blocks(path))


def _digest(blocks: Iterable[bytes]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for block in blocks:
        state.update(block)
    return state.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        # Without waiting, because opening a pipe waits for somebody to write into it.
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
        if error.errno in _OF_THE_FILE:
            raise UnusableFileError(reason) from error
        raise UserError(
            f"data {printable(path)}: cannot be read just now ({reason}); run again, or mend or remove the file"
        ) from error
