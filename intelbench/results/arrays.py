"""The arrays that a run left, each held against what docs/RECORDS.md promises before anything is computed from it.

What breaks a promise is a `ValueError` that names the array. Sizes are `None` where any will do.
"""

import numpy as np
from numpy.typing import NDArray

from intelbench.records.store import Traces

SHORTEST_SECONDS = 1e-12
"""What takes less, and some time, was not measured: no clock is that fine."""
LONGEST_SECONDS = 1e10
"""Three hundred years."""
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
"""Losses and logits are computed in float32."""


def numbers(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Real numbers that float32 can hold."""
    found = _shaped(traces, name, shape, "fiu").astype(np.float64)
    if not _within(found, -LARGEST_FLOAT32, LARGEST_FLOAT32):
        raise ValueError(f"{name} holds what is no number, or a very large one")
    return found


def logits(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """The same, or what is left of them where a network broke down: infinite, or not a number."""
    found = _shaped(traces, name, shape, "f").astype(np.float64)
    if not _within(found, -LARGEST_FLOAT32, LARGEST_FLOAT32):
        found[np.abs(found) > LARGEST_FLOAT32] = np.nan
    return found


def seconds(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Times that a clock can have measured."""
    found = _shaped(traces, name, shape, "f").astype(np.float64)
    measured = found if _within(found, SHORTEST_SECONDS, LONGEST_SECONDS) else found[found != 0]
    if not _within(measured, SHORTEST_SECONDS, LONGEST_SECONDS):
        raise ValueError(f"{name} holds times that no clock has measured")
    return found


def durations(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Times of work, which takes some."""
    found = _shaped(traces, name, shape, "f").astype(np.float64)
    if not _within(found, SHORTEST_SECONDS, LONGEST_SECONDS):
        raise ValueError(f"{name} holds times that no work has taken")
    return found


def shares(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Numbers from 0 to 1."""
    found = _shaped(traces, name, shape, "f").astype(np.float64)
    if not _within(found, 0, 1):
        raise ValueError(f"{name} holds what is no share")
    return found


def classes(traces: Traces, name: str, num_classes: int, *shape: int | None) -> NDArray[np.int16]:
    """Indices of classes."""
    found = _shaped(traces, name, shape, "iu")
    if not _within(found, 0, num_classes - 1):
        raise ValueError(f"{name} holds a class outside 0 to {num_classes - 1}")
    return found.astype(np.int16)


def texts(traces: Traces, name: str, *shape: int | None) -> NDArray[np.str_]:
    """Ids and names."""
    found = _shaped(traces, name, shape, "U" if traces[name].size else "Uf")
    return found.astype(np.str_, copy=False)


def rising(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, each of which must be larger than the one before."""
    if not (values[1:] > values[:-1]).all():
        raise ValueError(f"{name} does not rise")
    return values


def _shaped(traces: Traces, name: str, shape: tuple[int | None, ...], kinds: str) -> NDArray[np.generic]:
    found = traces[name]
    fits = len(found.shape) == len(shape) and all(
        expected is None or expected == size for expected, size in zip(shape, found.shape, strict=True)
    )
    narrow = "f" in kinds and found.itemsize < 4  # no run leaves such, and here each would take eight bytes
    if not fits or found.dtype.kind not in kinds or narrow:
        expected = " x ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {found.shape} of {found.dtype}, not {expected}")
    return found


def _within(found: NDArray[np.generic], low: float, high: float) -> bool:
    """Whether all values are; one that is no number is not."""
    return not found.size or bool(low <= np.minimum.reduce(found, None) and np.maximum.reduce(found, None) <= high)
