"""The driver is asked about the GPU at the evaluation points of a run; whatever it answers, the run continues."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from intelbench.profiling.gpu_watch import GpuWatch
from tests.fake_cuda import nvml_module

CPU = torch.device("cpu")
OWN = os.getpid()
ANSWERS = {
    "NVML_CLOCK_SM": 1,
    "NVML_CLOCK_MEM": 2,
    "NVML_TEMPERATURE_GPU": 0,
    "nvmlDeviceGetClockInfo": lambda _, clock: {1: 1755, 2: 3201}[clock],
    "nvmlDeviceGetTemperature": lambda _, sensor: 61,
    "nvmlDeviceGetPowerUsage": lambda _: 431_500,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda _: 4,
    "nvmlDeviceGetComputeRunningProcesses": lambda _: [SimpleNamespace(pid=OWN), SimpleNamespace(pid=1)],
}


def watch(monkeypatch: pytest.MonkeyPatch, **answers: object) -> GpuWatch:
    """A watch of the fake GPU, whose driver answers so."""
    monkeypatch.setitem(sys.modules, "pynvml", nvml_module(**answers))
    return GpuWatch(CPU)


@pytest.mark.usefixtures("fake_cuda")
def test_each_look_is_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the step after which it was; after a resumption the earlier ones have the step of that."""
    found = watch(monkeypatch, **ANSWERS)
    found.step(0, at_evaluation=True)
    found.resume_at(5)
    found.step(10, at_evaluation=True)
    traces = found.read()
    assert [5, 10] == traces["step"].tolist()
    assert [1755, 1755] == traces["sm_clock_megahertz"].tolist()
    assert [3201, 3201] == traces["memory_clock_megahertz"].tolist()
    assert [61, 61] == traces["temperature_celsius"].tolist()
    assert [431.5, 431.5] == traces["power_watts"].tolist()
    assert [4, 4] == traces["clock_event_reasons"].tolist()
    assert np.int64 == traces["clock_event_reasons"].dtype == traces["foreign_processes"].dtype


@pytest.mark.parametrize(
    ("pids", "expected"),
    [
        ([OWN], 0),
        ([OWN, OWN], 0),
        ([OWN, os.getppid()], 0),
        ([OWN, 999_999_998, 999_999_999], 2),
        ([999_999_998], 0),  # this process, under the number that the host has for it
        ([999_999_998, 999_999_999], 1),
        ([], None),
    ],
)
@pytest.mark.usefixtures("fake_cuda")
def test_processes_of_others_are_counted(
    monkeypatch: pytest.MonkeyPatch, pids: list[int], expected: int | None
) -> None:
    """The run, and the session that started it, are none; where NVML lists nobody, nobody knows."""
    listed = [SimpleNamespace(pid=pid) for pid in pids]
    found = watch(monkeypatch, **ANSWERS | {"nvmlDeviceGetComputeRunningProcesses": lambda _: listed})
    found.step(0, at_evaluation=True)
    traces = found.read()
    assert expected == (int(traces["foreign_processes"][0]) if "foreign_processes" in traces else None)


@pytest.mark.usefixtures("fake_cuda")
def test_what_the_driver_does_not_know_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither 0 nor NaN: no array; and none at all where it knows nothing, or has never been asked."""
    known = {"nvmlDeviceGetTemperature": lambda _, sensor: 61}
    found = watch(monkeypatch, **known)
    found.step(0, at_evaluation=True)
    assert {"step", "temperature_celsius"} == set(found.read())
    found = watch(monkeypatch)
    found.step(0, at_evaluation=True)
    assert {} == found.read() == watch(monkeypatch, **ANSWERS).read()


@pytest.mark.usefixtures("fake_cuda")
def test_a_gpu_without_nvml_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an AMD one."""

    def refuse() -> None:
        raise sys.modules["pynvml"].NVMLError("Driver Not Loaded")

    found = watch(monkeypatch, nvmlInit=refuse)
    found.step(0, at_evaluation=True)
    assert {} == found.read()


def test_a_cpu_is_not_watched() -> None:
    """No driver is asked."""
    found = GpuWatch(CPU)
    found.step(0, at_evaluation=True)
    assert {} == found.read()


@pytest.mark.gpu
def test_a_real_gpu_is_watched() -> None:
    """Its clock and temperature at least, and another process that starts to compute on it."""
    device = torch.device("cuda")
    found = GpuWatch(device)
    torch.ones(1, device=device)
    found.step(0, at_evaluation=True)
    program = "import torch; x = torch.ones(1, device='cuda'); print('there', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as foreign:
        assert foreign.stdout
        assert "there\n" == foreign.stdout.readline()
        found.step(1, at_evaluation=True)
        foreign.communicate("\n")
    traces = found.read()
    assert (traces["sm_clock_megahertz"] > 0).all()
    assert (traces["temperature_celsius"] > 0).all()
    if "foreign_processes" in traces:
        before, after = traces["foreign_processes"]
        assert before + 1 == after
