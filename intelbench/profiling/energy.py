"""Joules, from a counter that counts them: NVML's of a GPU, or RAPL's of the processor packages. Nothing is estimated.

RAPL (Running Average Power Limit) is what Linux shows below /sys/class/powercap: microjoules since some moment, for
each package, back to 0 at a stated range, and since Linux 5.10 for the administrator alone. Virtual machines have
neither that nor, mostly, NVML's counter.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

import torch

from intelbench.profiling.device import device_of
from intelbench.profiling.nvml import Nvml
from intelbench.records.profiles import Energy

_POWERCAP = Path("/sys/class/powercap")
_IDLE_SECONDS = 1.0
"""Both counters are updated many times in that."""
_LOOK_SECONDS = 60.0
"""Between two looks at a counter while a run goes on: no package does a round of its counter in that."""


class EnergyCounter(Protocol):
    """Something that counts joules."""

    @property
    def source(self) -> Literal["nvml", "rapl"]:
        """What it is."""
        ...

    def joules(self) -> float:
        """Joules since some moment, which never fall.

        Raises:
            OSError: the counter cannot be read.
        """
        ...


class NvmlCounter:
    """A GPU's energy since its driver was loaded (`nvmlDeviceGetTotalEnergyConsumption`), millijoules."""

    source: Literal["nvml"] = "nvml"

    def __init__(self, device: torch.device) -> None:
        self._gpu = Nvml(device)

    def joules(self) -> float:
        """As `EnergyCounter` says."""
        return float(self._gpu.ask("nvmlDeviceGetTotalEnergyConsumption")) / 1e3


class RaplCounter:
    """The energy of all processor packages together."""

    source: Literal["rapl"] = "rapl"

    def __init__(self, folder: Path = _POWERCAP) -> None:
        # AMD's have that name too. Beside the packages lie parts of them, and on laptops psys, which they are part of.
        zones = sorted(folder.glob("intel-rapl:*"))
        self._packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
        if not self._packages:
            raise OSError("the kernel shows no RAPL counter, as on most virtual machines")
        self._ranges = {path: _microjoules(path / "max_energy_range_uj") for path in self._packages}
        self._last = self._counters()
        self._total = 0

    def joules(self) -> float:
        """As `EnergyCounter` says; to be read at least once in a round of the counters, which takes minutes."""
        counters = self._counters()
        for path, counter in counters.items():
            increase = counter - self._last[path]
            self._total += increase if increase >= 0 else increase + self._ranges[path] + 1
        self._last = counters
        return self._total / 1e6

    def _counters(self) -> Mapping[Path, int]:
        return {path: _microjoules(path / "energy_uj") for path in self._packages}


def find_counter(device: torch.device) -> EnergyCounter:
    """The counter of the device that a run is on.

    Raises:
        OSError: there is none, or it cannot be read; the message says why.
    """
    return NvmlCounter(device) if device_of(device).kind == "cuda" else RaplCounter()


class EnergyMeter:
    """From its making, which takes a second where there is a counter, to `read`."""

    def __init__(self, device: torch.device) -> None:
        self._counter: EnergyCounter | None = None
        self._absent: str | None = None
        self._idle_joules: float | None = None
        self._idle_seconds = 0.0
        self._joules = 0.0
        try:
            self._counter = counter = find_counter(device)
            before, asleep = counter.joules(), time.monotonic()
            time.sleep(_IDLE_SECONDS)
            self._joules = counter.joules()
            self._idle_joules, self._idle_seconds = self._joules - before, time.monotonic() - asleep
        except OSError as error:
            self._lose(error)
        self._started = self._looked = time.monotonic()

    def look(self) -> None:
        """Read the counter now and then, so that no round of it is missed; to be called at every step."""
        now = time.monotonic()
        if self._counter and now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._joules_since()

    def read(self) -> Energy:
        """What was counted so far."""
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
            self._lose(error)
            return None

    def _lose(self, error: OSError) -> None:
        """Without its counter a run goes on."""
        self._counter = None
        self._absent = f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _microjoules(file: Path) -> int:
    return int(file.read_text())
