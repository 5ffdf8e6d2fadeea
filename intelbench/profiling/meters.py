"""All that is measured beside training, started and read together."""

import time
from collections.abc import Callable
from operator import add
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import torch

from intelbench.profiling.calibration import Calibration
from intelbench.profiling.contention import ContentionMeter
from intelbench.profiling.energy import EnergyMeter
from intelbench.profiling.environment import process_seconds
from intelbench.profiling.gpu_watch import GpuWatch
from intelbench.profiling.memory import MemoryMeter
from intelbench.records.profiles import CalibrationWork, Contention, Energy, PeakMemory
from intelbench.records.store import Traces

Figures = TypeVar("Figures", PeakMemory, Contention, Energy)


class Readings(NamedTuple):
    """What the meters have found; the fields are described where records hold them."""

    peak_memory: PeakMemory
    first_step_seconds: float | None
    calibration: CalibrationWork
    contention: Contention
    energy: Energy
    traces: Traces
    """The arrays `calibration_*`, `contention_*` and `gpu_*`."""


class Meters:
    """Memory from the making on; the rest from `start`, which is to be called right before training.

    A resumed run adds what the processes before it had read at their last checkpoint.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, started: float | None = None) -> None:
        self._started = time.perf_counter() if started is None else started
        self._earlier_seconds = 0.0
        self._number = 0
        """Steps that have ended."""
        self._device = device
        self._earlier: Readings | None = None
        self._memory = MemoryMeter(device)
        self._calibration = Calibration(device, dtype)
        self._gpu_watch = GpuWatch(device)
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
        self._number = number
        self._energy.look()
        self._contention.look(number, at_evaluation=at_evaluation)
        if at_evaluation:
            self._calibrate(number)

    @property
    def total_seconds(self) -> float:
        """Since `started` (of `time.perf_counter`), with those of the processes before this one."""
        return self._earlier_seconds + time.perf_counter() - self._started

    def read(self) -> Readings:
        """What was measured so far."""
        found = Readings(
            contention=self._contention.read(),
            energy=self._energy.read(),
            peak_memory=self._memory.read(),
            first_step_seconds=self._first_step_seconds,
            calibration=self._calibration.work,
            traces={**self._calibration.traces(), **self._contention.traces(), **self._gpu_watch.traces()},
        )
        return _together(self._earlier, found) if self._earlier else found

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        *scalars, traces = self.read()
        return {
            "step": self._number,
            "total_seconds": self.total_seconds,
            "scalars": msgspec.json.encode(scalars).decode(),
            "traces": {name: torch.from_numpy(values) for name, values in traces.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go on from a checkpoint."""
        self._calibration.resume_at(state_dict["step"])
        self._gpu_watch.resume_at(state_dict["step"])
        self._earlier_seconds = state_dict["total_seconds"]
        scalars = msgspec.json.decode(
            state_dict["scalars"], type=tuple[PeakMemory, float | None, CalibrationWork, Contention, Energy]
        )
        self._earlier = Readings(*scalars, {name: values.numpy() for name, values in state_dict["traces"].items()})

    def _calibrate(self, step: int) -> None:
        with self._memory.paused():
            self._calibration.take(step)
        self._gpu_watch.look(step)


def _together(one: Readings, other: Readings) -> Readings:
    """What two processes of one run have read, one after the other."""
    memory, contention, energy = one.peak_memory, one.contention, one.energy
    counts = ("num_alloc_retries", "num_ooms")
    peaks = (name for name in PeakMemory.__struct_fields__ if name not in ("absent", *counts))
    highest = _combined(memory, other.peak_memory, max, *peaks, absent=memory.absent | other.peak_memory.absent)
    spent = (name for name in Contention.__struct_fields__ if not name.startswith("load_"))
    return Readings(
        peak_memory=_combined(highest, other.peak_memory, add, *counts),
        first_step_seconds=one.first_step_seconds,
        calibration=one.calibration,
        contention=_combined(contention, other.contention, add, *spent, load_after=other.contention.load_after),
        energy=_combined(energy, other.energy, add, "joules", "seconds", absent=energy.absent or other.energy.absent),
        traces={
            name: np.concatenate([values, other.traces[name]])
            for name, values in one.traces.items()
            if name in other.traces
        },
    )


def _combined(
    one: Figures, other: Figures, combine: Callable[[Any, Any], Any], *names: str, **changes: object
) -> Figures:
    """Combine these fields of the two, `None` where either has none; the rest is the one's, or changed."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in names}
    return msgspec.structs.replace(
        one, **{name: None if None in pair else combine(*pair) for name, pair in pairs.items()}, **changes
    )
