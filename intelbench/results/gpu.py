"""Whether the GPU of a run was quiet: throttled, at its usual clock, and used by nobody else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intelbench.records.store import Traces
from intelbench.results import arrays

THERMAL_REASONS = 0x20 | 0x40
"""Bits of NVML's clock event reasons: slowed down by heat, by the driver or by the GPU itself."""
POWER_REASONS = 0x04 | 0x80
"""Bits of NVML's clock event reasons: at the power limit, or slowed down by the power supply."""
CLOCK_SHARE = 0.9
"""Share of the other runs' median clock below which a run is flagged for its clock."""


@dataclass(frozen=True)
class GpuReadings:
    """Readings of NVML at K moments of one run; `None` for an array that NVML does not report."""

    sm_clock_megahertz: NDArray[np.float64] | None
    temperature_celsius: NDArray[np.float64] | None
    power_watts: NDArray[np.float64] | None
    clock_event_reasons: NDArray[np.int64] | None
    """Bits of NVML's clock event reasons."""
    foreign_processes: NDArray[np.int64] | None
    """Number of processes on the GPU that are not of the run."""

    @property
    def median_sm_clock_megahertz(self) -> float | None:
        """Return the median clock of the multiprocessors."""
        return _reduced(np.median, self.sm_clock_megahertz)

    def summary(self) -> dict[str, float | int | None]:
        """Return the columns of a run's row: median clock and power, highest temperature, most foreign processes."""
        return {
            "sm_clock_megahertz": self.median_sm_clock_megahertz,
            "temperature_celsius": _reduced(np.max, self.temperature_celsius),
            "power_watts": _reduced(np.median, self.power_watts),
            "power_limited_share": self._share(POWER_REASONS),
            "foreign_processes": None if self.foreign_processes is None else int(self.foreign_processes.max()),
        }

    def reasons(self, other_clocks: Sequence[float | None]) -> list[str]:
        """Return the reasons to flag the run: `heat`, `foreign`, `clock`.

        Args:
            other_clocks: Median clocks of the other runs on such a GPU, in megahertz.
        """
        known = [clock for clock in other_clocks if clock is not None]
        own = self.median_sm_clock_megahertz
        flags = {
            "heat": (self._share(THERMAL_REASONS) or 0.0) > 0,
            "foreign": self.foreign_processes is not None and self.foreign_processes.max() > 0,
            "clock": own is not None and bool(known) and own < CLOCK_SHARE * float(np.median(known)),
        }
        return [name for name, flagged in flags.items() if flagged]

    def _share(self, bits: int) -> float | None:
        """Return the share of the moments at which the clock event reasons had one of some bits."""
        return None if self.clock_event_reasons is None else float((self.clock_event_reasons & bits != 0).mean())


def read_gpu(traces: Traces) -> GpuReadings | None:
    """Return the arrays `gpu_*` of a run; `None` without a reading.

    Raises:
        ValueError: an array is not what docs/records.md promises.
    """
    num_moments = len(arrays.numbers(traces, "gpu_step", None)) if "gpu_step" in traces else 0
    if num_moments == 0:
        return None

    def numbers(name: str) -> NDArray[np.float64] | None:
        return arrays.numbers(traces, f"gpu_{name}", num_moments) if f"gpu_{name}" in traces else None

    def integers(name: str) -> NDArray[np.int64] | None:
        values = numbers(name)
        return None if values is None else values.astype(np.int64)

    return GpuReadings(
        numbers("sm_clock_megahertz"),
        numbers("temperature_celsius"),
        numbers("power_watts"),
        integers("clock_event_reasons"),
        integers("foreign_processes"),
    )


def _reduced(function: Callable[[NDArray[np.float64]], Any], values: NDArray[np.float64] | None) -> float | None:
    return None if values is None else float(function(values))
