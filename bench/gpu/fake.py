"""Install the fake GPU of the tests in a process of `make gpu`: stages run on a CPU, and their numbers mean nothing."""

import sys
import time

import pytest

from intelbench.profiling import reference_kernels
from tests.fake_cuda import install, nvml_module

_WATTS = 100
_SIZES = ((1, 8, 8), 32)
"""Sizes of the reference kernels that take a CPU no time."""


def install_fake() -> None:
    """Install the fake GPU for the rest of this process."""
    patch = pytest.MonkeyPatch()
    install(patch)
    answers = {
        "nvmlDeviceGetTotalEnergyConsumption": lambda _: int(time.monotonic() * 1000 * _WATTS),
        "nvmlDeviceGetPowerUsage": lambda _: 1000 * _WATTS,
        "nvmlDeviceGetClockInfo": lambda *_: 1000,
        "nvmlDeviceGetMaxClockInfo": lambda *_: 2000,
    }
    patch.setitem(sys.modules, "pynvml", nvml_module(**answers))
    patch.setattr(reference_kernels, "_GPU_SIZES", _SIZES)
    patch.setattr(reference_kernels, "_HALF_GPU_SIZES", _SIZES)
    patch.setattr(reference_kernels, "_COPIED_BYTES", 2**16)
