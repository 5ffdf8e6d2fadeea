"""Reference kernels: how fast this machine is, whatever is trained on it. They are timed again and again.

A convolution and a matrix product give the peak that a network's arithmetic is compared with, and show whether the
machine has slowed down. On a GPU a copy within its memory gives the peak of what it can move. On a CPU the exchange
shows how far apart the processors are: each thread reads what another has written. On a virtual machine that changes
from moment to moment: it changed by a factor of 3.3 within seconds while the convolution did not change at all, and
training steps of Inception-v3 then took 1.3 times their time.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from intelbench.profiling.device import device_of
from intelbench.records.profiles import ReferenceKernelWork
from intelbench.records.store import Traces

_REPEATS = 5
_EXCHANGED = 70_000
"""Numbers: too many for one thread, and few enough for the caches."""
_EXCHANGES = 20
_CPU_SIZES = ((16, 256, 14), 1024)
"""Batch, channels and height of the convolution's input, 3 x 3; rows of the square matrices. Some milliseconds each."""
_GPU_SIZES = ((32, 256, 56), 4096)
"""Sizes in float32, which fill a GPU: over 10^11 FLOPs each."""
_HALF_GPU_SIZES = ((128, 256, 56), 8192)
"""Sizes in bfloat16 and float16, in which tensor cores are over ten times as fast."""
_COPIED_BYTES = 2**28
"""Several times the largest cache of a GPU."""
_LAUNCHED_SECONDS = 0.010
"""Time of the launches between two events: far more than the 5 microseconds that a launch takes the host."""
_AGREEMENT = 0.02
"""Difference between two repetitions below which a GPU has reached its clock."""
_MOST_WARMUPS = 20


class ReferenceKernels:
    """The kernels, and the times they took so far. Each takes its memory when it is timed, and gives it back."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device_of(device)
        self._dtype = dtype
        gpu_sizes = _GPU_SIZES if dtype == torch.float32 else _HALF_GPU_SIZES
        self._sizes = gpu_sizes if self._device.has_events else _CPU_SIZES
        self._steps: list[int] = []
        last = {"copy": self._copy} if self._device.has_events else {"exchange": self._exchange}
        self._kinds = {"convolution": self._convolution, "matmul": self._product, **last}
        """What makes a kernel's tensors, by its name, and returns the call that is timed."""
        self._seconds: dict[str, list[list[float]]] = {name: [] for name in self._kinds}

    @property
    def work(self) -> ReferenceKernelWork:
        """What is done."""
        (batch, channels, height), rows = self._sizes
        return ReferenceKernelWork(
            convolution_flops=2.0 * batch * height**2 * channels**2 * 9,
            matmul_flops=2.0 * rows**3,
            copy_bytes=2.0 * _COPIED_BYTES if self._device.has_events else None,
        )

    def start(self) -> None:
        """Time the kernels before training."""
        self.take(0)

    def step(self, number: int, *, at_evaluation: bool) -> None:
        """Time the kernels at an evaluation point."""
        if at_evaluation:
            self.take(number)

    @torch.no_grad()
    def take(self, step: int) -> None:
        """Time the kernels after `step` training steps."""
        self._steps.append(step)
        timed = self._timed_by_events if self._device.has_events else self._timed
        for name, make_kernel in self._kinds.items():
            self._seconds[name].append(timed(make_kernel()))

    def resume_at(self, step: int) -> None:
        """Date the times so far by the step at which a run was resumed."""
        self._steps = [step] * len(self._steps)

    def read(self) -> Traces:
        """Return the arrays `reference_kernel_*` of `traces.npz` without that word; none where nothing was timed."""
        if not self._steps:
            return {}
        seconds: dict[str, NDArray[np.generic]] = {
            f"{name}_seconds": np.array(taken) for name, taken in self._seconds.items()
        }
        return {"step": np.array(self._steps, dtype=np.int64), **seconds}

    def _convolution(self) -> Callable[[], object]:
        (batch, channels, height), _ = self._sizes
        images = self._tensor(batch, channels, height, height).to(memory_format=torch.channels_last)
        weight = self._tensor(channels, channels, 3, 3).to(memory_format=torch.channels_last)
        return lambda: F.conv2d(images, weight, padding=1)

    def _product(self) -> Callable[[], object]:
        matrix = self._tensor(self._sizes[1], self._sizes[1])
        return lambda: matrix @ matrix

    def _copy(self) -> Callable[[], object]:
        source = torch.zeros(_COPIED_BYTES, dtype=torch.uint8, device=self._device.torch_device)
        target = torch.zeros_like(source)
        return lambda: target.copy_(source)

    def _exchange(self) -> Callable[[], object]:
        numbers = torch.ones(_EXCHANGED)
        return lambda: [numbers.copy_(numbers.flip(0)) for _ in range(_EXCHANGES)]

    def _tensor(self, *shape: int) -> Tensor:
        # A generator of its own: the run's random numbers are not touched. A GPU's, because a CPU takes 0.3 s for them.
        generator = torch.Generator(self._device.torch_device).manual_seed(0)
        return torch.randn(shape, generator=generator, device=self._device.torch_device).to(self._dtype)

    def _timed(self, call: Callable[[], object]) -> list[float]:
        """Seconds of each repetition on a CPU, after one that is not counted."""
        call()
        seconds = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return seconds

    def _timed_by_events(self, call: Callable[[], object]) -> list[float]:
        """Return the seconds of one call on a GPU, by its own clock: in each repetition the mean of many launches.

        Repetitions are counted once two of them agree, because a GPU takes a while to reach its clock.
        """
        before = self._launched(call, 1)
        launches = max(1, math.ceil(_LAUNCHED_SECONDS / max(before, 1e-6)))
        for _ in range(_MOST_WARMUPS):
            seconds = self._launched(call, launches)
            launches = max(1, math.ceil(_LAUNCHED_SECONDS / max(seconds, 1e-6)))
            if abs(seconds - before) <= _AGREEMENT * before:
                break
            before = seconds
        return [self._launched(call, launches) for _ in range(_REPEATS)]

    def _launched(self, call: Callable[[], object], launches: int) -> float:
        """Return the mean seconds of a launch, of a number of launches between two events."""
        begin, end = self._device.event(timing=True), self._device.event(timing=True)
        assert begin is not None
        assert end is not None
        begin.record()
        for _ in range(launches):
            call()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / launches
