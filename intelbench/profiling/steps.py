"""One clock for a run, which books the time between laps to accounts."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from intelbench.profiling.device import Event, device_of

Part = Literal["data_wait", "transfer", "forward", "backward", "norm", "optimizer", "other"]
"""What a training step consists of, in order: waiting for the batch; its way to the device, and normalisation; the two
passes; the gradient norm; the update; and all that is done beside."""
PARTS: tuple[Part, ...] = get_args(Part)

TIMED: Mapping[Part, str] = {
    "transfer": "data_wait", "backward": "step", "norm": "outside", "optimizer": "step", "other": "outside",
}  # fmt: skip
"""The accounts of a run, by the part with which a stretch of one ends. Where two parts belong to one account, the clock
takes no notice of what lies between them: it looks at a step as seldom as it can."""
ANATOMY: Mapping[Part, str] = {part: part for part in PARTS}
"""An account for each part, for steps that are looked at and do not count."""
_FIRST = "data_wait"
"""The account that begins a step."""
_OUTSIDE = ("outside", "norm", "other")
"""Accounts that a budget in seconds does not pay for."""


_MOST_UNDER_WAY = 64
"""Number of laps from which on the clock asks which of them a GPU has passed: those of about ten steps."""


class _Lap(NamedTuple):
    """A moment at which a part of a step ended."""

    account: str
    host_seconds: float
    """Of `time.perf_counter`."""
    event: Event | None
    charged_seconds: float
    """Added to the time since the lap before."""


class LapClock:
    """Books the time since the last lap to an account.

    On a GPU the laps are events in its queue, so that measuring never makes the host wait; the gap between two steps is
    what the GPU waited for data. They become seconds once the GPU has passed them, and at the latest in `settle`, which
    synchronises once; an event that has become seconds is used again.
    """

    def __init__(self, device: torch.device, accounts: Mapping[Part, str] = TIMED) -> None:
        self._device = device_of(device)
        self._accounts = accounts
        self._laps: deque[_Lap] = deque()
        self._spare: list[Event] = []
        """Events that nobody needs any more."""
        self._steps: list[dict[str, float]] = []
        self._host_steps: list[dict[str, float]] = []
        self._budget_seconds = 0.0
        self._last_lap = 0.0
        self._charged = 0.0
        """Seconds that the next data wait is to be longer."""

    def start(self) -> None:
        """Start the clock, or start it anew without booking what has passed."""
        self.lap("other")

    def lap(self, part: Part) -> None:
        """A part has ended: book the time since the last lap, if an account's stretch ends here too."""
        account = self._accounts.get(part)
        if account is None:
            return
        now = time.perf_counter()
        if account not in _OUTSIDE:
            self._budget_seconds += now - self._last_lap
        self._last_lap = now
        charged = 0.0
        if account == _FIRST:
            charged, self._charged = self._charged, 0.0
        event = self._spare.pop() if self._spare else self._device.event(timing=True)
        if event is not None:
            event.record()
        self._laps.append(_Lap(account, now, event, charged))
        if event is not None and len(self._laps) > _MOST_UNDER_WAY:
            self._book_finished()

    def charge(self, seconds: float) -> None:
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
        return sum(spent for step in self._steps for account, spent in step.items() if account not in _OUTSIDE)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: what is settled, steps x accounts, and the budget's clock."""
        accounts = sorted({account for step in self._steps for account in step})
        return {
            "accounts": accounts,
            "budget_seconds": self._budget_seconds,
            **{
                name: torch.tensor([[step.get(each, 0.0) for each in accounts] for step in steps], dtype=torch.float64)
                for name, steps in (("steps", self._steps), ("host_steps", self._host_steps))
            },
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go on from a checkpoint."""
        accounts, self._budget_seconds = state_dict["accounts"], state_dict["budget_seconds"]
        self._steps, self._host_steps = (
            [dict(zip(accounts, step, strict=True)) for step in state_dict[name].tolist()]
            for name in ("steps", "host_steps")
        )

    def seconds(self, account: str) -> NDArray[np.float64]:
        """What each step, settled, has spent on the account; on a GPU by its own clock."""
        return np.array([step.get(account, 0.0) for step in self._steps])

    def host_seconds(self, account: str) -> NDArray[np.float64]:
        """The same by the host's clock: on a GPU, how long it took to ask for the work."""
        return np.array([step.get(account, 0.0) for step in self._host_steps])

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
        if end.account == _FIRST:
            self._steps.append({})
            self._host_steps.append({})
        elif not self._steps:
            return
        if end.account not in _OUTSIDE:
            self._budget_seconds += seconds - host_seconds  # the host's were counted in `lap`
        for step, spent in ((self._steps[-1], seconds), (self._host_steps[-1], host_seconds)):
            step[end.account] = step.get(end.account, 0.0) + (spent + end.charged_seconds)
