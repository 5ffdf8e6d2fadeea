"""What else went on while a run was timed, and whether it went beyond the bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intelbench.reporting.evidence.observations import CLOCK_SECONDS, RunSummary
from intelbench.reporting.evidence.timing import CALIBRATING_WORK

OTHERS_SHARE = 0.05
"""Share of the processors' time that others may take, or the hypervisor."""
COMPUTE_SLOWDOWN = 1.2
"""How many times its quickest time in the cohort the calibrating convolution or matrix product may take."""
EXCHANGE_SLOWDOWN = 2.0
"""The same for the exchange between threads."""


@dataclass(frozen=True)
class Disturbance:
    """What else went on during one run; what is not known is `None`."""

    run: RunSummary
    others_share: float | None
    """Of the processors' time: other processes."""
    stolen_share: float | None
    """Of the same: the hypervisor."""
    switches_per_second: float | None
    """Involuntary context switches of the run's process."""
    load_before: float | None
    compute_slowdown: float | None
    """Slowest moment of convolution or matrix product over the cohort's quickest."""
    exchange_slowdown: float | None
    """The same for the exchange between threads."""
    clock_seconds: float
    """How long the machine slept, or how far its clock was set."""

    @property
    def reasons(self) -> list[str]:
        """Which bounds it broke: `others`, `stolen`, `compute`, `exchange`, `clock`."""
        bounds = {
            "others": (self.others_share, OTHERS_SHARE),
            "stolen": (self.stolen_share, OTHERS_SHARE),
            "compute": (self.compute_slowdown, COMPUTE_SLOWDOWN),
            "exchange": (self.exchange_slowdown, EXCHANGE_SLOWDOWN),
            "clock": (self.clock_seconds, CLOCK_SECONDS),
        }
        return [name for name, (value, bound) in bounds.items() if value is not None and value > bound]


def disturbances(runs: Sequence[RunSummary]) -> list[Disturbance]:
    """One for each run of a cohort that watched out for it."""
    quickest = {
        name: min((run.calibration.quickest(name) for run in runs if run.calibration), default=np.nan)
        for name in CALIBRATING_WORK
    }
    return [_disturbance(run, quickest) for run in runs if run.measurements.contention]


def _disturbance(run: RunSummary, quickest: Mapping[str, float]) -> Disturbance:
    seen = run.measurements.contention
    assert seen is not None
    processors = run.record.environment.num_cpus * seen.seconds

    def share(cpu_seconds: float | None) -> float | None:
        return cpu_seconds / processors if cpu_seconds is not None and processors else None

    def slowdown(*names: str) -> float | None:
        if run.calibration is None:
            return None
        return max(run.calibration.slowest(name) / quickest[name] for name in names)

    return Disturbance(
        run=run,
        others_share=share(seen.others_cpu_seconds),
        stolen_share=share(seen.stolen_cpu_seconds),
        switches_per_second=seen.involuntary_switches / seen.seconds if seen.seconds else None,
        load_before=seen.load_before,
        compute_slowdown=slowdown("convolution", "matmul"),
        exchange_slowdown=slowdown("exchange"),
        clock_seconds=run.clock_seconds,
    )
