"""Reference kernels: fixed operations that show how fast the machine is.

They are timed before training and at each evaluation; if a head is trained on features, before and after training.
A convolution and a matrix product give the peak FLOP rate that networks are compared with, and show whether the machine
has slowed down. On a GPU a copy within its memory gives the peak memory bandwidth. On a CPU the exchange, in which each
thread reads what another thread has written, gives the speed of communication between cores. On a virtual machine that
speed varies: it changed by a factor of 3.3 within seconds while the time of the convolution did not change, and
training steps of Inception-v3 took 1.3 times as long.
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
_EXCHANGE_SIZE = 70_000
"""Numbers in the exchange: enough that PyTorch uses all threads, and few enough for the caches."""
_NUM_EXCHANGES = 20
_CPU_SIZES = ((16, 256, 14), 1024)
"""Batch, channels and height of the input of a 3 x 3 convolution; rows of a square matrix. Each takes milliseconds."""
_GPU_SIZES = ((32, 256, 56), 4096)
"""Sizes in float32, large enough to use all of a GPU: over 10^11 FLOPs each."""
_HALF_GPU_SIZES = ((128, 256, 56), 8192)
"""Sizes in bfloat16 and float16, in which tensor cores are over ten times as fast."""
_COPIED_BYTES = 2**28
"""Size of the copied tensor, several times the largest cache of a GPU."""
_LAUNCHED_SECONDS = 0.010
"""Time between two events: much longer than the 5 microseconds that the host needs for a launch."""
_MAX_DIFFERENCE = 0.02
"""Relative difference between two repetitions up to which the clock of the GPU counts as stable."""
_MAX_WARMUPS = 20


class ReferenceKernels:
    """Times the reference kernels. Each allocates its memory when it is timed, and frees it afterwards."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device_of(device)
        self._dtype = dtype
        gpu_sizes = _GPU_SIZES if dtype == torch.float32 else _HALF_GPU_SIZES
        self._sizes = gpu_sizes if self._device.has_events else _CPU_SIZES
        self._steps: list[int] = []
        last = {"copy": self._copy} if self._device.has_events else {"exchange": self._exchange}
        self._kinds = {"convolution": self._convolution, "matmul": self._product, **last}
        """Functions that create the tensors of a kernel and return the call that is timed, by kernel."""
        self._seconds: dict[str, list[list[float]]] = {name: [] for name in self._kinds}

    @property
    def work(self) -> ReferenceKernelWork:
        """Return the FLOPs and bytes of the kernels."""
        (batch, channels, height), rows = self._sizes
        return ReferenceKernelWork(
            convolution_flops=2.0 * batch * height**2 * channels**2 * 9,
            matmul_flops=2.0 * rows**3,
            copy_bytes=2.0 * _COPIED_BYTES if self._device.has_events else None,
        )

    def start(self) -> None:
        """Time the kernels before training."""
        self.step(0, at_evaluation=True)

    @torch.no_grad()
    def step(self, number: int, *, at_evaluation: bool) -> None:
        """Time the kernels at an evaluation point, after `number` training steps."""
        if not at_evaluation:
            return
        self._steps.append(number)
        timed = self._timed_by_events if self._device.has_events else self._timed
        for name, make_kernel in self._kinds.items():
            self._seconds[name].append(timed(make_kernel()))

    def resume_at(self, step: int) -> None:
        """Set the step of all times so far to the step at which the run was resumed."""
        self._steps = [step] * len(self._steps)

    def read(self) -> Traces:
        """Return the arrays `reference_kernel_*` of `traces.npz`, without this prefix; none if nothing was timed."""
        if not self._steps:
            return {}
        seconds: dict[str, NDArray[np.generic]] = {
            f"{name}_seconds": np.array(times) for name, times in self._seconds.items()
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
        numbers = torch.ones(_EXCHANGE_SIZE)
        return lambda: [numbers.copy_(numbers.flip(0)) for _ in range(_NUM_EXCHANGES)]

    def _tensor(self, *shape: int) -> Tensor:
        # An own generator, so that random numbers of the run do not change; on the GPU, because a CPU takes 0.3 s.
        generator = torch.Generator(self._device.torch_device).manual_seed(0)
        return torch.randn(shape, generator=generator, device=self._device.torch_device).to(self._dtype)

    def _timed(self, call: Callable[[], object]) -> list[float]:
        """Return the seconds of each repetition on a CPU, after a warm-up."""
        call()
        seconds = []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return seconds

    def _timed_by_events(self, call: Callable[[], object]) -> list[float]:
        """Return the seconds of a call on a GPU by its own clock: for each repetition, the mean of many launches.

        Repetitions before two of them agree are warm-ups, because a GPU takes some time to raise its clock.
        """
        before = self._mean_seconds(call, 1)
        launches = max(1, math.ceil(_LAUNCHED_SECONDS / max(before, 1e-6)))
        for _ in range(_MAX_WARMUPS):
            seconds = self._mean_seconds(call, launches)
            launches = max(1, math.ceil(_LAUNCHED_SECONDS / max(seconds, 1e-6)))
            if abs(seconds - before) <= _MAX_DIFFERENCE * before:
                break
            before = seconds
        return [self._mean_seconds(call, launches) for _ in range(_REPEATS)]

    def _mean_seconds(self, call: Callable[[], object], launches: int) -> float:
        """Return the mean seconds of a call, by the events before and after this number of launches."""
        begin, end = self._device.event(timing=True), self._device.event(timing=True)
        assert begin is not None
        assert end is not None
        begin.record()
        for _ in range(launches):
            call()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / launches
