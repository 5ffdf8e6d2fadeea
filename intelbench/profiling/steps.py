"""One clock for a run, with three accounts: training steps, waiting for data, and all that is outside the budget."""

import time
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Account = Literal["step", "data_wait", "outside"]


class LapClock:
    """Books the time since the last lap to an account.

    On a GPU the laps are CUDA events in the stream, so that measuring never makes the host wait; the gap between two
    steps is what the GPU waited for data. They become seconds in `settle`, which synchronises once.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._laps: list[tuple[Account, float | torch.cuda.Event]] = []
        self._step_seconds: list[float] = []
        self._data_wait_seconds: list[float] = []
        self._budget_seconds = 0.0
        self._last_lap = 0.0

    def start(self) -> None:
        """Start the clock, or start it anew without booking what has passed."""
        self.lap("outside")

    def lap(self, account: Account) -> None:
        """Book the time since the last lap. A step may be booked in pieces: `data_wait` begins the next one."""
        now = time.perf_counter()
        if account != "outside":
            self._budget_seconds += now - self._last_lap
        self._last_lap = now
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._laps.append((account, event))
        else:
            self._laps.append((account, now))

    @property
    def budget_seconds(self) -> float:
        """What the host has spent inside the budget, without synchronising; on a GPU ahead of it by a step or so."""
        return self._budget_seconds

    def settle(self) -> float:
        """Turn all laps into seconds and return the sum of both accounts; synchronises a GPU."""
        if self._cuda:
            torch.cuda.synchronize()
        for (_, before), (account, after) in zip(self._laps, self._laps[1:], strict=False):
            if isinstance(before, float) or isinstance(after, float):
                seconds = float(after) - float(before)  # type: ignore[arg-type]
            else:
                seconds = before.elapsed_time(after) / 1000
            if account == "data_wait":
                self._data_wait_seconds.append(seconds)
                self._step_seconds.append(0.0)
            elif account == "step":
                self._step_seconds[-1] += seconds
        del self._laps[:-1]
        return sum(self._step_seconds) + sum(self._data_wait_seconds)

    def step_seconds(self) -> NDArray[np.float64]:
        """Seconds of each step, settled."""
        return np.array(self._step_seconds)

    def data_wait_seconds(self) -> NDArray[np.float64]:
        """Seconds waited before each step, settled."""
        return np.array(self._data_wait_seconds)
