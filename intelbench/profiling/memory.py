"""Measure peak memory: each counter under its own name, or the reason why it is absent. Nothing is estimated."""

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
"""Size up to which glibc may keep freed memory."""
_MAX_MAPPED = 65_536
"""Number of allocations that may have a mapping of their own: glibc's default."""


def return_freed_memory() -> None:
    """Make glibc return freed memory to the kernel at once and use no huge pages.

    The memory of this process is then that of its tensors. Use it in a process whose memory is measured and not its
    time. With another C library nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for option, value in (
        (_MMAP_MAX, _MAX_MAPPED), (_MMAP_THRESHOLD, _KEPT_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES),
    ):  # fmt: skip
        libc.mallopt(option, value)
    libc.prctl(_DISABLE_HUGE_PAGES, 1, 0, 0, 0)
    libc.malloc_trim(0)


class MemoryMeter:
    """Measures peaks from its construction to `read`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device_of(device)
        self._baseline: int | None = None
        self._absent: dict[str, str] = {}
        self._allocated = self._reserved = 0
        """Peaks of the GPU's allocator before the last pause."""
        self._workspace: int | None = None
        self._before: AllocatorFigures | None = None
        gc.collect()
        if self._device.has_allocator:
            self._workspace = _workspace_bytes(self._device)
            self._before = self._device.allocator_figures()
            self._device.reset_peaks()
        else:
            reason = "no GPU in this run" if self._device.kind == "cpu" else "PyTorch counts no peaks on MPS"
            self._absent = dict.fromkeys(("cuda_allocated_bytes", "cuda_reserved_bytes", "nvml_process_bytes"), reason)
        if self._device.kind != "cpu":
            self._absent["process_bytes"] = "the run was on a GPU"
            return
        try:
            _CLEAR_REFS.write_text(_RESET_HIGH_WATER_MARK)
            _status_bytes("VmHWM")
            self._baseline = _status_bytes("VmRSS")
        except OSError as error:
            self._absent["process_bytes"] = f"the kernel's high-water mark cannot be reset here ({error.strerror})"

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude tensors on a GPU that are created in the block; a CPU's high-water mark cannot exclude anything."""
        if not self._device.has_allocator:
            yield
            return
        self._keep_peaks()
        reserved = self._device.reserved_bytes
        yield
        if self._device.reserved_bytes > reserved:  # if not, the cache saves the next step a call of the driver
            self._device.empty_cache()
        self._device.reset_peaks()

    def read(self) -> PeakMemory:
        """Return the peaks so far."""
        absent, before = dict(self._absent), self._before
        now = self._keep_peaks() if before else None
        return PeakMemory(
            process_bytes=None if self._baseline is None else max(0, _status_bytes("VmHWM") - self._baseline),
            cuda_allocated_bytes=self._allocated if now else None,
            cuda_reserved_bytes=self._reserved if now else None,
            nvml_process_bytes=_nvml_process_bytes(self._device.torch_device, absent) if now else None,
            absent=absent,
            cublas_workspace_bytes=self._workspace,
            num_alloc_retries=now.num_alloc_retries - before.num_alloc_retries if now and before else None,
            num_ooms=now.num_ooms - before.num_ooms if now and before else None,
        )

    def _keep_peaks(self) -> AllocatorFigures:
        figures = self._device.allocator_figures()
        self._allocated = max(self._allocated, figures.allocated_bytes)
        self._reserved = max(self._reserved, figures.reserved_bytes)
        return figures


def _workspace_bytes(device: Device) -> int:
    """Allocate the workspace of cuBLAS by a first product, and return its bytes (usually 8 to 33 MB)."""
    before = device.allocated_bytes
    _multiply(device)
    device.synchronize()
    return device.allocated_bytes - before


def _multiply(device: Device) -> None:
    """Compute a matrix product, and a product with a sum, because their libraries have separate workspaces."""
    matrix = torch.zeros(16, 16, device=device.torch_device)
    torch.addmm(matrix[0], matrix, matrix @ matrix)


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(0, f"{field} is not in {_STATUS}")


def _nvml_process_bytes(device: torch.device, absent: dict[str, str]) -> int | None:
    """Return the driver's figure for this process. In a container it may be missing or under another process id."""
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
