"""The same small work is timed again and again, and leaves a run as it was."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from intelbench.profiling import reference_kernels
from intelbench.profiling.reference_kernels import ReferenceKernels
from intelbench.results.datasheet import peak_flops_per_second
from tests.fake_cuda import FakeCuda

CPU = torch.device("cpu")
NAMES = ("convolution", "matmul", "exchange")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less work than a run's."""
    monkeypatch.setattr(reference_kernels, "_CPU_SIZES", ((2, 16, 8), 64))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_timing_is_a_row_of_repetitions(dtype: torch.dtype) -> None:
    """By kind of work, with the step before which it was done; all took some time."""
    meter = ReferenceKernels(CPU, dtype)
    for step in (0, 3, 6):
        meter.step(step, at_evaluation=True)
    traces = meter.read()
    expected = {f"{name}_seconds": (3, 5) for name in NAMES} | {"step": (3,)}
    assert expected == {name: array.shape for name, array in traces.items()}
    assert [0, 3, 6] == traces["step"].tolist()
    for name in NAMES:
        assert np.float64 == traces[f"{name}_seconds"].dtype
        assert (traces[f"{name}_seconds"] > 0).all()


def test_nothing_timed_leaves_no_arrays() -> None:
    """A run that never started has none of its own."""
    assert {} == ReferenceKernels(CPU, torch.float32).read()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flops_are_those_that_pytorch_counts(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    """Of the very convolution and product that are timed; the exchange has none."""
    counted = []

    def counting(_: ReferenceKernels, call: Callable[[], object]) -> list[float]:
        with FlopCounterMode(display=False) as counter:
            call()
        counted.append(counter.get_total_flops())
        return [1.0]

    monkeypatch.setattr(ReferenceKernels, "_timed", counting)
    meter = ReferenceKernels(CPU, dtype)
    meter.step(0, at_evaluation=True)
    assert [meter.work.convolution_flops, meter.work.matmul_flops, 0] == counted


@pytest.mark.usefixtures("small")
def test_work_is_done_in_the_precision_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both inputs of the convolution are in it, and in the memory format that is fast."""
    seen = []
    convolve = F.conv2d

    def watching(images: torch.Tensor, weight: torch.Tensor, padding: int) -> torch.Tensor:
        seen.append((images, weight))
        return convolve(images, weight, padding=padding)

    monkeypatch.setattr(F, "conv2d", watching)
    ReferenceKernels(CPU, torch.bfloat16).step(0, at_evaluation=True)
    assert 6 == len(seen)
    assert {torch.bfloat16} == {tensor.dtype for pair in seen for tensor in pair}
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for pair in seen for tensor in pair)


@pytest.mark.usefixtures("small")
def test_a_runs_random_numbers_are_not_touched() -> None:
    """The dropout of the steps after it is what it would have been."""
    before = torch.get_rng_state()
    ReferenceKernels(CPU, torch.float32).step(0, at_evaluation=True)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpus_work_is_done_when_it_is_timed(dtype: torch.dtype) -> None:
    """A convolution of 118 GFLOPs or more is not over as soon as it is asked for: no GPU does 10 PFLOP/s."""
    meter = ReferenceKernels(torch.device("cuda"), dtype)
    meter.step(0, at_evaluation=True)
    taken = meter.read()["convolution_seconds"]
    assert (meter.work.convolution_flops / taken < 1e16).all()


@pytest.fixture
def small_gpu(fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A GPU that is none, and less work than a run's."""
    monkeypatch.setattr(reference_kernels, "_GPU_SIZES", ((2, 16, 8), 64))
    monkeypatch.setattr(reference_kernels, "_HALF_GPU_SIZES", ((2, 16, 8), 128))
    monkeypatch.setattr(reference_kernels, "_COPIED_BYTES", 4096)
    monkeypatch.setattr(reference_kernels, "_LAUNCHED_SECONDS", 1e-4)
    return fake_cuda


@pytest.mark.usefixtures("small_gpu")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_copies_in_place_of_exchanging(dtype: torch.dtype) -> None:
    """Convolution, product and copy within its memory; larger work in the precisions of tensor cores."""
    meter = ReferenceKernels(CPU, dtype)
    meter.step(0, at_evaluation=True)
    meter.step(4, at_evaluation=True)
    traces = meter.read()
    expected = {f"{name}_seconds": (2, 5) for name in ("convolution", "matmul", "copy")}
    assert expected | {"step": (2,)} == {name: array.shape for name, array in traces.items()}
    assert all((traces[name] > 0).all() for name in expected)
    assert 8192 == meter.work.copy_bytes
    assert 2 * (64 if dtype == torch.float32 else 128) ** 3 == meter.work.matmul_flops


def test_a_gpu_is_timed_by_events_around_many_launches(fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for ten milliseconds, divided by their number; only what comes after two repetitions agree is counted."""
    speed = [4.0, 2.0, 1.0, 1.001]  # milliseconds of a call while the GPU reaches its clock
    calls: list[float] = []
    times = iter(speed)

    class Event:
        """Tells how long the calls between two events have taken."""

        def record(self) -> None:
            """Count the calls so far."""
            self.num_calls = len(calls)

        def synchronize(self) -> None:
            """Wait for nothing."""

        def elapsed_time(self, end: "Event") -> float:
            """Milliseconds of the calls in between."""
            return (end.num_calls - self.num_calls) * next(times, 1.0)

    events: list[Event] = []

    def make_event(enable_timing: bool) -> Event:
        assert enable_timing
        events.append(Event())
        return events[-1]

    monkeypatch.setattr(fake_cuda, "Event", make_event)
    taken = ReferenceKernels(CPU, torch.float32)._timed_by_events(lambda: calls.append(0))
    assert [0.001] * 5 == taken
    launches = [end.num_calls - begin.num_calls for begin, end in zip(events[::2], events[1::2], strict=True)]
    assert [1, 3, 5, 10, 10, 10, 10, 10, 10] == launches


@pytest.mark.usefixtures("fake_cuda")
def test_a_gpu_that_never_settles_is_timed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stated number of repetitions."""
    seconds = iter(2.0**-number for number in range(100))
    monkeypatch.setattr(ReferenceKernels, "_mean_seconds", lambda *_: next(seconds))
    taken = ReferenceKernels(CPU, torch.float32)._timed_by_events(lambda: None)
    assert [2.0**-number for number in range(21, 26)] == taken


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpus_peak_is_near_its_data_sheet(dtype: torch.dtype) -> None:
    """Between 50 and 105 % of what its maker states, where a data sheet is known."""
    precision = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    stated = peak_flops_per_second(torch.cuda.get_device_name(), precision)
    if stated is None:
        pytest.skip(f"no data sheet is known for {torch.cuda.get_device_name()}")
    torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.conv.fp32_precision = "ieee"
    meter = ReferenceKernels(torch.device("cuda"), dtype)
    meter.step(0, at_evaluation=True)
    seconds = meter.read()["matmul_seconds"].min()
    assert 0.5 <= meter.work.matmul_flops / seconds / stated <= 1.05
