"""Files and folders that are there whole or not at all, also after a crash or a power cut, and are read with care."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from intelbench.errors import UserError, printable

TO_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
"""How a file is opened that may be anything: nobody is waited for to write to a pipe, and Windows changes no byte."""


@contextmanager
def synced(path: Path) -> Iterator[BinaryIO]:
    """A new file whose bytes are on the disk when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes) -> None:
    """Write a file in the place of the one that may be there; readers see the old one or the new one.

    Raises:
        OSError: no room, say; the old one still stands, and nothing is left beside it.
    """
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # it may be a link
    try:
        with synced(partial) as file:
            file.write(content)
        move(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Rename, for good: a power cut does not take it back."""
    source.replace(target)
    if os.name == "nt":  # where a folder cannot be opened, and is written with what is renamed in it
        return
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; what is gone already is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def listed(folder: Path) -> list[Path]:
    """What is in a folder, by name, without what is hidden; nothing where there is no folder.

    Raises:
        UserError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return [folder / name for name in sorted(entry.name for entry in entries) if not name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{printable(folder)}: cannot be listed ({error.strerror})") from error


def content_of(file: Path, limit: int) -> bytes:
    """The bytes of a plain file of at most `limit`.

    Raises:
        UserError: it is missing, a pipe or a device, too large, or cannot be read.
    """
    name = printable(file)
    try:
        descriptor = os.open(file, TO_READ)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{name}: not a plain file, so it is not read; remove its folder and run it again")
            if found.st_size > limit:
                raise UserError(f"{name}: {found.st_size:,} bytes, and at most {limit:,} are read")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return stream.read(found.st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror})") from error


def content_if_any(file: Path, limit: int) -> bytes | None:
    """The same, or `None` where there is no such file."""
    return content_of(file, limit) if os.path.lexists(file) else None
