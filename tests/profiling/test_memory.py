"""Peaks are seen, and what cannot be measured is absent with a reason."""

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from intelbench.profiling import memory
from intelbench.profiling.memory import MemoryMeter

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
    """A sandbox whose /proc lacks a field has no figure, and the run goes on."""
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
