"""Paths as users give them, which may be too long for any system, or not printable."""

import os
from pathlib import Path

from intelbench.errors import printable, shortened

MAX_PATH = 300
"""Characters of a path that a message repeats: those of users are shorter."""


def is_file(path: Path | str) -> bool:
    """Return whether there is a regular file; `Path.is_file` raises an `OSError` for a path that is too long."""
    return os.path.isfile(path)  # noqa: PTH113 - which gives `False` then


def is_folder(path: Path | str) -> bool:
    """Return whether there is a folder; `Path.is_dir` raises an `OSError` for a path that is too long."""
    return os.path.isdir(path)  # noqa: PTH112 - which gives `False` then


def shown_path(path: object) -> str:
    """Return a path as messages show it: in one line, and not all of one that is longer than those of users."""
    return shortened(printable(path), MAX_PATH)
