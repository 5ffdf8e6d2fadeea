"""The arrays of a run, each checked against docs/records.md before anything is computed from it.

An array that breaks a promise is a `ValueError` with its name. `None` in a shape accepts any size.
"""

import numpy as np
from numpy.typing import NDArray

from intelbench.records.store import Traces

MIN_SECONDS = 1e-12
"""A shorter time that is not 0 was not measured: no clock is that fine."""
MAX_SECONDS = 1e10
"""Three hundred years."""
MAX_FLOAT32 = float(np.finfo(np.float32).max)
"""Losses and logits are computed in float32."""


def numbers(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Return an array of real numbers that float32 can hold."""
    values = _shaped(traces, name, shape, "fiu").astype(np.float64)
    return _checked(values, -MAX_FLOAT32, MAX_FLOAT32, f"{name} holds what is no number, or a very large one")


def logits(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Return an array of logits; those of a network that broke down may be infinite or not a number."""
    values = _shaped(traces, name, shape, "f").astype(np.float64)
    if not _within(values, -MAX_FLOAT32, MAX_FLOAT32):
        values[np.abs(values) > MAX_FLOAT32] = np.nan
    return values


def seconds(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Return an array of times that a clock can have measured, 0 included."""
    values = _shaped(traces, name, shape, "f").astype(np.float64)
    if not _within(values, MIN_SECONDS, MAX_SECONDS):
        _checked(values[values != 0], MIN_SECONDS, MAX_SECONDS, f"{name} holds times that no clock has measured")
    return values


def durations(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Return an array of times of work, which are never 0."""
    values = _shaped(traces, name, shape, "f").astype(np.float64)
    return _checked(values, MIN_SECONDS, MAX_SECONDS, f"{name} holds times that no work has taken")


def shares(traces: Traces, name: str, *shape: int | None) -> NDArray[np.float64]:
    """Return an array of numbers from 0 to 1."""
    return _checked(_shaped(traces, name, shape, "f").astype(np.float64), 0, 1, f"{name} holds what is no share")


def classes(traces: Traces, name: str, num_classes: int, *shape: int | None) -> NDArray[np.int16]:
    """Return an array of indices of classes."""
    values = _shaped(traces, name, shape, "iu")
    if not _within(values, 0, num_classes - 1):
        raise ValueError(f"{name} holds a class outside 0 to {num_classes - 1}")
    return values.astype(np.int16)


def texts(traces: Traces, name: str, *shape: int | None) -> NDArray[np.str_]:
    """Return an array of ids or names."""
    return _shaped(traces, name, shape, "U" if traces[name].size else "Uf").astype(np.str_, copy=False)


def rising(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values, each of which must be larger than the value before it."""
    if not (values[1:] > values[:-1]).all():
        raise ValueError(f"{name} does not rise")
    return values


def _shaped(traces: Traces, name: str, shape: tuple[int | None, ...], kinds: str) -> NDArray[np.generic]:
    """Return an array of a shape and of one of the kinds of NumPy's dtypes."""
    array = traces[name]
    fits = len(array.shape) == len(shape) and all(
        expected in (None, size) for expected, size in zip(shape, array.shape, strict=True)
    )
    narrow = "f" in kinds and array.itemsize < 4  # no run leaves such, and here each would take eight bytes
    if not fits or array.dtype.kind not in kinds or narrow:
        expected = " x ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} has shape {array.shape} of {array.dtype}, not {expected}")
    return array


def _checked(values: NDArray[np.float64], low: float, high: float, problem: str) -> NDArray[np.float64]:
    if not _within(values, low, high):
        raise ValueError(problem)
    return values


def _within(values: NDArray[np.generic], low: float, high: float) -> bool:
    """Return whether all values are numbers from `low` to `high`."""
    return not values.size or bool(low <= np.minimum.reduce(values, None) and np.maximum.reduce(values, None) <= high)
