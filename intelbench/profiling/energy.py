"""Measure energy by hardware counters: NVML's of a GPU, or RAPL's of the CPU packages. Nothing is estimated.

RAPL (Running Average Power Limit) counts microjoules of each CPU package, which Linux shows below /sys/class/powercap.
A counter returns to 0 at a stated range. Since Linux 5.10 only the administrator can read it. Virtual machines have no
RAPL, and most have no energy counter of NVML.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from intelbench.profiling.device import device_of
from intelbench.profiling.nvml import Nvml
from intelbench.records.profiles import Energy

_POWERCAP = Path("/sys/class/powercap")
_IDLE_SECONDS = 1.0
"""Length of the idle measurement, in which both counters are updated many times."""
_INTERVAL_SECONDS = 60.0
"""Time between two readings in a run. No RAPL counter reaches its range in this time."""


class NvmlCounter:
    """The energy of GPUs since their driver was loaded (`nvmlDeviceGetTotalEnergyConsumption`)."""

    source: Literal["nvml"] = "nvml"

    def __init__(self, *devices: torch.device) -> None:
        self._gpus = [Nvml(device) for device in devices]

    def joules(self) -> float:
        """Return the joules of all the GPUs since the driver was loaded.

        Raises:
            OSError: a counter cannot be read.
        """
        return sum(float(gpu.ask("nvmlDeviceGetTotalEnergyConsumption")) for gpu in self._gpus) / 1e3


class RaplCounter:
    """The energy of all CPU packages together since the construction."""

    source: Literal["rapl"] = "rapl"

    def __init__(self, folder: Path = _POWERCAP) -> None:
        # AMD's zones have this name too. Other zones are parts of a package, or include the packages (psys).
        zones = sorted(folder.glob("intel-rapl:*"))
        self._packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
        if not self._packages:
            raise OSError("the kernel shows no RAPL counter, as on most virtual machines")
        self._ranges = {path: int((path / "max_energy_range_uj").read_text()) for path in self._packages}
        self._last = self._counters()
        self._total = 0

    def joules(self) -> float:
        """Return the joules since the construction; call it before a counter reaches its range, which takes minutes.

        Raises:
            OSError: a counter cannot be read.
        """
        counters = self._counters()
        for path, counter in counters.items():
            increase = counter - self._last[path]
            self._total += increase if increase >= 0 else increase + self._ranges[path] + 1
        self._last = counters
        return self._total / 1e6

    def _counters(self) -> Mapping[Path, int]:
        return {path: int((path / "energy_uj").read_text()) for path in self._packages}


EnergyCounter = NvmlCounter | RaplCounter


def find_counter(device: torch.device, *others: torch.device) -> EnergyCounter:
    """Return the energy counter of the device of a run, together with other GPUs that compute it.

    Raises:
        OSError: the device has no counter, or it cannot be read; the message says why.
    """
    return NvmlCounter(device, *others) if device_of(device).kind == "cuda" else RaplCounter()


class EnergyMeter:
    """Measures energy from its construction to `read`. The construction measures the idle machine for a second.

    Without a GPU nothing is measured if the machine executes several runs at once (`slots`), which share the counter.
    """

    def __init__(self, device: torch.device, *others: torch.device, slots: int = 1) -> None:
        self._counter: EnergyCounter | None = None
        self._absent: str | None = None
        self._idle_joules: float | None = None
        self._idle_seconds = 0.0
        self._joules = 0.0
        try:
            if slots > 1 and device_of(device).kind != "cuda":
                raise OSError(f"{slots} runs at once share the CPU packages")
            self._counter = counter = find_counter(device, *others)
            before, started = counter.joules(), time.monotonic()
            time.sleep(_IDLE_SECONDS)
            self._joules = counter.joules()
            self._idle_joules, self._idle_seconds = self._joules - before, time.monotonic() - started
        except OSError as error:
            self._drop_counter(error)
        self._started = self._last_reading = time.monotonic()

    def look(self) -> None:
        """Read the counter from time to time, so that it never passes its range unseen; call this at every step."""
        now = time.monotonic()
        if self._counter and now - self._last_reading >= _INTERVAL_SECONDS:
            self._last_reading = now
            self._joules_since()

    def read(self) -> Energy:
        """Return the energy since the construction."""
        joules = self._joules_since()
        return Energy(
            source=self._counter.source if self._counter else None,
            joules=joules,
            seconds=time.monotonic() - self._started,
            idle_joules=self._idle_joules,
            idle_seconds=self._idle_seconds,
            absent=self._absent,
        )

    def _joules_since(self) -> float | None:
        if self._counter is None:
            return None
        try:
            return self._counter.joules() - self._joules
        except OSError as error:
            self._drop_counter(error)
            return None

    def _drop_counter(self, error: OSError) -> None:
        """Note why the counter cannot be read; the run continues without it."""
        self._counter = None
        self._absent = f"{error.filename}: {error.strerror}" if error.filename else str(error)
