"""How fast this machine is, whatever is trained on it: the same small work, timed again and again.

A convolution and a matrix product tell the peak that a network's arithmetic can be held against, and whether the
machine has slowed down. The exchange tells how far apart the processors are: each thread reads what another has
written. On a virtual machine that is a matter of the moment: it changed by a factor of 3.3 within seconds while the
convolution did not change at all, and training steps of Inception-v3 then took 1.3 times their time.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from intelbench.profiling.device import device_of
from intelbench.records.profiles import CalibrationWork
from intelbench.records.store import Traces

_REPEATS = 5
_EXCHANGED = 70_000
"""Numbers: too many for one thread, and few enough for the caches."""
_EXCHANGES = 20
_CPU_SIZES = ((16, 256, 14), 1024)
"""Batch, channels and height of the convolution's input, 3 x 3; rows of the square matrices. Some milliseconds each."""
_GPU_SIZES = ((32, 256, 56), 4096)


class Calibration:
    """The work, and the times it took so far. It takes its memory when it is timed, and gives it back."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._sizes = _CPU_SIZES if device_of(device).kind == "cpu" else _GPU_SIZES
        self._steps: list[int] = []
        self._seconds: dict[str, list[list[float]]] = {"convolution": [], "matmul": [], "exchange": []}

    @property
    def work(self) -> CalibrationWork:
        """What is done."""
        (batch, channels, height), rows = self._sizes
        return CalibrationWork(
            convolution_flops=2.0 * batch * height**2 * channels**2 * 9,
            matmul_flops=2.0 * rows**3,
        )

    @torch.no_grad()
    def take(self, step: int) -> None:
        """Time it after so many training steps."""
        (batch, channels, height), rows = self._sizes
        images = self._tensor(batch, channels, height, height).to(memory_format=torch.channels_last)
        weight = self._tensor(channels, channels, 3, 3).to(memory_format=torch.channels_last)
        matrix = self._tensor(rows, rows)
        numbers = torch.ones(_EXCHANGED)

        def exchange() -> None:
            for _ in range(_EXCHANGES):
                numbers.copy_(numbers.flip(0))

        self._steps.append(step)
        self._seconds["convolution"].append(self._timed(lambda: F.conv2d(images, weight, padding=1)))
        self._seconds["matmul"].append(self._timed(lambda: matrix @ matrix))
        self._seconds["exchange"].append(self._timed(exchange))

    def resume_at(self, step: int) -> None:
        """What was timed so far was timed after so many steps of processes before this one."""
        self._steps = [step] * len(self._steps)

    def traces(self) -> Traces:
        """The arrays of `traces.npz`; none where nothing was timed."""
        if not self._steps:
            return {}
        seconds: dict[str, NDArray[np.generic]] = {
            f"calibration_{name}_seconds": np.array(taken) for name, taken in self._seconds.items()
        }
        return {"calibration_step": np.array(self._steps, dtype=np.int64), **seconds}

    def _tensor(self, *shape: int) -> Tensor:
        # A generator of its own: the run's random numbers are not touched.
        generator = torch.Generator().manual_seed(0)
        return torch.randn(shape, generator=generator).to(self._device, self._dtype)

    def _timed(self, call: Callable[[], object]) -> list[float]:
        """Seconds of each repetition, after one that is not counted."""
        call()
        self._synchronize()
        found = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            call()
            self._synchronize()
            found.append(time.perf_counter() - start)
        return found

    def _synchronize(self) -> None:
        device_of(self._device).synchronize()
