"""Measure how much other processes and virtual machines used the CPUs of this one, by the system's counters."""

import time
from typing import NamedTuple

import numpy as np
import psutil

from intelbench.profiling.processors import own_processors
from intelbench.records.profiles import Contention
from intelbench.records.store import Traces

_INTERVAL_SECONDS = 0.5
"""Least time between two readings. The system counts in hundredths of a second, so 2 % of a CPU can be seen."""
_BUSY = ("user", "nice", "system", "irq", "softirq")
"""Fields of CPU time that some process used; Linux counts guests within `user`."""


class _Counters(NamedTuple):
    """Seconds that the operating system has counted; `None` if it does not count them."""

    monotonic: float
    others: float
    """CPU time of all other processes, on the CPUs that this process may use, since the machine was started."""
    stolen: float | None
    suspended: float | None
    """Time that the machine was suspended, plus a constant."""
    time_of_day: float
    """Time of day minus the time that has passed: constant until the clock is set or corrected."""


class ContentionMeter:
    """Measures from its construction to `read`."""

    def __init__(self, *process_ids: int) -> None:
        """Count the CPU time of this process, and of others by their ids, as the run's own."""
        self._process = psutil.Process()
        self._own = [self._process, *map(psutil.Process, process_ids)]
        self._load = psutil.getloadavg()[0]
        self._switches = self._process.num_ctx_switches().involuntary
        self._first = self._last = self._counters()
        self._steps: list[int] = []
        self._seconds: list[tuple[float, float, float]] = []
        """Seconds since the reading before: wall clock, CPU time of others, stolen CPU time."""

    def look(self, step: int, *, at_evaluation: bool) -> None:
        """Read the counters after `step` steps, if half a second has passed or a validation pass has ended."""
        if not at_evaluation and time.monotonic() - self._last.monotonic < _INTERVAL_SECONDS:
            return
        before, self._last = self._last, self._counters()
        seconds, others, stolen = (_increase(*pair) or 0.0 for pair in zip(before[:3], self._last[:3], strict=True))
        self._steps.append(step)
        self._seconds.append((seconds, round(others, 6), round(stolen, 6)))  # below a microsecond is rounding error

    def traces(self) -> Traces:
        """Return the arrays `contention_*` of `traces.npz`, with one entry for each reading."""
        seconds, others, stolen = np.array(self._seconds, dtype=np.float64).reshape(-1, 3).T
        return {
            "contention_step": np.array(self._steps, dtype=np.int64),
            "contention_seconds": seconds,
            "contention_others_cpu_seconds": others,
            **({} if self._first.stolen is None else {"contention_stolen_cpu_seconds": stolen}),
        }

    def read(self) -> Contention:
        """Return the figures since the construction."""
        first, now = self._first, self._counters()
        return Contention(
            seconds=now.monotonic - first.monotonic,
            load_before=self._load,
            load_after=psutil.getloadavg()[0],
            involuntary_switches=self._process.num_ctx_switches().involuntary - self._switches,
            others_cpu_seconds=_increase(first.others, now.others),
            stolen_cpu_seconds=_increase(first.stolen, now.stolen),
            suspended_seconds=_increase(first.suspended, now.suspended),
            clock_shift_seconds=abs(now.time_of_day - first.time_of_day),
        )

    def _counters(self) -> _Counters:
        monotonic, times = time.monotonic(), psutil.cpu_times(percpu=True)
        # Runs next to this one have other CPUs. A system may not tell which ones a process may use.
        times = [times[processor] for processor in own_processors() if processor < len(times)] or times
        own = sum(each.user + each.system for each in (process.cpu_times() for process in self._own))
        has_boottime = hasattr(time, "CLOCK_BOOTTIME")
        suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic() if has_boottime else None
        return _Counters(
            monotonic=monotonic,
            others=sum(getattr(each, name, 0.0) for each in times for name in _BUSY) - own,
            stolen=sum(each.steal for each in times) if hasattr(times[0], "steal") else None,
            suspended=suspended,
            time_of_day=time.time() - time.monotonic() - (suspended or 0.0),
        )


def _increase(before: float | None, after: float | None) -> float | None:
    """Return the increase of a counter, at least 0: the system's counters may be a little behind the process's own."""
    return None if before is None or after is None else max(0.0, after - before)
