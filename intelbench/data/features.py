"""Store features of images from a frozen backbone on disk, so that runs share them."""

import os
import pickle
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from intelbench.data.tensors import DamagedTensorsError, read_tensors
from intelbench.records.identity import digest

_LAYOUT_VERSION = 1


class Features(NamedTuple):
    """Features of images, in the order of the images."""

    values: Tensor
    """Features (images x features) on the CPU, in the dtype of the backbone."""
    seconds: float
    """Seconds to compute the features, now or in an earlier run."""
    stored: bool
    """Whether the features were computed in an earlier run."""


class FeatureStore:
    """A folder with one file for each set of features; it can be deleted at any time.

    A file is named by a digest of everything that determines its features.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        """`None` stores nothing."""

    def get(self, identity: object, compute: Callable[[], Tensor]) -> Features:
        """Return the features with this identity, from their file, or computed and then stored atomically.

        A file that cannot be read, or is damaged, is replaced.
        """
        if self._folder is None:
            return _computed(compute)
        path = self._folder / f"{digest((_LAYOUT_VERSION, identity))}.pt"
        if stored := _stored(path):
            return stored
        features = _computed(compute)
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            torch.save({"values": features.values, "seconds": features.seconds}, scratch)
            scratch.replace(path)
        except (OSError, RuntimeError):  # PyTorch raises RuntimeError for a folder that does not exist
            if self._folder.exists():
                raise
        finally:
            scratch.unlink(missing_ok=True)
        return features


def _stored(path: Path) -> Features | None:
    """Return the features in a file; `None` if there is none, or it is damaged."""
    try:
        content = read_tensors(path)
    except (DamagedTensorsError, pickle.UnpicklingError):
        return None
    match content:
        case {"values": Tensor() as values, "seconds": float(seconds)}:
            return Features(values, seconds, stored=True)
    return None


def _computed(compute: Callable[[], Tensor]) -> Features:
    start = time.perf_counter()
    values = compute()
    return Features(values, time.perf_counter() - start, stored=False)
