"""Folders that are created atomically, and the removal of partial ones that a killed process left.

A folder is created as a hidden draft next to its final path, and then renamed. The draft is locked while the process
lives; process ids would not do, since containers that share a disk have the same ones. Its name has that of the host,
because locks need not exclude other hosts.
"""

import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from intelbench.errors import UserError, printable
from intelbench.records.locks import locked

_PREFIX = ".intelbench-"
_SUMS_FILE = "SHA256SUMS"
_ABANDONED_SECONDS = 86_400.0
"""Age at which the draft of another host is removed; writing one never takes that long."""


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that is renamed to `folder` when the block ends, and is removed if the block fails.

    If two processes create the same folder, the first wins, and the equal draft of the second is removed.

    Raises:
        UserError: the folder cannot be written, for example because the disk is full.
    """
    with _scratch(folder.parent) as scratch:
        draft = scratch / folder.name
        draft.mkdir()
        yield draft
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def identity(path: Path) -> tuple[int, int] | None:
    """Return what differs between a file or folder and one that takes its place; `None` if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


def discard(folder: Path, seen: tuple[int, int] | None) -> None:
    """Remove a file or folder at once; processes that have its files open or mapped can still use them.

    It stays if its identity is not `seen`: then another process has made another one in its place, and uses it.

    Raises:
        UserError: the file or folder cannot be removed.
    """
    with _scratch(folder.parent) as scratch, suppress(FileNotFoundError):
        if identity(folder) == seen:
            folder.rename(scratch / folder.name)


def clear_drafts(parent: Path) -> None:
    """Remove the drafts in `parent` that killed processes left, those of other hosts after a day.

    Without file locks on the disk, all drafts stay.
    """
    with suppress(OSError), locked(parent, wait=True) as held:
        for draft in parent.glob(f"{_PREFIX}*") if held else ():
            with suppress(OSError), locked(draft, wait=False) as free:
                is_ours = draft.name.startswith(_prefix())
                if free and (is_ours or time.time() - draft.stat().st_mtime > _ABANDONED_SECONDS):
                    shutil.rmtree(draft, ignore_errors=True)


def write_copy(root: Path, paths: Iterable[str], content: Callable[[str], bytes], threads: int = 1) -> None:
    """Write the content of each path in the folder `root`, and the SHA-256 sum of each file.

    If another process has created `root` in the meantime, the new copy, which is equal, is discarded.

    Raises:
        UserError: the folder cannot be written.
    """
    with draft_of(root) as draft, ThreadPoolExecutor(threads) as pool:

        def write(path: str) -> None:
            file = draft / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content(path))

        for _ in pool.map(write, paths):
            pass
        (draft / _SUMS_FILE).write_text(_sums(draft), encoding="utf-8")


def is_intact(root: Path) -> bool:
    """Return whether the files in `root` match its sums, with no file added or missing."""
    try:
        return (root / _SUMS_FILE).read_text(encoding="utf-8", errors="replace") == _sums(root)
    except OSError:
        return False


def _sums(root: Path) -> str:
    """Return a line for each file, as `sha256sum` writes it."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != _SUMS_FILE)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda path: sha256(path.read_bytes()).hexdigest(), files)
        return "".join(
            f"{digest}  {path.relative_to(root).as_posix()}\n" for digest, path in zip(digests, files, strict=True)
        )


def _prefix() -> str:
    """Return what the names of this host's drafts begin with."""
    return f"{_PREFIX}{re.sub(r'[^A-Za-z0-9]', '_', socket.gethostname())}-"


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Yield a locked folder in `parent`, which is removed with its content when the block ends."""
    scratch = parent / f"{_prefix()}{secrets.token_hex(8)}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with locked(parent, wait=True):  # so that no process sees the folder before it is locked
                scratch.mkdir()
                stack.callback(shutil.rmtree, scratch, ignore_errors=True)
                stack.enter_context(locked(scratch, wait=True))
            yield scratch
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror or str(error)
        raise UserError(
            f"cache {printable(parent)}: cannot be written ({reason}). Expected a writable folder. "
            "Try another one with --cache-dir, or `cache_folder` in Python"
        ) from error
