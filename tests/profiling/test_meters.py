"""All meters are started and read together."""

import sys

import numpy as np
import pytest
import torch

from intelbench.profiling import calibration, energy, meters
from intelbench.profiling.meters import Meters
from tests.fake_cuda import FakeCuda, nvml_module

CPU = torch.device("cpu")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little calibration work, and a machine without a counter of joules."""

    def find_none(_: torch.device) -> None:
        raise OSError("no counter")

    monkeypatch.setattr(calibration, "_CPU_SIZES", ((2, 16, 8), 64))
    monkeypatch.setattr(energy, "find_counter", find_none)


@pytest.mark.usefixtures("quick")
def test_all_readings_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrations before the first step and at evaluation points; the first step is the first alone."""
    seconds = iter((2.5, 99.0))
    monkeypatch.setattr(meters, "process_seconds", lambda _: next(seconds))
    meter = Meters(CPU, torch.float32)
    meter.start()
    meter.step(1, at_evaluation=False)
    meter.step(2, at_evaluation=True)
    found = meter.read()
    assert [0, 2] == found.traces["calibration_step"].tolist()
    assert [2] == found.traces["contention_step"].tolist()
    assert all(np.all(array >= 0) for array in found.traces.values())
    assert 2.5 == found.first_step_seconds
    assert found.peak_memory.cuda_allocated_bytes is None
    assert found.calibration.convolution_flops > 0
    assert found.contention.seconds > 0
    assert "no counter" == found.energy.absent


@pytest.mark.usefixtures("quick")
def test_a_run_without_a_step_has_no_first_one() -> None:
    """Absent is `None`; what was measured before it is there."""
    meter = Meters(CPU, torch.bfloat16)
    meter.start()
    found = meter.read()
    assert found.first_step_seconds is None
    assert [0] == found.traces["calibration_step"].tolist()


@pytest.mark.usefixtures("quick")
def test_the_first_step_is_timed_from_the_start_of_the_process() -> None:
    """Later in it, more has passed."""
    found = []
    for _ in range(2):
        meter = Meters(CPU, torch.float32)
        meter.start()
        meter.step(1, at_evaluation=False)
        found.append(meter.read().first_step_seconds)
    earlier, later = found
    assert earlier is not None
    assert later is not None
    assert 0 < earlier < later


@pytest.mark.gpu
def test_calibration_is_not_in_a_gpus_peak() -> None:
    """Its tensors are larger than those of a small network."""
    device = torch.device("cuda")
    before = torch.cuda.memory_allocated(device)
    meter = Meters(device, torch.float32)
    meter.start()
    kept = torch.ones(2**20, dtype=torch.uint8, device=device)
    meter.step(1, at_evaluation=True)
    peak = meter.read().peak_memory.cuda_allocated_bytes
    assert peak is not None
    assert len(kept) <= peak - before < 50 * 2**20


@pytest.mark.usefixtures("quick")
def test_a_resumed_run_on_a_gpu_has_the_readings_of_all_its_processes(
    fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row for each look at the GPU; retries of the allocator are added up, and peaks are the highest."""
    for name, value in {"_GPU_SIZES": ((2, 16, 8), 64), "_COPIED_BYTES": 4096, "_LAUNCHED_SECONDS": 1e-4}.items():
        monkeypatch.setattr(calibration, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", nvml_module(nvmlDeviceGetTemperature=lambda *_: 61))
    before = Meters(CPU, torch.float32)
    before.start()
    fake_cuda.counts["num_alloc_retries"] += 2
    fake_cuda.allocate(5000)
    before.step(4, at_evaluation=True)
    state = before.state_dict()
    fake_cuda.allocate(-5000)
    after = Meters(CPU, torch.float32)
    after.start()
    after.load_state_dict(state)
    fake_cuda.counts["num_alloc_retries"] += 3
    after.step(7, at_evaluation=True)
    readings = after.read()
    assert [0, 4, 4, 7] == readings.traces["gpu_step"].tolist() == readings.traces["calibration_step"].tolist()
    assert [61] * 4 == readings.traces["gpu_temperature_celsius"].tolist()
    assert (4, 5) == readings.traces["calibration_copy_seconds"].shape
    assert 5 == readings.peak_memory.num_alloc_retries
    assert 6000 == readings.peak_memory.cuda_allocated_bytes
