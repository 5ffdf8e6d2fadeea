"""Peak memory, measured and never estimated: each counter under its own name, or the reason why it is absent."""

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

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
        self._device = device
        self._baseline: int | None = None
        self._absent: dict[str, str] = {}
        self._allocated = self._reserved = 0
        """CUDA's peaks before the last pause."""
        gc.collect()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
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
        """What a GPU's tensors take inside does not count; a CPU's high-water mark knows no difference."""
        if self._device.type != "cuda":
            yield
            return
        self._keep_cuda_peaks()
        reserved = torch.cuda.memory_reserved(self._device)
        yield
        if torch.cuda.memory_reserved(self._device) > reserved:  # else the next step need not ask the driver again
            torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)

    def read(self) -> PeakMemory:
        """The peaks so far."""
        absent = dict(self._absent)
        process = None if self._baseline is None else max(0, _status_bytes("VmHWM") - self._baseline)
        if self._device.type != "cuda":
            for name in ("cuda_allocated_bytes", "cuda_reserved_bytes", "nvml_process_bytes"):
                absent[name] = "no GPU in this run"
            allocated = reserved = nvml = None
        else:
            self._keep_cuda_peaks()
            allocated, reserved = self._allocated, self._reserved
            nvml = _nvml_process_bytes(self._device, absent)
        return PeakMemory(
            process_bytes=process,
            cuda_allocated_bytes=allocated,
            cuda_reserved_bytes=reserved,
            nvml_process_bytes=nvml,
            absent=absent,
        )

    def _keep_cuda_peaks(self) -> None:
        torch.cuda.synchronize(self._device)
        self._allocated = max(self._allocated, torch.cuda.max_memory_allocated(self._device))
        self._reserved = max(self._reserved, torch.cuda.max_memory_reserved(self._device))


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(0, f"{field} is not in {_STATUS}")


def _nvml_process_bytes(device: torch.device, absent: dict[str, str]) -> int | None:
    """The driver's figure for this process; in a container it may be missing or under another process id."""
    import pynvml  # loads the driver's library

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError as error:
        absent["nvml_process_bytes"] = f"NVML: {error}"
        return None
    own = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
    if not own or own[0] is None:
        absent["nvml_process_bytes"] = "NVML does not list this process (usual in containers)"
        return None
    return int(own[0])
