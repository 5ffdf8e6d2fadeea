"""What differs between CPU, CUDA and MPS is known in one place."""

import os
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import intelbench
from intelbench.errors import UserError
from intelbench.profiling import device
from intelbench.profiling.device import (
    Device,
    device_for,
    device_of,
    find_device,
    is_available,
    is_out_of_memory,
    require_precision,
)
from intelbench.records.types import Execution
from tests.fake_cuda import MEMORY, NAME, UUID, FakeCuda, FakeEvent, install

CPU = torch.device("cpu")
EVERY_PRECISION = ("fp32", "bf16", "fp16")


def test_no_other_module_knows_a_gpu() -> None:
    """PyTorch is asked for GPUs in `profiling/device.py`, and NVIDIA's driver in `profiling/nvml.py`, alone."""
    package = Path(intelbench.__file__).parent
    known = ("torch.cuda.", "torch.mps.", "import cuda", 'device.type == "', "import pynvml")
    lines = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.name not in ("device.py", "nvml.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(name in line for name in known) and "`torch." not in line
    ]
    assert [] == lines


def test_the_gpus_of_the_machine_are_hidden(request: pytest.FixtureRequest) -> None:
    """From every test and the processes that it starts, except under `pytest -m gpu`."""
    if request.config.option.markexpr != "gpu":
        assert "" == os.environ["CUDA_VISIBLE_DEVICES"] == os.environ["HIP_VISIBLE_DEVICES"]
        assert "cpu" == find_device("auto").kind


def test_a_cpu_has_nothing_to_wait_for() -> None:
    """No event, no allocator, no generator of its own, and every precision."""
    found = device_of(CPU)
    found.activate()
    found.synchronize()
    found.empty_cache()
    found.warn_of_synchronizations(on=True)
    found.set_generator_state(torch.empty(0))
    assert Device("cpu", CPU) == found
    assert (None, None) == (found.event(), found.name)
    assert (False, False, False) == (found.has_events, found.pins_memory, found.has_allocator)
    assert (0, 0, None) == (found.allocated_bytes, found.reserved_bytes, found.generator_state())
    assert {} == found.versions
    assert ("fp32", "bf16") == found.precisions
    with pytest.raises(UserError, match=r"^precision fp16: not supported by cpu\. Expected fp32 or bf16\."):
        require_precision(found, "fp16")


def test_a_gpu_tells_about_itself(fake_cuda: FakeCuda) -> None:
    """Name, capability, memory, number, versions, and what its allocator counts."""
    found = device_of(CPU)
    assert "cuda" == found.kind
    assert (NAME, "9.0", MEMORY, UUID) == (found.name, found.capability, found.memory_bytes, found.uuid)
    assert "13.0" == found.versions["cuda"]
    fake_cuda.allocate(5000)
    fake_cuda.allocate(-5000)
    assert (1000, 7000) == (found.allocated_bytes, found.reserved_bytes)
    assert (6000, 7000, 0, 0) == found.allocator_figures()
    found.reset_peaks()
    found.empty_cache()
    assert (1000, 2000, 0, 0) == found.allocator_figures()
    assert isinstance(found.event(timing=True), FakeEvent)
    assert EVERY_PRECISION == found.precisions


def test_bf16_needs_a_gpu_that_computes_in_it(fake_cuda: FakeCuda) -> None:
    """PyTorch would emulate it, at the speed of something else."""
    fake_cuda.capability = (7, 5)
    found = device_of(CPU)
    assert ("fp32", "fp16") == found.precisions
    require_precision(found, "fp16")
    with pytest.raises(UserError, match=rf"precision bf16: not supported by {NAME}\. Expected fp32 or fp16\."):
        require_precision(found, "bf16")


def test_a_generator_goes_on_where_it_was(fake_cuda: FakeCuda) -> None:
    """The GPU's, by the state that was saved."""
    found = device_of(CPU)
    state = found.generator_state()
    assert state is not None
    drawn = torch.rand(3, generator=fake_cuda.generator)
    found.set_generator_state(state)
    assert torch.equal(drawn, torch.rand(3, generator=fake_cuda.generator))


def test_a_graph_does_its_work_when_it_is_replayed(fake_cuda: FakeCuda) -> None:
    """And not when it is captured; on the memory that it was captured with."""
    found = device_of(CPU)
    assert found.has_graphs
    values, ones = torch.zeros(2), torch.ones(2)
    graph, doubled = found.capture(lambda: values.add_(ones) * 2, found.new_stream())
    assert torch.equal(torch.zeros(2), values)
    assert doubled.isnan().all()
    for number in (1.0, 2.0):
        graph.replay()
        assert [number] * 2 == values.tolist()
        assert [number * 2] * 2 == doubled.tolist()
    ones.zero_()
    graph.replay()
    assert [2.0] * 2 == values.tolist()


def test_work_that_cannot_be_captured_says_why(fake_cuda: FakeCuda) -> None:
    """In its own words, not in those of the driver at its end; the queue of before is the current one again."""
    found = device_of(CPU)
    with pytest.raises(RuntimeError, match="operation not permitted when stream is capturing"):
        found.capture(lambda: torch.zeros(1).item(), found.new_stream())
    assert fake_cuda.stream_in_use is fake_cuda.default_stream


def test_work_in_another_queue_waits_and_is_waited_for(fake_cuda: FakeCuda) -> None:
    """By what is asked for before and after."""
    stream = device_of(CPU).new_stream()
    with device_of(CPU).working_in(stream):
        assert fake_cuda.stream_in_use is stream
    assert [fake_cuda.default_stream] == stream.waited_for
    assert [stream] == fake_cuda.default_stream.waited_for


def test_mps_is_asked_through_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has events and a generator, and neither bf16 nor peaks of memory."""
    asked: list[str] = []

    def note(name: str) -> object:
        return lambda *_, **__: asked.append(name)

    names = ("synchronize", "Event", "empty_cache", "get_rng_state", "set_rng_state")
    monkeypatch.setattr(device, "mps", SimpleNamespace(**{name: note(name) for name in names}))
    found = Device("mps", CPU)
    found.activate()
    found.synchronize()
    found.event(timing=True)
    found.empty_cache()
    found.generator_state()
    found.set_generator_state(torch.empty(0))
    assert list(names) == asked
    assert (True, False, False, None) == (found.has_events, found.pins_memory, found.has_allocator, found.name)
    assert not found.has_graphs
    assert ("fp32", "fp16") == found.precisions
    with pytest.raises(UserError, match="precision bf16: not supported by mps"):
        require_precision(found, "bf16")


@pytest.mark.parametrize(
    ("num_gpus", "wanted", "expected"),
    [
        (0, "auto", ("cpu", None)),
        (2, "auto", ("cuda", None)),
        (0, "cpu", ("cpu", None)),
        (2, "cpu", ("cpu", None)),
        (1, "cuda", ("cuda", None)),
        (1, "cuda:0", ("cuda", 0)),
        (2, "cuda:1", ("cuda", 1)),
    ],
)
def test_a_device_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, num_gpus: int, wanted: str, expected: tuple[str, int | None]
) -> None:
    """`auto` is the first CUDA device where there is one."""
    install(monkeypatch, tensors_on_cpu=False).num_devices = num_gpus
    found = find_device(wanted)
    assert expected == (found.kind, found.torch_device.index)
    assert found.kind == found.torch_device.type


@pytest.mark.parametrize(
    ("num_gpus", "wanted", "said"),
    [
        (0, "cuda", "--device cuda: PyTorch sees no CUDA device. Expected an NVIDIA GPU"),
        (0, "cuda:1", "--device cuda:1: PyTorch sees no CUDA device. Expected an NVIDIA GPU"),
        (1, "cuda:1", "--device cuda:1: no such GPU. Expected cuda:0. Try --device cuda:0"),
        (4, "cuda:7", "--device cuda:7: no such GPU. Expected cuda:0 to cuda:3. Try --device cuda:0"),
        (2, "mps", "--device mps: PyTorch sees no MPS device. Expected an Apple computer"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, num_gpus: int, wanted: str, said: str
) -> None:
    """With what there is, and what to try."""
    install(monkeypatch, tensors_on_cpu=False).num_devices = num_gpus
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError) as caught:
        find_device(wanted)
    assert str(caught.value).startswith(said)


def test_auto_is_never_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Because runs there do not promise to repeat; by its name it is found."""
    install(monkeypatch, tensors_on_cpu=False).num_devices = 0
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert ("cpu", "mps") == (find_device("auto").kind, find_device("mps").kind)
    assert [True, False, True] == [is_available("cpu"), is_available("cuda"), is_available("mps")]


def test_a_run_is_on_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which then is the one that `cuda` means."""
    fake = install(monkeypatch, tensors_on_cpu=False)
    found = device_for(Execution(device="cuda", threads=1, workers=0, device_index=1))
    assert torch.device("cuda:1") == found.torch_device
    found.activate()
    assert 1 == fake.current


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"), True),
        (RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
        (ValueError("the network has run out of memory lanes"), False),
    ],
)
def test_full_memory_is_known_by_type_or_message(error: BaseException, expected: bool) -> None:
    """Of PyTorch's allocators, of the drivers and of the libraries that take their own."""
    assert expected == is_out_of_memory(error)


@pytest.mark.gpu
def test_a_real_gpu_tells_about_itself() -> None:
    """Everything that the fake makes up."""
    found = find_device("cuda")
    found.activate()
    assert found.name
    assert found.capability
    assert found.memory_bytes
    assert found.memory_bytes > 10**9
    assert found.uuid
    assert found.versions["cudnn"]
    event = found.event(timing=True)
    assert event is not None
    event.record()
    event.synchronize()
    assert event.query()
    figures = found.allocator_figures()
    assert figures.allocated_bytes <= figures.reserved_bytes
    state = found.generator_state()
    assert state is not None
    drawn = torch.rand(3, device=found.torch_device)
    found.set_generator_state(state)
    assert torch.equal(drawn, torch.rand(3, device=found.torch_device))


@pytest.mark.gpu
def test_a_real_gpu_warns_of_calls_that_wait_for_it() -> None:
    """In the words that `bench.gpu` looks for, until that is switched off."""
    found = find_device("cuda")
    numbers = torch.ones(1, device=found.torch_device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found.warn_of_synchronizations(on=True)
        numbers.item()
        found.warn_of_synchronizations(on=False)
        numbers.item()
    assert 1 == sum("called a synchronizing CUDA operation" in str(each.message) for each in caught)


@pytest.mark.parametrize(
    ("has_avx512_bf16", "has_amx", "expected"),
    [(False, False, "fp32"), (True, False, "bf16"), (False, True, "bf16")],
)
def test_bf16_is_fastest_where_the_processor_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, has_avx512_bf16: bool, has_amx: bool, expected: str
) -> None:
    """On x86; elsewhere PyTorch's own library is asked."""
    monkeypatch.setattr(device.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx)
    assert expected == device.find_device("cpu").fastest_precision
    monkeypatch.setattr(device.platform, "machine", lambda: "arm64")
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert ("bf16" if has_bf16 else "fp32") == device.find_device("cpu").fastest_precision


@pytest.mark.gpu
def test_a_real_gpu_captures_and_replays() -> None:
    """As the fake does; and what cannot be captured says why."""
    found = find_device("cuda")
    stream = found.new_stream()
    values = torch.zeros(2, device=found.torch_device)
    with found.working_in(stream):
        values.add_(1)
    graph, doubled = found.capture(lambda: values.add_(1) * 2, stream)
    assert [1.0, 1.0] == values.tolist()
    graph.replay()
    assert ([2.0, 2.0], [4.0, 4.0]) == (values.tolist(), doubled.tolist())
    with pytest.raises(RuntimeError, match="captur"):
        found.capture(lambda: values.sum().item(), stream)
    graph.replay()
    assert [3.0, 3.0] == values.tolist()
