"""What a frozen backbone makes of images, kept on the disk: computed once, for all runs that would compute it."""

import os
import pickle
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from intelbench.records.identity import digest

_LAYOUT_VERSION = 1
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError)


class Features(NamedTuple):
    """Features of some images, in their order."""

    values: Tensor
    """Images x features, on the CPU, in the type that the backbone computes in."""
    seconds: float
    """What it took to compute them, now or earlier."""
    stored: bool
    """Whether that was earlier."""


class FeatureStore:
    """A file for each set of features, named by a digest of all that decides them; safe to delete at any time."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        """`None` keeps nothing."""

    def get(self, identity: object, compute: Callable[[], Tensor]) -> Features:
        """The features of that identity: read, or computed and written whole or not at all.

        A file that cannot be read counts as none.
        """
        if self._folder is None:
            return _computed(compute)
        path = self._folder / f"{digest((_LAYOUT_VERSION, identity))}.pt"
        try:
            content = torch.load(path, weights_only=True)
            return Features(content["values"], content["seconds"], stored=True)
        except _UNREADABLE:
            found = _computed(compute)
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            torch.save({"values": found.values, "seconds": found.seconds}, scratch)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        return found


def _computed(compute: Callable[[], Tensor]) -> Features:
    start = time.perf_counter()
    values = compute()
    return Features(values, time.perf_counter() - start, stored=False)
