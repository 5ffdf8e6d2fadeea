"""Read clocks, temperature, power and other processes of a GPU from NVML at the evaluation points of a run."""

import os
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import psutil
import torch

from intelbench.profiling.device import device_of
from intelbench.profiling.nvml import Nvml
from intelbench.records.store import Traces


def _foreign_processes(gpu: Nvml) -> int | None:
    """Return the number of processes of others that compute on the GPU; `None` if NVML lists no process.

    In a container NVML may list processes by the ids of the host; one of them is this process.
    """
    listed = gpu.ask_or_none("nvmlDeviceGetComputeRunningProcesses")
    pids = {process.pid for process in listed or ()}
    if not pids:
        return None
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    return len(pids - own) if os.getpid() in pids else len(pids) - 1


_CLOCK = "nvmlDeviceGetClockInfo"
_READINGS: dict[str, tuple[type[np.generic], Callable[[Nvml], float | None]]] = {
    "sm_clock_megahertz": (np.float64, lambda gpu: gpu.ask_or_none(_CLOCK, gpu.library.NVML_CLOCK_SM)),
    "memory_clock_megahertz": (np.float64, lambda gpu: gpu.ask_or_none(_CLOCK, gpu.library.NVML_CLOCK_MEM)),
    "temperature_celsius": (
        np.float64,
        lambda gpu: gpu.ask_or_none("nvmlDeviceGetTemperature", gpu.library.NVML_TEMPERATURE_GPU),
    ),
    "power_watts": (np.float64, lambda gpu: gpu.watts("nvmlDeviceGetPowerUsage")),
    "clock_event_reasons": (np.int64, lambda gpu: gpu.ask_or_none("nvmlDeviceGetCurrentClocksEventReasons")),
    "foreign_processes": (np.int64, _foreign_processes),
}
"""Type of the array of each reading, and the function that takes it."""


class GpuWatch:
    """Takes readings of one GPU. On other devices, and without NVML, it has none."""

    def __init__(self, device: torch.device) -> None:
        self._gpu: Nvml | None = None
        self._steps: list[int] = []
        self._readings: list[dict[str, float | None]] = []
        if device_of(device).kind == "cuda":
            with suppress(OSError):  # the environment of the record says why there is no NVML
                self._gpu = Nvml(device)

    def start(self) -> None:
        """Take a reading before training."""
        self.step(0, at_evaluation=True)

    def step(self, number: int, *, at_evaluation: bool) -> None:
        """Take a reading at an evaluation point, after `number` training steps.

        Call it right after work, while the clocks are those of work.
        """
        if at_evaluation and self._gpu is not None:
            self._steps.append(number)
            self._readings.append({name: take(self._gpu) for name, (_, take) in _READINGS.items()})

    def resume_at(self, step: int) -> None:
        """Set the step of all readings so far to the step at which the run was resumed."""
        self._steps = [step] * len(self._steps)

    def read(self) -> Traces:
        """Return the arrays `gpu_*` of `traces.npz` without this prefix, if NVML had the reading every time."""
        arrays = {
            name: np.array([reading[name] for reading in self._readings], dtype=dtype)
            for name, (dtype, _) in _READINGS.items()
            if self._readings and all(reading[name] is not None for reading in self._readings)
        }
        return {"step": np.array(self._steps, dtype=np.int64), **arrays} if arrays else {}
