"""What will be done is chosen from what was asked for, and the machine is described as found."""

import os
import subprocess
import sys
import time

import msgspec
import pytest
import torch

from intelbench.errors import UserError
from intelbench.profiling import environment
from intelbench.profiling.environment import Processes, choose_execution, read_environment
from intelbench.records.profiles import GpuFacts
from intelbench.records.types import Execution
from tests.fake_cuda import MEMORY, NAME, FakeCuda, install, nvml_module

CPU = Execution(device="cpu", threads=3, workers=0)


@pytest.fixture
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that PyTorch sees two GPUs, or none."""
    install(monkeypatch, tensors_on_cpu=False).num_devices = 2 * request.param


@pytest.mark.parametrize(
    ("gpu", "device", "workers", "expected"),
    [
        (False, "auto", None, ("cpu", 0)),
        (False, "cpu", None, ("cpu", 0)),
        (False, "auto", 3, ("cpu", 3)),
        (True, "cpu", None, ("cpu", 0)),
        (True, "auto", None, ("cuda", 8)),
        (True, "cuda", None, ("cuda", 8)),
        (True, "cuda", 0, ("cuda", 0)),
        (True, "auto", 2, ("cuda", 2)),
    ],
    indirect=["gpu"],
)
@pytest.mark.usefixtures("gpu")
def test_device_and_workers(
    monkeypatch: pytest.MonkeyPatch, device: str, workers: int | None, expected: tuple[str, int]
) -> None:
    """`auto` takes a GPU where there is one; workers default to 0 on a processor and at most 8 with a GPU."""
    monkeypatch.setattr(environment, "num_processors", lambda: 16)
    chosen = choose_execution(device, None, workers, cache=True)
    assert expected == (chosen.device, chosen.workers)


@pytest.mark.parametrize("gpu", [True], indirect=True)
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("processors", "workers"), [(1, 1), (2, 1), (4, 2), (10, 8), (64, 8)])
def test_workers_fit_the_machine(monkeypatch: pytest.MonkeyPatch, processors: int, workers: int) -> None:
    """Two processors are left for the loop and the driver, and at least one thread prepares; PyTorch has one."""
    monkeypatch.setattr(environment, "num_processors", lambda: processors)
    assert Execution(device="cuda", threads=1, workers=workers) == choose_execution("auto", None, None, cache=True)
    assert 3 == choose_execution("auto", 3, None, cache=True).threads


@pytest.mark.parametrize("gpu", [False], indirect=True)
@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    """The message names the option and the ways out."""
    with pytest.raises(UserError, match=r"--device cuda: PyTorch sees no CUDA device\. Expected .*Try --device cpu"):
        choose_execution("cuda", None, None, cache=True)


@pytest.mark.parametrize("cache", [True, False])
def test_threads_and_cache(cache: bool) -> None:
    """Threads as asked for, or PyTorch's choice; the cache as asked for."""
    assert Execution(device="cpu", threads=5, workers=1, cache=cache) == choose_execution("cpu", 5, 1, cache)
    assert torch.get_num_threads() == choose_execution("cpu", None, None, cache).threads


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field of a run on a processor has content, and those of a GPU are absent."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = msgspec.structs.asdict(read_environment(CPU))
    gpu_fields = {"cuda", "cudnn", "driver", "rocm", "gpu"}
    assert {None} == {found[name] for name in gpu_fields}
    assert all(value for name, value in found.items() if name not in gpu_fields)
    assert found["cpu"] == found["device_name"]
    assert found["memory_bytes"] > 10**8
    assert torch.__version__ == found["torch"]
    assert found == msgspec.structs.asdict(read_environment(CPU))


def test_a_machine_without_proc_still_has_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems name theirs in another way."""

    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(environment.Path, "read_text", missing)
    assert read_environment(CPU).cpu


@pytest.mark.parametrize("gpu", [True], indirect=True)
@pytest.mark.usefixtures("gpu")
def test_the_number_of_a_gpu_is_recorded() -> None:
    """As it was asked for."""
    assert [None, 0, 1] == [
        choose_execution(name, None, None, cache=True).device_index for name in ("cuda", "cuda:0", "cuda:1")
    ]


@pytest.mark.parametrize("gpu", [True], indirect=True)
@pytest.mark.usefixtures("gpu")
def test_rocm_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch calls an AMD GPU `cuda` too; its version is part of what decides bits and speed."""
    execution = Execution(device="cuda", threads=1, workers=0)
    nvidia = read_environment(execution)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    amd = read_environment(execution)
    assert ("13.0", None) == (nvidia.cuda, nvidia.rocm)
    assert (None, "6.4") == (amd.cuda, amd.rocm)
    assert nvidia.fingerprint != amd.fingerprint


