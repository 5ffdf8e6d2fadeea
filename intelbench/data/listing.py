"""What is in a folder of images, and the errors that name a file or folder of it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from intelbench.data.names import is_hidden, is_image
from intelbench.errors import UserError
from intelbench.paths import shown_path


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files and folders in a folder, except hidden ones and files that systems create.

    Raises:
        UserError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as everything:
            yield from (entry for entry in everything if not is_hidden(entry.name))
    except OSError as error:
        raise refusal(folder, f"cannot be listed ({error.strerror}); make it readable or remove it") from error


def is_image_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is an image by its suffix, and a file or a link to one.

    A link that leads nowhere counts too, so that the user is told about it when it is read.
    """
    if not is_image(entry.name):
        return False
    if not entry.is_symlink():
        return entry.is_file()
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True


def refusal(path: Path | str, why: str) -> UserError:
    """Return an error that names the file or folder at `path`."""
    return UserError(f"data {shown_path(path)}: {why}")


def require_utf8(path: Path) -> None:
    """Check that a name can be written into a record, which is UTF-8.

    Raises:
        UserError: the name is not valid UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"data {os.fsencode(path)!r}: the name is not valid UTF-8; rename it") from error
