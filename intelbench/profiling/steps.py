"""One clock for a run, which books the time between laps to the parts of a step."""

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
"""What a training step consists of, in order: waiting for the batch; its way to the device, and normalisation; the two
passes; the gradient norm; the update; and all that is done beside."""
PARTS: tuple[Part, ...] = get_args(Part)
DATA_WAIT: tuple[Part, ...] = ("data_wait", "transfer")
"""What a step waits for before it begins."""
STEP: tuple[Part, ...] = ("forward", "backward", "optimizer")
"""What is called its time. A budget in seconds pays for this and the data wait."""
PAUSE: Literal["pause"] = "pause"
"""What is done between two steps: validation passes, checkpoints, meters."""
PREPARATION: Literal["preparation"] = "preparation"
"""What a step does once for many: capturing or compiling its passes. It belongs to no part of the step."""
Stretch = Part | Literal["pause", "preparation"]
"""What the time between two laps can be booked to."""
_OUTSIDE: tuple[Stretch, ...] = ("norm", "other", PAUSE, PREPARATION)
"""A budget in seconds does not pay for them."""
_NOTICED: tuple[Stretch, ...] = ("transfer", "backward", "norm", "optimizer", PAUSE, PREPARATION)
"""Where the clock of a run looks on a GPU, as seldom as it can; each of them has the time since the one before."""
_MOST_UNDER_WAY = 64
"""Number of laps from which on the clock asks which of them a GPU has passed: those of about ten steps."""


class _Lap(NamedTuple):
    """A moment at which a part of a step ended."""

    part: Stretch
    host_seconds: float
    """Of `time.perf_counter`."""
    event: Event | None
    charged_seconds: float
    """Added to the time since the lap before."""


class LapClock:
    """Books the time since the last lap to a part of a step.

    On a CPU it looks at every part, which takes 2 to 3 microseconds. On a GPU the laps are events in its queue, so
    that measuring never makes the host wait; the gap between two steps is what the GPU waited for data. They become
    seconds once the GPU has passed them, and at the latest in `settle`, which synchronises once; an event that has
    become seconds is used again.
    """

    def __init__(self, device: torch.device, *, every_part: bool = False) -> None:
        """With `every_part` it looks at every part on a GPU too."""
        self._device = device_of(device)
        self.has_events = self._device.has_events
        """Whether times are those of the device; the host's are kept too."""
        self.has_every_part = every_part or not self.has_events
        """Whether every part has a time of its own. If not, some have that of the parts before them too."""
        self._noticed = (*PARTS, PAUSE, PREPARATION) if self.has_every_part else _NOTICED
        self._laps: deque[_Lap] = deque()
        self._spare: list[Event] = []
        """Events that nobody needs any more."""
        self._seconds = {part: array("d") for part in self._noticed}
        """What each step has spent on the part."""
        self._host_seconds = {part: array("d") for part in self._noticed}
        self._budget_seconds = 0.0
        self._last_lap = 0.0
        self._charged = 0.0
        """Seconds that the next lap is to be longer."""

    def start(self) -> None:
        """Start the clock, or start it anew without booking what has passed."""
        self.lap(PAUSE)

    def lap(self, part: Stretch) -> None:
        """A part has ended: book the time since the last lap to it, if the clock looks at this part."""
        if part not in self._noticed:
            return
        now = time.perf_counter()
        if part not in _OUTSIDE:
            self._budget_seconds += now - self._last_lap
        self._last_lap = now
        charged, self._charged = self._charged, 0.0
        event = self._spare.pop() if self._spare else self._device.event(timing=True)
        if event is not None:
            event.record()
        self._laps.append(_Lap(part, now, event, charged))
        if event is not None and len(self._laps) > _MOST_UNDER_WAY:
            self._book_finished()

    def add_seconds(self, seconds: float) -> None:
        """Count seconds that nobody spent, as part of the data wait that is under way."""
        self._budget_seconds += seconds
        self._charged += seconds

    @property
    def budget_seconds(self) -> float:
        """Seconds inside the budget, without synchronising.

        On a GPU they are its own as far as laps have become seconds, and the host's after that.
        """
        return self._budget_seconds

    def settle(self) -> float:
        """Turn all laps into seconds and return the sum of those inside the budget; synchronises a GPU."""
        self._device.synchronize()
        while len(self._laps) > 1:
            self._book_first()
        return sum(sum(spent) for part, spent in self._seconds.items() if part not in _OUTSIDE)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: what is settled, by part, and the budget's clock."""
        return {
            "budget_seconds": self._budget_seconds,
            **{
                name: {part: torch.tensor(spent, dtype=torch.float64) for part, spent in columns.items()}
                for name, columns in (("seconds", self._seconds), ("host_seconds", self._host_seconds))
            },
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go on from a checkpoint."""
        self._budget_seconds = state_dict["budget_seconds"]
        self._seconds, self._host_seconds = (
            {part: array("d", spent.tolist()) for part, spent in state_dict[name].items()}
            for name in ("seconds", "host_seconds")
        )

    def seconds(self, *parts: Stretch) -> NDArray[np.float64]:
        """What each settled step has spent on these parts together (S values); on a GPU by its own clock."""
        found: NDArray[np.float64] = _table(self._seconds, parts).sum(axis=1)
        return found

    def table(self) -> NDArray[np.float64]:
        """The same for every part, in the order of `PARTS` (S x 7)."""
        return _table(self._seconds, PARTS)

    def host_table(self) -> NDArray[np.float64]:
        """The same by the host's clock: on a GPU, how long it took to ask for the work (S x 7)."""
        return _table(self._host_seconds, PARTS)

    def _book_finished(self) -> None:
        """Turn the laps that the GPU has passed into seconds."""
        while len(self._laps) > 1 and (event := self._laps[1].event) is not None and event.query():
            self._book_first()

    def _book_first(self) -> None:
        """Turn the time between the first two laps into seconds."""
        begin, end = self._laps.popleft(), self._laps[0]
        host_seconds = end.host_seconds - begin.host_seconds
        seconds = host_seconds
        if begin.event is not None and end.event is not None:
            seconds = begin.event.elapsed_time(end.event) / 1000
            self._spare.append(begin.event)
        if begin.part == PAUSE and end.part != PAUSE:
            for column in chain(self._seconds.values(), self._host_seconds.values()):
                column.append(0.0)
        elif not self._seconds[PAUSE]:
            return
        if end.part not in _OUTSIDE:
            self._budget_seconds += seconds - host_seconds  # the host's were counted in `lap`
        self._seconds[end.part][-1] += seconds + end.charged_seconds
        self._host_seconds[end.part][-1] += host_seconds + end.charged_seconds


def _table(columns: Mapping[Stretch, Sequence[float]], parts: Sequence[Stretch]) -> NDArray[np.float64]:
    """Seconds of S steps by part (S x P); 0 for parts that the clock does not look at."""
    nothing = np.zeros(len(columns[PAUSE]))
    return np.stack([np.array(columns.get(part, nothing)) for part in parts], axis=1)