def test_a_precision_that_the_device_lacks_is_refused(fake_cuda: FakeCuda) -> None:
    """Before anything runs."""
    fake_cuda.capability = (7, 0)
    assert "cuda" == choose_execution("auto", None, None, cache=True, precision="fp16").device
    with pytest.raises(UserError, match="precision bf16: not supported by"):
        choose_execution("auto", None, None, cache=True, precision="bf16")


def test_variables_that_change_speed_or_bits_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a list, so that nothing private is in a record."""
    monkeypatch.setattr(os, "environ", {"PYTORCH_ALLOC_CONF": "backend:native", "HOME": "/home/me", "API_TOKEN": "x"})
    assert {"PYTORCH_ALLOC_CONF": "backend:native"} == read_environment(CPU).variables


def test_what_is_set_on_a_gpu_is_recorded(monkeypatch: pytest.MonkeyPatch, fake_cuda: FakeCuda) -> None:
    """As PyTorch and NVML tell it; what NVML does not know of a GPU is `None`."""
    execution = choose_execution("cuda", None, None, cache=True)

    def refuse() -> object:
        raise module.NVMLError("Not Supported")

    answers = {
        "NVML_CLOCK_SM": 1,
        "nvmlDeviceGetEnforcedPowerLimit": {"the GPU": 700_000}.__getitem__,
        "nvmlDeviceGetMaxClockInfo": lambda gpu, clock: {("the GPU", 1): 1980}[gpu, clock],
        "nvmlDeviceGetEccMode": {"the GPU": [1, 0]}.__getitem__,
    }
    module = nvml_module(**answers)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    found = read_environment(execution)
    assert (NAME, "580.0") == (found.device_name, found.driver)
    assert found.gpu == GpuFacts(
        capability="9.0", memory_bytes=MEMORY, power_limit_watts=700, max_sm_clock_megahertz=1980, ecc=True, mig=None
    )
    monkeypatch.setattr(module, "nvmlInit", refuse)
    found = read_environment(execution)
    assert found.driver is None
    assert GpuFacts(capability="9.0", memory_bytes=MEMORY, absent="NVML: Not Supported") == found.gpu


@pytest.mark.gpu
def test_a_gpu_is_described() -> None:
    """Its name and the versions below it."""
    found = read_environment(Execution(device="cuda", threads=1, workers=0))
    assert torch.cuda.get_device_name(0) == found.device_name
    assert found.cuda
    assert found.cudnn
    assert found.driver
    assert found.gpu
    assert found.gpu.absent or found.gpu.max_sm_clock_megahertz


def test_a_process_knows_how_long_it_has_been_there() -> None:
    """To some hundredths, though Linux dates its own start to a whole second: no longer than somebody waits for it."""
    ask = """if True:
        import torch
        from intelbench.profiling.environment import process_seconds
        print(process_seconds(torch.device("cpu")))
    """
    started = time.monotonic()
    found = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True)
    assert 0 < float(found.stdout) < time.monotonic() - started + 0.05


def test_several_processes_share_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the number of threads or workers is given, which is that of each process."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    assert (6, 2) == (
        (chosen := choose_execution("cpu", None, None, True, processes=Processes(gpus=2))).threads, chosen.gpus
    )  # fmt: skip
    assert 3 == choose_execution("cpu", None, None, True, processes=Processes(slots=4)).threads
    assert 12 == choose_execution("cpu", 12, None, True, processes=Processes(gpus=2)).threads


def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs: their number, and their kinds."""

    def refusal(device: str, gpus: int) -> str:
        with pytest.raises(UserError) as raised:
            choose_execution(device, None, None, True, processes=Processes(gpus=gpus))
        return str(raised.value)

    fake_cuda = install(monkeypatch, tensors_on_cpu=False)
    fake_cuda.num_devices = 4
    chosen = choose_execution("cuda:1", None, None, True, processes=Processes(gpus=3))
    assert [1, 2, 3] == [chosen.of_rank(rank).device_index for rank in range(3)]
    assert "--gpus 4: PyTorch sees 3 from cuda:1 on. Expected at most as many. Try --gpus 3" == refusal("cuda:1", 4)
    assert (2, 2) == ((both := choose_execution("cuda", None, None, True, processes=Processes(2, 2))).slots, both.gpus)
    monkeypatch.setattr(fake_cuda, "get_device_name", lambda index: f"GPU {index // 2}")
    assert "--gpus 3: they are of several kinds: GPU 0, GPU 1. Expected one" in refusal("cuda", 3)
    assert 2 == choose_execution("cuda", None, None, True, processes=Processes(gpus=2)).gpus
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    assert "--gpus 2: this PyTorch was built without torch.distributed. Expected 1" in refusal("cpu", 2)
