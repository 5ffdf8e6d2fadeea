"""All meters are started and read together."""

import re
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from intelbench.errors import UserError
from intelbench.profiling import energy, meters, reference_kernels
from intelbench.profiling.meters import METERS, Meters, meter
from tests.fake_cuda import FakeCuda, nvml_module

CPU = torch.device("cpu")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small reference kernels, and a machine without a counter of joules."""

    def find_none(_: torch.device) -> None:
        raise OSError("no counter")

    monkeypatch.setattr(reference_kernels, "_CPU_SIZES", ((2, 16, 8), 64))
    monkeypatch.setattr(energy, "find_counter", find_none)


@pytest.mark.usefixtures("quick")
def test_all_readings_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference kernels are timed before the first step and at evaluation points; the first step is the first alone."""
    seconds = iter((2.5, 99.0))
    monkeypatch.setattr(meters, "process_seconds", lambda _: next(seconds))
    meter = Meters(CPU, torch.float32)
    meter.start()
    meter.step(1, at_evaluation=False)
    meter.step(2, at_evaluation=True)
    found = meter.read()
    assert [0, 2] == found.traces["reference_kernel_step"].tolist()
    assert [2] == found.traces["contention_step"].tolist()
    assert all(np.all(array >= 0) for array in found.traces.values())
    assert 2.5 == found.first_step_seconds
    assert found.peak_memory.cuda_allocated_bytes is None
    assert found.reference_kernels.convolution_flops > 0
    assert found.contention.seconds > 0
    assert "no counter" == found.energy.absent


@pytest.mark.usefixtures("quick")
def test_the_machine_is_not_timed_where_that_takes_longer_than_training() -> None:
    """Other meters measure as at every evaluation point."""
    meter = Meters(CPU, torch.float32)
    meter.start()
    meter.step(1, at_evaluation=True, machine_speed=False)
    meter.step(2, at_evaluation=True)
    traces = meter.read().traces
    assert [0, 2] == traces["reference_kernel_step"].tolist()
    assert [1, 2] == traces["contention_step"].tolist()


@pytest.mark.usefixtures("quick")
def test_a_run_without_a_step_has_no_first_one() -> None:
    """Absent is `None`; what was measured before it is there."""
    meter = Meters(CPU, torch.bfloat16)
    meter.start()
    found = meter.read()
    assert found.first_step_seconds is None
    assert [0] == found.traces["reference_kernel_step"].tolist()


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
def test_reference_kernels_are_not_in_a_gpus_peak() -> None:
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
        monkeypatch.setattr(reference_kernels, name, value)
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
    assert [0, 4, 4, 7] == readings.traces["gpu_step"].tolist() == readings.traces["reference_kernel_step"].tolist()
    assert [61] * 4 == readings.traces["gpu_temperature_celsius"].tolist()
    assert (4, 5) == readings.traces["reference_kernel_copy_seconds"].shape
    assert 5 == readings.peak_memory.num_alloc_retries
    assert 6000 == readings.peak_memory.cuda_allocated_bytes


class Scripted:
    """A meter whose readings are those of its class."""

    readings = staticmethod(dict)

    def __init__(self, device: torch.device) -> None:
        self.dated: list[int] = []

    def start(self) -> None:
        """Look."""
        self.dated.append(0)

    def step(self, number: int, *, at_evaluation: bool) -> None:
        """Look."""
        self.dated.append(number)

    def read(self) -> dict[str, object]:
        """Return the readings, or the steps at which it has looked."""
        return type(self).readings() or {"step": np.array(self.dated)}

    def resume_at(self, step: int) -> None:
        """Date the looks so far."""
        self.dated = [step] * len(self.dated)


@pytest.fixture
def scripted(quick: None, monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    """The only meter of a plug-in."""
    monkeypatch.setattr(METERS, "entries", {})
    monkeypatch.setattr(Scripted, "readings", staticmethod(dict))
    return meter("scripted")(Scripted)


@pytest.mark.usefixtures("scripted")
def test_a_resumed_run_has_the_rows_of_a_plugins_meter_of_all_its_processes() -> None:
    """Those of the start of the second process are dated by the step at which it began."""
    before, after = Meters(CPU, torch.float32), Meters(CPU, torch.float32)
    before.start()
    before.step(4, at_evaluation=False)
    state = before.state_dict()
    after.start()
    after.load_state_dict(state)
    after.step(7, at_evaluation=True)
    assert [0, 4, 4, 7] == after.read().traces["scripted_step"].tolist()


def fail() -> dict[str, object]:
    """Whatever the code of others raises."""
    raise KeyError("nothing there")


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        (fail, "meter 'scripted': failed with KeyError: 'nothing there'"),
        (lambda: {"text": np.array(["a"])}, "the array 'text' of <U1 has shape (1,). Expected numbers"),
        (lambda: {"scalar": np.array(1.0)}, "the array 'scalar' of float64 has shape (). Expected numbers"),
        (lambda: {"../up": np.zeros(1)}, "the array '../up' of float64"),
        (lambda: {"large": np.zeros(2**21 + 1)}, "1 arrays of 16,777,224 bytes. Expected at most 16 of 16,777,216"),
        (lambda: {f"a{number}": np.zeros(1) for number in range(17)}, "17 arrays of 136 bytes"),
    ],
)
def test_what_a_plugins_meter_does_wrong_is_named(
    scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch, readings: Callable[[], object], said: str
) -> None:
    """With the name of the meter, and of the array."""
    monkeypatch.setattr(scripted, "readings", staticmethod(readings))
    found = Meters(CPU, torch.float32)
    found.start()
    with pytest.raises(UserError, match=re.escape(said)):
        found.read()


@pytest.mark.parametrize("name", ["gpu", "test_bench", "step"])
def test_a_meter_is_not_named_like_arrays_of_every_record(name: str) -> None:
    """Else its arrays could take the place of those."""
    with pytest.raises(UserError, match="Expected another first word"):
        meter(name)(Scripted)
