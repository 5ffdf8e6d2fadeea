"""Peaks are seen, and what cannot be measured is absent with a reason."""

import mmap
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from intelbench.architectures.reference import REFERENCE
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.orchestration.probe import Probe, describe, probe_in_process
from intelbench.orchestration.process import Limits
from intelbench.profiling import device, memory
from intelbench.profiling.memory import MemoryMeter
from intelbench.records.types import Execution
from tests.fake_cuda import FakeCuda, nvml_module

CPU = torch.device("cpu")
MB = 10**6
needs_linux = pytest.mark.skipif(
    sys.platform != "linux" or not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's high-water mark"
)


def touch_and_free(size: int) -> None:
    """Use new memory and give it back; torch's allocator might reuse what earlier tests have left resident."""
    with mmap.mmap(-1, size) as block:
        np.frombuffer(block, dtype=np.uint8).fill(1)


@needs_linux
def test_memory_that_was_freed_again_is_seen() -> None:
    """200 MB that are touched and freed between two readings of a sampler are in the peak."""
    meter = MemoryMeter(CPU)
    touch_and_free(200 * MB)
    peak = meter.read().process_bytes
    assert peak is not None
    assert 190 * MB <= peak < 400 * MB


@needs_linux
def test_an_earlier_peak_is_not_this_meters() -> None:
    """The mark is reset: what was freed before the meter was made does not count."""
    touch_and_free(200 * MB)
    peak = MemoryMeter(CPU).read().process_bytes
    assert peak is not None
    assert 0 <= peak < 100 * MB


@needs_linux
def test_reading_again_never_falls() -> None:
    """A peak stays one."""
    meter = MemoryMeter(CPU)
    first = meter.read().process_bytes
    touch_and_free(50 * MB)
    second, third = meter.read().process_bytes, meter.read().process_bytes
    assert first is not None
    assert second is not None
    assert third is not None
    assert first + 40 * MB <= second <= third


def test_gpu_figures_are_absent_from_a_run_on_a_processor() -> None:
    """`None` and a reason by field: never 0."""
    peak = MemoryMeter(CPU).read()
    absent = ("cuda_allocated_bytes", "cuda_reserved_bytes", "nvml_process_bytes")
    assert [None, None, None] == [getattr(peak, name) for name in absent]
    assert dict.fromkeys(absent, "no GPU in this run") == {name: peak.absent[name] for name in absent}
    assert ("process_bytes" in peak.absent) == (peak.process_bytes is None)


def test_a_mark_that_cannot_be_reset_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a reset the mark would be some earlier peak, so there is no figure."""
    monkeypatch.setattr(memory, "_CLEAR_REFS", tmp_path / "no" / "such" / "file")
    peak = MemoryMeter(CPU).read()
    assert peak.process_bytes is None
    assert (
        "the kernel's high-water mark cannot be reset here (No such file or directory)" == peak.absent["process_bytes"]
    )


@pytest.mark.parametrize("status", ["Name:\tpython\n", "Name:\tpython\nVmRSS:\t   1000 kB\n"])
def test_a_kernel_without_the_fields_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """A sandbox whose /proc lacks a field has no figure, and the run continues."""
    (tmp_path / "status").write_text(status)
    monkeypatch.setattr(memory, "_CLEAR_REFS", tmp_path / "clear_refs")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    peak = MemoryMeter(CPU).read()
    assert peak.process_bytes is None
    assert "high-water mark" in peak.absent["process_bytes"]


@needs_linux
def test_a_pause_changes_nothing_on_a_processor() -> None:
    """The kernel's mark knows of none: what is taken inside is in the peak, and so is what was before."""
    meter = MemoryMeter(CPU)
    touch_and_free(200 * MB)
    before = meter.read()
    with meter.paused():
        touch_and_free(100 * MB)
    assert before.process_bytes is not None
    assert 190 * MB <= before.process_bytes <= (after := meter.read().process_bytes or 0) < 400 * MB
    with meter.paused():
        touch_and_free(300 * MB)
    assert after + 50 * MB <= (meter.read().process_bytes or 0)


@pytest.mark.gpu
def test_what_a_gpu_holds_in_a_pause_does_not_count() -> None:
    """Peaks before and after it do."""
    device = torch.device("cuda")
    held = torch.cuda.memory_allocated(device)

    def peak_of(*sizes: int) -> int:
        """Of a first block, one in the pause, and one after it."""
        meter = MemoryMeter(device)
        first, paused, last = sizes
        torch.empty(first, dtype=torch.uint8, device=device)
        with meter.paused():
            torch.empty(paused, dtype=torch.uint8, device=device)
        torch.empty(last, dtype=torch.uint8, device=device)
        peak = meter.read().cuda_allocated_bytes
        assert peak is not None
        return peak - held

    assert 20 * MB <= peak_of(20 * MB, 200 * MB, 10 * MB) < 30 * MB
    assert 20 * MB <= peak_of(10 * MB, 200 * MB, 20 * MB) < 30 * MB


