"""The machine and the libraries, as found: the only place that reads the process's environment variables."""

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import psutil
import torch

import intelbench
from intelbench.data.seeds import stream_seed
from intelbench.errors import UserError
from intelbench.profiling.processors import num_processors
from intelbench.records.types import Environment, Execution

_ALLOCATOR = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=-1:glibc.malloc.hugetlb=1"
"""Large tensors in the heap, which is never given back to the kernel and lies in huge pages where one may ask for them.

As it comes, glibc unmaps what a step frees, and the next step gets it back page by page: 14,000 to 30,000 page faults a
step, measured, a tenth to a fifth of its time. The peak of the process stays within 2 %.
"""
_THRIFTY_ALLOCATOR = "glibc.malloc.mmap_threshold=65536:glibc.malloc.trim_threshold=65536"
"""What is freed goes back to the kernel at once, so that the process's memory is that of its tensors."""


def choose_execution(device: str, threads: int | None, workers: int | None, cache: bool) -> Execution:
    """Turn what the user asked for into what will be done.

    Raises:
        UserError: a GPU was asked for and PyTorch sees none.
    """
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise UserError("--device cuda: PyTorch sees no CUDA device here; use --device cpu, or mend the driver")
    on_gpu = device == "cuda" or (device == "auto" and has_gpu)
    return Execution(
        device="cuda" if on_gpu else "cpu",
        threads=threads or torch.get_num_threads(),
        workers=workers if workers is not None else (min(4, num_processors()) if on_gpu else 0),
        cache=cache,
    )


def read_environment(execution: Execution) -> Environment:
    """Describe this machine for a run that is executed so."""
    cpu = _cpu_name()
    on_gpu = execution.device == "cuda"
    return Environment(
        intelbench=intelbench.__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        torchvision=metadata.version("torchvision"),
        numpy=metadata.version("numpy"),
        platform=platform.platform(),
        cpu=cpu,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        num_cpus=num_processors(),
        memory_bytes=psutil.virtual_memory().total,
        device_name=torch.cuda.get_device_name(0) if on_gpu else cpu,
        cuda=torch.version.cuda if on_gpu else None,
        cudnn=str(torch.backends.cudnn.version()) if on_gpu else None,
        driver=_driver() if on_gpu else None,
    )


def process_seconds(device: torch.device) -> float:
    """Seconds since this process was started, once the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    created = psutil.Process().create_time()
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux dates its boot, on which `created` rests, to a whole second
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (created - psutil.boot_time())
    return time.time() - created


def child_environment(execution: Execution, seed: int, *, thrifty: bool = False) -> dict[str, str]:
    """Environment variables of the process of a run with this seed: this one's, and what must be set before it starts.

    A thrifty one holds no memory that it does not use, for a process whose memory is measured and not its time.
    """
    allocator = _THRIFTY_ALLOCATOR if thrifty else _ALLOCATOR
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(execution.threads),
        # How long an idle thread spins before it sleeps: not at all (passive) made steps half as slow again, and the
        # default of 300,000 rounds burns a processor that somebody else may want.
        "GOMP_SPINCOUNT": "10000",
        "GLIBC_TUNABLES": ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), allocator))),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS is deterministic only with a fixed workspace
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",  # the user's may let float32 be computed in bfloat16
        "PYTHONHASHSEED": str(stream_seed(seed, "hash") % 2**32),  # the order of a set of strings
        "PYTHONUNBUFFERED": "1",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _driver() -> str | None:
    import pynvml  # loads the driver's library

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None
