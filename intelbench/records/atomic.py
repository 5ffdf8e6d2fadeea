"""Folders that appear whole or not at all, and what is left of them where a process was killed.

A folder is made as a draft, hidden beside its place, and then renamed. While its maker lives, the draft is locked;
process numbers would not tell, since containers that share a disk count alike.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from intelbench.errors import UserError, printable
from intelbench.records.locks import hold

_PREFIX = ".intelbench-"


@contextmanager
def draft_of(folder: Path) -> Iterator[Path]:
    """An empty folder that becomes `folder` when the block ends, and is removed where it fails.

    Of two that make one folder at once the first wins; the other's draft, which is the same, is removed.

    Raises:
        UserError: the disk is full, or another reason why nothing can be written there.
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


def discard(folder: Path) -> None:
    """Remove a folder, or what lies in its place. It is gone at once; whoever has its files open or mapped keeps them.

    Raises:
        UserError: it cannot be removed.
    """
    with _scratch(folder.parent) as scratch, suppress(FileNotFoundError):
        folder.rename(scratch / folder.name)


def clear_drafts(parent: Path) -> None:
    """Remove the drafts in `parent` whose makers were killed; those under way stay, as do all where nothing locks."""
    with suppress(OSError), _locked(parent, wait=True) as held:
        for draft in parent.glob(f"{_PREFIX}*") if held else ():
            with suppress(OSError), _locked(draft, wait=False) as abandoned:
                if abandoned:
                    shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A locked folder in `parent`, removed with all that is in it when the block ends."""
    scratch = parent / f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with _locked(parent, wait=True):  # so that nobody sees the folder before it is locked
                scratch.mkdir()
                stack.callback(shutil.rmtree, scratch, ignore_errors=True)
                stack.enter_context(_locked(scratch, wait=True))
            yield scratch
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror or str(error)
        raise UserError(
            f"cache {printable(parent)}: cannot be written ({reason}); mend that, or give another folder with "
            "--cache-dir"
        ) from error


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Whether the lock of the folder could be had; it is held for the block. There are disks without locks."""
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    try:
        lock = hold(folder, wait=wait)
    except OSError:
        lock = None
    try:
        yield lock is not None
    finally:
        if lock:
            lock.release()
