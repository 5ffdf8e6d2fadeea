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


@dataclass(frozen=True, kw_only=True)
class GpuReadings:
    """What NVML told during one run; `None` for what it does not report."""

    sm_clock_megahertz: float | None
    """Median clock of the multiprocessors."""
    temperature_celsius: float | None
    """Highest temperature."""
    power_watts: float | None
    """Median power."""
    power_limited_share: float | None
    """Share of the moments at which the power limited the clock."""
    heat_limited_share: float | None
    """Share of the moments at which heat limited the clock."""
    foreign_processes: int | None
    """Largest number of processes on the GPU that are not of the run."""

    def reasons(self, other_clocks: Sequence[float | None]) -> list[str]:
        """Return the reasons to flag the run: `heat`, `foreign`, `clock`.

        `other_clocks` are the median clocks of the other runs on such a GPU, in megahertz.
        """
        known = [clock for clock in other_clocks if clock is not None]
        own = self.sm_clock_megahertz
        flags = {
            "heat": bool(self.heat_limited_share),
            "foreign": bool(self.foreign_processes),
            "clock": own is not None and bool(known) and own < CLOCK_SHARE * float(np.median(known)),
        }
        return [name for name, flagged in flags.items() if flagged]


def read_gpu(traces: Traces) -> GpuReadings | None:
    """Return what the arrays `gpu_*` of a run tell; `None` without a reading.

    Raises:
        ValueError: an array is not what docs/records.md promises.
    """
    num_moments = len(arrays.numbers(traces, "gpu_step", None)) if "gpu_step" in traces else 0
    if num_moments == 0:
        return None

    def told(name: str, statistic: Callable[[NDArray[np.float64]], Any]) -> float | None:
        name = f"gpu_{name}"
        return float(statistic(arrays.numbers(traces, name, num_moments))) if name in traces else None

    def share(bits: int) -> float | None:
        return told("clock_event_reasons", lambda reasons: (reasons.astype(np.int64) & bits != 0).mean())

    num_foreign = told("foreign_processes", np.max)
    return GpuReadings(
        sm_clock_megahertz=told("sm_clock_megahertz", np.median),
        temperature_celsius=told("temperature_celsius", np.max),
        power_watts=told("power_watts", np.median),
        power_limited_share=share(POWER_REASONS),
        heat_limited_share=share(THERMAL_REASONS),
        foreign_processes=None if num_foreign is None else int(num_foreign),
    )
