"""Who else used the machine meanwhile: the operating system's own accounts, read twice."""

import time

import numpy as np
import psutil

from intelbench.records.profiles import Contention
from intelbench.records.store import Traces

_LOOK_SECONDS = 0.5
"""Between two readings; the system counts in hundredths of a second, so that 2 % of a processor can be seen."""

_BUSY = ("user", "nice", "system", "irq", "softirq")
"""Processor time that somebody used; Linux counts guests within `user`."""


class ContentionMeter:
    """From its making to `read`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._started = time.monotonic()
        self._load = psutil.getloadavg()[0]
        self._switches = self._process.num_ctx_switches().involuntary
        self._others = self._others_seconds()
        self._stolen = _stolen_seconds()
        self._asleep, self._time_of_day = _asleep_seconds(), _time_of_day_seconds()
        self._looked = (self._started, self._others, self._stolen)
        self._steps: list[int] = []
        self._seconds: list[tuple[float, float, float]] = []
        """At each reading: wall clock, others' and stolen processor seconds since the reading before."""

    def look(self, step: int, *, at_evaluation: bool) -> None:
        """Read the accounts after so many steps, if half a second has passed or a validation pass has ended."""
        if not at_evaluation and time.monotonic() - self._looked[0] < _LOOK_SECONDS:
            return
        before, self._looked = self._looked, (time.monotonic(), self._others_seconds(), _stolen_seconds())
        seconds, others, stolen = map(_increase, before, self._looked)
        self._steps.append(step)
        # The processor seconds are differences of sums: what is below a microsecond is rounding.
        self._seconds.append((seconds or 0.0, round(others or 0.0, 6), round(stolen or 0.0, 6)))

    def traces(self) -> Traces:
        """The arrays `contention_*` of `traces.npz`, with no entry where nothing was read."""
        seconds, others, stolen = np.array(self._seconds, dtype=np.float64).reshape(-1, 3).T
        return {
            "contention_step": np.array(self._steps, dtype=np.int64),
            "contention_seconds": seconds,
            "contention_others_cpu_seconds": others,
            **({} if self._stolen is None else {"contention_stolen_cpu_seconds": stolen}),
        }

    def read(self) -> Contention:
        """What has happened so far."""
        return Contention(
            seconds=time.monotonic() - self._started,
            load_before=self._load,
            load_after=psutil.getloadavg()[0],
            involuntary_switches=self._process.num_ctx_switches().involuntary - self._switches,
            others_cpu_seconds=_increase(self._others, self._others_seconds()),
            stolen_cpu_seconds=_increase(self._stolen, _stolen_seconds()),
            suspended_seconds=_increase(self._asleep, _asleep_seconds()),
            clock_shift_seconds=abs(_time_of_day_seconds() - self._time_of_day),
        )

    def _others_seconds(self) -> float:
        """Of all processes but this one, since the machine was started."""
        times = psutil.cpu_times()
        own = self._process.cpu_times()
        return sum(getattr(times, name, 0.0) for name in _BUSY) - own.user - own.system


def _stolen_seconds() -> float | None:
    stolen: float | None = getattr(psutil.cpu_times(), "steal", None)
    return stolen


def _asleep_seconds() -> float | None:
    """How long the machine has been suspended since it was started, but for a constant."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def _time_of_day_seconds() -> float:
    """The time of day, less what has really passed: constant until somebody sets it, or corrects it bit by bit."""
    return time.time() - time.monotonic() - (_asleep_seconds() or 0.0)


def _increase(before: float | None, after: float | None) -> float | None:
    """Of two readings; the system counts in hundredths, and so may be a little behind the process's own account."""
    return None if before is None or after is None else max(0.0, after - before)
