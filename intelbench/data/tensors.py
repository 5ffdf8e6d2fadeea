"""Read tensors that this package has stored, and find any damage to their file."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

_UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""Errors that `zipfile` and `torch.load` raise for damaged files."""

_FOLDER = 0x10
"""Attribute of a folder in an archive. PyTorch writes none, and reads nothing of a tensor that has it."""


class DamagedTensorsError(Exception):
    """A file of tensors that is missing, cut short or changed."""


def read_tensors(path: Path) -> Any:
    """Return what `torch.save` has written to a file, on the CPU.

    The checksums are verified, which PyTorch does not do. The file is opened once, so that another process may replace
    it at the same time.

    Raises:
        DamagedTensorsError: the file cannot be read, or is not as it was written.
        pickle.UnpicklingError: it is not of tensors and plain values alone; nothing of it is executed.
    """
    try:
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as archive:
                folders = (member.filename for member in archive.infolist() if member.external_attr & _FOLDER)
                damaged = archive.testzip() or next(folders, None)
            if damaged:
                raise DamagedTensorsError(damaged)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise DamagedTensorsError(str(error).partition("\n")[0] or type(error).__name__) from error
