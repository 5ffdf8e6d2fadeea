"""All that is measured beside training, started and read together."""

from typing import NamedTuple

import torch

from intelbench.profiling.calibration import Calibration
from intelbench.profiling.contention import ContentionMeter
from intelbench.profiling.energy import EnergyMeter
from intelbench.profiling.environment import process_seconds
from intelbench.profiling.memory import MemoryMeter
from intelbench.records.profiles import CalibrationWork, Contention, Energy, PeakMemory
from intelbench.records.store import Traces


class Readings(NamedTuple):
    """What the meters have found; the fields are described where records hold them."""

    peak_memory: PeakMemory
    first_step_seconds: float | None
    calibration: CalibrationWork
    contention: Contention
    energy: Energy
    traces: Traces
    """The arrays `calibration_*`."""


class Meters:
    """Memory from the making on; the rest from `start`, which is to be called right before training."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._memory = MemoryMeter(device)
        self._calibration = Calibration(device, dtype)
        self._first_step_seconds: float | None = None

    def start(self) -> None:
        """Begin."""
        self._calibrate(0)
        self._energy = EnergyMeter(self._device)
        self._contention = ContentionMeter()

    def step(self, number: int, *, at_evaluation: bool) -> None:
        """A training step has ended, and maybe a validation pass after it; the budget's clock does not run."""
        if self._first_step_seconds is None:
            self._first_step_seconds = process_seconds(self._device)
        self._energy.look()
        if at_evaluation:
            self._calibrate(number)

    def read(self) -> Readings:
        """Training has ended."""
        return Readings(
            contention=self._contention.read(),
            energy=self._energy.read(),
            peak_memory=self._memory.read(),
            first_step_seconds=self._first_step_seconds,
            calibration=self._calibration.work,
            traces=self._calibration.traces(),
        )

    def _calibrate(self, step: int) -> None:
        with self._memory.paused():
            self._calibration.take(step)