@pytest.mark.gpu
def test_a_gpus_peaks() -> None:
    """Tensors that were freed again are in the allocator's peaks; the processor's figure is absent."""
    device = torch.device("cuda")
    meter = MemoryMeter(device)
    block = torch.ones(200 * MB, dtype=torch.uint8, device=device)
    del block
    peak = meter.read()
    assert peak.cuda_allocated_bytes is not None
    assert peak.cuda_reserved_bytes is not None
    assert 200 * MB <= peak.cuda_allocated_bytes <= peak.cuda_reserved_bytes
    assert peak.process_bytes is None
    assert "the run was on a GPU" == peak.absent["process_bytes"]
    assert ("nvml_process_bytes" in peak.absent) == (peak.nvml_process_bytes is None)


def test_a_gpus_peaks_are_its_allocators(fake_cuda: FakeCuda) -> None:
    """From the meter's making on, without what is taken in a pause; the processor's figure is absent."""
    fake_cuda.allocate(50 * MB)
    fake_cuda.allocate(-50 * MB)
    meter = MemoryMeter(CPU)
    fake_cuda.allocate(20 * MB)
    with meter.paused():
        fake_cuda.allocate(200 * MB)
        fake_cuda.allocate(-200 * MB)
    assert 1 == fake_cuda.calls["empty_cache"]
    with meter.paused():
        pass
    assert 1 == fake_cuda.calls["empty_cache"]
    fake_cuda.allocate(5 * MB)
    fake_cuda.allocate(-25 * MB)
    peak = meter.read()
    assert 25 * MB == (peak.cuda_allocated_bytes or 0) - fake_cuda.allocated
    assert (peak.cuda_reserved_bytes or 0) >= (peak.cuda_allocated_bytes or 0)
    assert peak.process_bytes is None
    assert "the run was on a GPU" == peak.absent["process_bytes"]


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ([(os.getpid(), 300 * MB), (1, 7)], 300 * MB),
        ([(os.getpid(), None)], None),
        ([(1, 7)], None),
        ([], None),
    ],
)
@pytest.mark.usefixtures("fake_cuda")
def test_the_drivers_figure_is_that_of_this_process(
    monkeypatch: pytest.MonkeyPatch, processes: list[tuple[int, int | None]], expected: int | None
) -> None:
    """Or absent, where a container hides it."""
    listed = [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes]
    module = nvml_module(nvmlDeviceGetComputeRunningProcesses=lambda _: listed)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    peak = MemoryMeter(CPU).read()
    assert expected == peak.nvml_process_bytes
    reason = "NVML does not list this process (usual in containers)"
    assert (None if expected else reason) == peak.absent.get("nvml_process_bytes")


@pytest.mark.usefixtures("fake_cuda")
def test_a_driver_without_an_answer_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of an AMD GPU, which has no NVML."""
    module = nvml_module()

    def refuse() -> None:
        raise module.NVMLError("Driver Not Loaded")

    module.nvmlInit = refuse  # type: ignore[attr-defined] # a module made for the test
    monkeypatch.setitem(sys.modules, "pynvml", module)
    peak = MemoryMeter(CPU).read()
    assert (None, "NVML: Driver Not Loaded") == (peak.nvml_process_bytes, peak.absent["nvml_process_bytes"])


def test_nobody_counts_peaks_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every figure is absent, with its reason."""
    monkeypatch.setitem(device._KINDS, "cpu", "mps")
    meter = MemoryMeter(CPU)
    with meter.paused():
        pass
    peak = meter.read()
    assert (None, None, None) == (peak.process_bytes, peak.cuda_allocated_bytes, peak.nvml_process_bytes)
    assert "PyTorch counts no peaks on MPS" == peak.absent["cuda_allocated_bytes"]


def test_the_workspace_of_cublas_has_a_figure_of_its_own(fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken before the peaks begin, by the first product alone; retries and refusals are those since then."""
    taken = iter([33 * MB, 0])
    monkeypatch.setattr(memory, "_multiply", lambda _: fake_cuda.allocate(next(taken)))
    fake_cuda.counts = {"num_alloc_retries": 2, "num_ooms": 1}
    meter = MemoryMeter(CPU)
    fake_cuda.counts = {"num_alloc_retries": 5, "num_ooms": 1}
    peak = meter.read()
    assert (33 * MB, 3, 0) == (peak.cublas_workspace_bytes, peak.num_alloc_retries, peak.num_ooms)
    assert 0 == MemoryMeter(CPU).read().cublas_workspace_bytes


def test_a_cpu_has_no_workspace_of_cublas() -> None:
    """Absent is `None`."""
    peak = MemoryMeter(CPU).read()
    assert (None, None, None) == (peak.cublas_workspace_bytes, peak.num_alloc_retries, peak.num_ooms)


@pytest.mark.gpu
@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpus_peak_is_the_predicted_one_and_a_workspace(name: str, precision: str) -> None:
    """Of training steps of 32 and of 128 images, within 3 %."""
    probe = Probe(
        architecture=name,
        plugins=(),
        num_classes=6,
        conditions=Conditions(image_size=96, precision=precision, budget=Budget(steps=1), recipe=Recipe()),
        execution=Execution(device="cuda", threads=1, workers=0),
        frozen=False,
        batch_sizes=(32, 128),
    )
    predicted = [each.peak_bytes for each in describe(probe).memory]
    found = []
    for measured in probe_in_process(probe, Limits()).measured:
        assert measured.peak is not None, measured.failure
        assert measured.peak.cuda_allocated_bytes is not None
        found.append(measured.peak.cuda_allocated_bytes - (measured.peak.cublas_workspace_bytes or 0))
    assert pytest.approx(predicted, rel=0.03) == found
