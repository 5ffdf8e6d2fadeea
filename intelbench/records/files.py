"""Files and folders that are written atomically, also if the machine crashes, and read defensively."""

import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from intelbench.errors import UserError
from intelbench.paths import shown_path
from intelbench.records.locks import TO_READ, locked

T = TypeVar("T")


@contextmanager
def synced(path: Path) -> Iterator[BinaryIO]:
    """Create a file whose bytes are on the disk when the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, content: bytes, *, shared: bool = False) -> None:
    """Write a file atomically: readers see the old content or the new content.

    A `shared` file may be written by other processes at the same time, also by those of other hosts.

    Raises:
        OSError: the disk is full, for example; the old file stays, and no partial file is left.
    """
    replace_by_parts(path, [content], shared=shared)


def replace_by_parts(path: Path, parts: Iterable[bytes], *, shared: bool = False) -> None:
    """Write a file as `replace`, from parts made one after the other, so that it may be larger than the memory.

    Raises:
        OSError: the disk is full, for example, with the name of the file; the old file stays, and no partial file is
            left.
    """
    with _only_writer(path.parent) if shared else nullcontext("") as own:
        partial = path.with_name(f".{path.name}{own}.partial")
        try:
            partial.unlink(missing_ok=True)  # it may be a link, or what a process has left that was killed
            with synced(partial) as file:
                for part in parts:
                    file.write(part)
            move(partial, path)
        except BaseException as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename in (None, os.fspath(partial)):
                error.filename, error.filename2 = str(path), None  # and not that of the partial file
            raise


@contextmanager
def _only_writer(folder: Path) -> Iterator[str]:
    """Yield a part for the names of partial files in a folder that no other process uses until the block ends.

    A lock need not exclude other hosts, so the part is that of the host; on a disk without locks it is random.
    """
    with locked(folder, wait=True) as is_alone:
        yield f".{sha256(socket.gethostname().encode()).hexdigest()[:8] if is_alone else secrets.token_hex(4)}"


def move(source: Path, target: Path) -> None:
    """Rename a file or folder, and sync the folder, so that a power cut does not undo it."""
    source.replace(target)
    if os.name != "nt":  # Windows writes the folder with the rename, and cannot open folders
        sync(target.parent)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk as it is now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its content; it need not exist."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def listed(folder: Path) -> list[Path]:
    """Return the paths in a folder, sorted by name, without hidden ones; empty if there is no folder.

    Raises:
        UserError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return [folder / name for name in sorted(entry.name for entry in entries) if not name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{shown_path(folder)}: cannot be listed ({error.strerror})") from error


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return the paths in a folder that match a pattern, sorted; empty if there is no folder, or it cannot be listed.

    `Path.glob` raises an error for a folder that somebody removes after it has looked whether there is one.
    """
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def content_of(file: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes.

    Raises:
        UserError: the file is missing, not a regular file, too large, or cannot be read.
    """
    name = shown_path(file)
    try:
        descriptor = os.open(file, TO_READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{name}: not a plain file, so it is not read; remove its folder and run it again")
            if status.st_size > limit:
                raise UserError(f"{name}: {status.st_size:,} bytes, and at most {limit:,} are read")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return stream.read(status.st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror})") from error


def json_if_any(file: Path, limit: int, type_: type[T]) -> T | None:
    """Return the value in a JSON file of at most `limit` bytes; `None` if there is none, or it is not of the type."""
    try:
        return msgspec.json.decode(content_of(file, limit), type=type_)
    except (UserError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def content_if_any(file: Path, limit: int) -> bytes | None:
    """Return the bytes of a file as `content_of` does, or `None` if the file does not exist."""
    return content_of(file, limit) if os.path.lexists(file) else None
