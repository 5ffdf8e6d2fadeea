"""Peak memory, measured and never estimated: each counter under its own name, or the reason why it is absent."""

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from intelbench.profiling.device import AllocatorFigures, Device, device_of
from intelbench.profiling.nvml import Nvml
from intelbench.records.profiles import PeakMemory

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_HIGH_WATER_MARK = "5"  # proc(5)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of malloc.h
_DISABLE_HUGE_PAGES = 41  # of sys/prctl.h
_KEPT_BYTES = 65_536
_MOST_MAPPED = 65_536
"""Allocations that glibc maps by themselves as it comes."""


def return_freed_memory() -> None:
    """Have glibc return freed memory to the kernel at once, and use no huge pages.

    The memory of this process is then that of its tensors. For a process whose memory is measured and not its time.
    Does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for option, value in (
        (_MMAP_MAX, _MOST_MAPPED), (_MMAP_THRESHOLD, _KEPT_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES),
    ):  # fmt: skip
        libc.mallopt(option, value)
    libc.prctl(_DISABLE_HUGE_PAGES, 1, 0, 0, 0)
    libc.malloc_trim(0)


class MemoryMeter:
    """Peaks from its making to `read`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device_of(device)
        self._baseline: int | None = None
        self._absent: dict[str, str] = {}
        self._allocated = self._reserved = 0
        """Peaks of the GPU's allocator before the last pause."""
        self._workspace: int | None = None
        self._before: AllocatorFigures | None = None
        gc.collect()
        if self._device.kind != "cpu":
            self._absent["process_bytes"] = "the run was on a GPU"
            if self._device.has_allocator:
                self._workspace = _workspace_bytes(self._device)
                self._before = self._device.allocator_figures()
                self._device.reset_peaks()
            return
        try:
            _CLEAR_REFS.write_text(_RESET_HIGH_WATER_MARK)
            _status_bytes("VmHWM")
            self._baseline = _status_bytes("VmRSS")
        except OSError as error:
            self._absent["process_bytes"] = f"the kernel's high-water mark cannot be reset here ({error.strerror})"

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What a GPU's tensors take inside does not count; a CPU's high-water mark knows no difference."""
        if not self._device.has_allocator:
            yield
            return
        self._keep_peaks()
        reserved = self._device.reserved_bytes
        yield
        if self._device.reserved_bytes > reserved:  # else the next step need not ask the driver again
            self._device.empty_cache()
        self._device.reset_peaks()

    def read(self) -> PeakMemory:
        """The peaks so far."""
        absent = dict(self._absent)
        process = None if self._baseline is None else max(0, _status_bytes("VmHWM") - self._baseline)
        if not self._device.has_allocator:
            reason = "no GPU in this run" if self._device.kind == "cpu" else "PyTorch counts no peaks on MPS"
            absent |= dict.fromkeys(("cuda_allocated_bytes", "cuda_reserved_bytes", "nvml_process_bytes"), reason)
            allocated = reserved = nvml = None
            retries = ooms = None
        else:
            now, before = self._keep_peaks(), self._before
            assert before is not None
            retries, ooms = now.num_alloc_retries - before.num_alloc_retries, now.num_ooms - before.num_ooms
            allocated, reserved = self._allocated, self._reserved
            nvml = _nvml_process_bytes(self._device.torch_device, absent)
        return PeakMemory(
            process_bytes=process,
            cuda_allocated_bytes=allocated,
            cuda_reserved_bytes=reserved,
            nvml_process_bytes=nvml,
            absent=absent,
            cublas_workspace_bytes=self._workspace,
            num_alloc_retries=retries,
            num_ooms=ooms,
        )

    def _keep_peaks(self) -> AllocatorFigures:
        figures = self._device.allocator_figures()
        self._allocated = max(self._allocated, figures.allocated_bytes)
        self._reserved = max(self._reserved, figures.reserved_bytes)
        return figures


def _workspace_bytes(device: Device) -> int:
    """Let cuBLAS take its workspace, as its first product does, and return how large it is (usually 8 to 33 MB)."""
    before = device.allocated_bytes
    _multiply(device)
    device.synchronize()
    return device.allocated_bytes - before


def _multiply(device: Device) -> None:
    """Compute a product and one with a sum, whose libraries have workspaces of their own."""
    matrix = torch.zeros(16, 16, device=device.torch_device)
    torch.addmm(matrix[0], matrix, matrix @ matrix)


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(0, f"{field} is not in {_STATUS}")


def _nvml_process_bytes(device: torch.device, absent: dict[str, str]) -> int | None:
    """The driver's figure for this process; in a container it may be missing or under another process id."""
    try:
        processes = Nvml(device).ask("nvmlDeviceGetComputeRunningProcesses")
    except OSError as error:
        absent["nvml_process_bytes"] = str(error)
        return None
    own = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
    if not own or own[0] is None:
        absent["nvml_process_bytes"] = "NVML does not list this process (usual in containers)"
        return None
    return int(own[0])
