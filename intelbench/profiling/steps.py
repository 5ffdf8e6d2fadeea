"""Time the parts of training steps with one clock."""

import time
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from intelbench.profiling.device import Event, device_of

Part = Literal["data_wait", "transfer", "forward", "backward", "norm", "optimizer", "other"]
"""Parts of a training step in order: waiting for the batch, transfer to the device and normalisation, the two passes,
gradient norm, update, everything else."""
PARTS: tuple[Part, ...] = get_args(Part)
DATA_WAIT: tuple[Part, ...] = ("data_wait", "transfer")
"""Parts that make the data loading time of a step."""
STEP: tuple[Part, ...] = ("forward", "backward", "optimizer")
"""Parts that make the time of a step. A budget in seconds covers these and the data loading time."""
PAUSE: Literal["pause"] = "pause"
"""Time between two steps: validation passes, checkpoints, meters."""
PREPARATION: Literal["preparation"] = "preparation"
"""Time in which passes are captured or compiled for many steps. It belongs to no part of a step."""
Stretch = Part | Literal["pause", "preparation"]
"""A part of a step, or time outside the steps."""
_OUTSIDE: tuple[Stretch, ...] = ("norm", "other", PAUSE, PREPARATION)
"""Stretches that a budget in seconds does not cover."""
_TIMED_ON_GPU: tuple[Stretch, ...] = ("transfer", "backward", "norm", "optimizer", PAUSE, PREPARATION)
"""Stretches after which the clock records an event on a GPU. Each has the time since the event before it."""
_MAX_PENDING = 64
"""Number of laps, about those of ten steps, above which the clock asks which of them a GPU has passed."""


class _Lap(NamedTuple):
    """The end of a stretch."""

    part: Stretch
    host_seconds: float
    """Value of `time.perf_counter`."""
    event: Event | None
    charged_seconds: float
    """Seconds to add to the time since the lap before."""


class LapClock:
    """Measures the seconds that each step spends on each part.

    On a CPU every part is timed, which takes 2 to 3 microseconds. On a GPU a lap is an event in its stream, so timing
    never makes the host wait; the gap between two steps is the time that the GPU waited for data. Events are converted
    to seconds once the GPU has passed them, at the latest in `settle`, which synchronises once. Converted events are
    used again.
    """

    def __init__(self, device: torch.device, *, every_part: bool = False) -> None:
        """With `every_part` the clock times every part on a GPU too."""
        self._device = device_of(device)
        self.has_events = self._device.has_events
        """Whether times are by the clock of the device; those by the host's clock are kept too."""
        self.has_every_part = every_part or not self.has_events
        """Whether every part is timed. If not, the time of some parts includes the parts before them."""
        self._timed = (*PARTS, PAUSE, PREPARATION) if self.has_every_part else _TIMED_ON_GPU
        self._laps: deque[_Lap] = deque()
        self._free_events: list[Event] = []
        self._seconds = {part: array("d") for part in self._timed}
        """Seconds of each step, by part."""
        self._host_seconds = {part: array("d") for part in self._timed}
        self.budget_seconds = 0.0
        """Seconds inside the budget, without synchronising. On a GPU these are by its clock for laps that are converted
        to seconds, and by the host's clock after that."""
        self._last_lap = 0.0
        self._charged = 0.0
        """Seconds to add to the next lap."""

    def start(self) -> None:
        """Start or restart the clock; the time since the last lap counts as a pause."""
        self.lap(PAUSE)

    def lap(self, part: Stretch) -> None:
        """Mark the end of a part: the time since the last lap is added to the part, if the clock times it."""
        if part not in self._timed:
            return
        now = time.perf_counter()
        if part not in _OUTSIDE:
            self.budget_seconds += now - self._last_lap
        self._last_lap = now
        charged, self._charged = self._charged, 0.0
        event = self._free_events.pop() if self._free_events else self._device.event(timing=True)
        if event is not None:
            event.record()
        self._laps.append(_Lap(part, now, event, charged))
        if len(self._laps) > _MAX_PENDING:
            while len(self._laps) > 1 and (event := self._laps[1].event) is not None and event.query():
                self._convert_first()

    def add_seconds(self, seconds: float) -> None:
        """Add seconds that have not passed to the current data loading time and to the budget."""
        self.budget_seconds += seconds
        self._charged += seconds

    def settle(self) -> float:
        """Synchronise the device, convert all laps to seconds, and return the seconds inside the budget."""
        self._device.synchronize()
        while len(self._laps) > 1:
            self._convert_first()
        return sum(sum(seconds) for part, seconds in self._seconds.items() if part not in _OUTSIDE)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: the settled seconds by part, and the seconds inside the budget."""
        return {
            "budget_seconds": self.budget_seconds,
            **{
                name: {part: torch.tensor(seconds, dtype=torch.float64) for part, seconds in columns.items()}
                for name, columns in (("seconds", self._seconds), ("host_seconds", self._host_seconds))
            },
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore the state from a checkpoint."""
        self.budget_seconds = state_dict["budget_seconds"]
        self._seconds, self._host_seconds = (
            {part: array("d", seconds.tolist()) for part, seconds in state_dict[name].items()}
            for name in ("seconds", "host_seconds")
        )

    def seconds(self, *parts: Stretch) -> NDArray[np.float64]:
        """Return the seconds of each settled step in these parts together (S values), on a GPU by its own clock."""
        sums: NDArray[np.float64] = _table(self._seconds, parts).sum(axis=1)
        return sums

    def table(self, *, by_host: bool = False) -> NDArray[np.float64]:
        """Return the seconds of each settled step by part (S x 7, as in `PARTS`), on a GPU by its own clock.

        By the clock of the host, they are the time that it took to start the work of a GPU.
        """
        return _table(self._host_seconds if by_host else self._seconds, PARTS)

    def _convert_first(self) -> None:
        """Convert the time between the first two laps to seconds."""
        begin, end = self._laps.popleft(), self._laps[0]
        host_seconds = end.host_seconds - begin.host_seconds
        seconds = host_seconds
        if begin.event is not None and end.event is not None:
            seconds = begin.event.elapsed_time(end.event) / 1000
            self._free_events.append(begin.event)
        if begin.part == PAUSE and end.part != PAUSE:
            for column in chain(self._seconds.values(), self._host_seconds.values()):
                column.append(0.0)
        elif not self._seconds[PAUSE]:
            return
        if end.part not in _OUTSIDE:
            self.budget_seconds += seconds - host_seconds  # `lap` has added the host's
        self._seconds[end.part][-1] += seconds + end.charged_seconds
        self._host_seconds[end.part][-1] += host_seconds + end.charged_seconds


def _table(columns: Mapping[Stretch, Sequence[float]], parts: Sequence[Stretch]) -> NDArray[np.float64]:
    """Return the seconds of S steps by part (S x P); 0 for parts that are not timed."""
    zeros = np.zeros(len(columns[PAUSE]))
    return np.stack([np.array(columns.get(part, zeros)) for part in parts], axis=1)
