"""Whether the GPU of a run was quiet: throttled, at its usual clock, and used by nobody else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.records.store import Traces
from intelbench.results import arrays

THERMAL_REASONS = 0x20 | 0x40
"""Bits of NVML's clock event reasons: slowed down for heat by the driver, or by the GPU itself."""
POWER_REASONS = 0x04 | 0x80
"""Bits of NVML's clock event reasons: at the power limit, or slowed down by the power supply."""
CLOCK_SHARE = 0.9
"""Share of the other runs' median clock below which the clock of a run is low."""


@dataclass(frozen=True)
class GpuReadings:
    """Readings of NVML at K moments of one run, an array each; `None` where NVML did not know."""

    sm_clock_megahertz: NDArray[np.float64] | None
    temperature_celsius: NDArray[np.float64] | None
    power_watts: NDArray[np.float64] | None
    clock_event_reasons: NDArray[np.int64] | None
    """Bits."""
    foreign_processes: NDArray[np.int64] | None
    """Number of processes on the GPU that are not of the run."""

    @property
    def median_sm_clock_megahertz(self) -> float | None:
        """Clock of the multiprocessors."""
        return None if self.sm_clock_megahertz is None else float(np.median(self.sm_clock_megahertz))

    def summary(self) -> dict[str, float | int | None]:
        """Return the columns of a run's row: median clock and power, highest temperature, most foreign processes."""
        return {
            "sm_clock_megahertz": self.median_sm_clock_megahertz,
            "temperature_celsius": _largest(self.temperature_celsius),
            "power_watts": None if self.power_watts is None else float(np.median(self.power_watts)),
            "power_limited_share": None if self.clock_event_reasons is None else self._share(POWER_REASONS),
            "foreign_processes": None if self.foreign_processes is None else int(self.foreign_processes.max()),
        }

    def reasons(self, other_clocks: Sequence[float | None]) -> list[str]:
        """Return what the run is flagged for: `heat`, `foreign`, `clock`.

        Args:
            other_clocks: Median clocks of the other runs on such a GPU, in megahertz.
        """
        known = [clock for clock in other_clocks if clock is not None]
        own = self.median_sm_clock_megahertz
        flags = {
            "heat": self.clock_event_reasons is not None and self._share(THERMAL_REASONS) > 0,
            "foreign": self.foreign_processes is not None and self.foreign_processes.max() > 0,
            "clock": own is not None and bool(known) and own < CLOCK_SHARE * float(np.median(known)),
        }
        return [name for name, flagged in flags.items() if flagged]

    def _share(self, bits: int) -> float:
        """Share of the moments at which one of these reasons was given."""
        assert self.clock_event_reasons is not None
        return float((self.clock_event_reasons & bits != 0).mean())


def read_gpu(traces: Traces) -> GpuReadings | None:
    """Read the arrays `gpu_*` of a run; `None` where there are none.

    Raises:
        ValueError: an array is not what docs/RECORDS.md promises.
    """
    if "gpu_step" not in traces:
        return None
    num = len(arrays.numbers(traces, "gpu_step", None))
    if num == 0:
        return None

    def numbers(name: str) -> NDArray[np.float64] | None:
        return arrays.numbers(traces, f"gpu_{name}", num) if f"gpu_{name}" in traces else None

    def whole_numbers(name: str) -> NDArray[np.int64] | None:
        values = numbers(name)
        return None if values is None else values.astype(np.int64)

    return GpuReadings(
        numbers("sm_clock_megahertz"),
        numbers("temperature_celsius"),
        numbers("power_watts"),
        whole_numbers("clock_event_reasons"),
        whole_numbers("foreign_processes"),
    )


def _largest(values: NDArray[np.float64] | None) -> float | None:
    return None if values is None else float(values.max())
