"""Files and folders that are there whole or not at all, also after a crash or a power cut."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


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
    try:
        with synced(partial) as file:
            file.write(content)
        move(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Rename, for good: a power cut does not take it back."""
    source.rename(target)
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
