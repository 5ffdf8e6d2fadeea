"""The tests' fake GPU in a process of `make gpu`: all stages run on a CPU, and their numbers mean nothing."""

import sys
import time

import pytest

from intelbench.profiling import reference_kernels
from tests.fake_cuda import install, nvml_module

_WATTS = 100
_SIZES = ((1, 8, 8), 32)
"""Of the reference kernels: channels and matrices that a CPU has done with at once."""


def install_fake() -> None:
    """Let this process have the fake GPU until it ends."""
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
