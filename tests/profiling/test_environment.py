"""What will be done is chosen from what was asked for, and the machine is described as found."""

import subprocess
import sys
import time

import msgspec
import pytest
import torch

from intelbench.errors import UserError
from intelbench.profiling import environment
from intelbench.profiling.environment import choose_execution, read_environment
from intelbench.records.types import Execution

CPU = Execution(device="cpu", threads=3, workers=0)


@pytest.fixture
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that PyTorch sees a GPU, or none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)


@pytest.mark.parametrize(
    ("gpu", "device", "workers", "expected"),
    [
        (False, "auto", None, ("cpu", 0)),
        (False, "cpu", None, ("cpu", 0)),
        (False, "auto", 3, ("cpu", 3)),
        (True, "cpu", None, ("cpu", 0)),
        (True, "auto", None, ("cuda", 4)),
        (True, "cuda", None, ("cuda", 4)),
        (True, "cuda", 0, ("cuda", 0)),
        (True, "auto", 2, ("cuda", 2)),
    ],
    indirect=["gpu"],
)
@pytest.mark.usefixtures("gpu")
def test_device_and_workers(
    monkeypatch: pytest.MonkeyPatch, device: str, workers: int | None, expected: tuple[str, int]
) -> None:
    """`auto` takes a GPU where there is one; workers default to 0 on a processor and at most 4 with a GPU."""
    monkeypatch.setattr(environment, "num_processors", lambda: 16)
    chosen = choose_execution(device, None, workers, cache=True)
    assert expected == (chosen.device, chosen.workers)


@pytest.mark.parametrize("gpu", [True], indirect=True)
@pytest.mark.usefixtures("gpu")
def test_workers_fit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processors prepare with two threads."""
    monkeypatch.setattr(environment, "num_processors", lambda: 2)
    assert 2 == choose_execution("auto", None, None, cache=True).workers


@pytest.mark.parametrize("gpu", [False], indirect=True)
@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    """The message names the option and the ways out."""
    with pytest.raises(UserError, match=r"--device cuda: PyTorch sees no CUDA device here; use --device cpu"):
        choose_execution("cuda", None, None, cache=True)


@pytest.mark.parametrize("cache", [True, False])
def test_threads_and_cache(cache: bool) -> None:
    """Threads as asked for, or PyTorch's choice; the cache as asked for."""
    assert Execution(device="cpu", threads=5, workers=1, cache=cache) == choose_execution("cpu", 5, 1, cache)
    assert torch.get_num_threads() == choose_execution("cpu", None, None, cache).threads


def test_the_machine_is_described() -> None:
    """Every field of a run on a processor has content, and those of a GPU are absent."""
    found = msgspec.structs.asdict(read_environment(CPU))
    gpu_fields = {"cuda", "cudnn", "driver"}
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


@pytest.mark.gpu
def test_a_gpu_is_described() -> None:
    """Its name and the versions below it."""
    found = read_environment(Execution(device="cuda", threads=1, workers=0))
    assert torch.cuda.get_device_name(0) == found.device_name
    assert found.cuda
    assert found.cudnn
    assert found.driver


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
