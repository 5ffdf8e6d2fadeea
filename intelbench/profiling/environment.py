"""The machine and the libraries, as found."""

import os
import platform
import time
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil
import torch

import intelbench
from intelbench.errors import UserError
from intelbench.profiling.processors import num_processors
from intelbench.records.types import Environment, Execution


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
    """Return the seconds since this process was started, once the device has done what it was asked for.

    A process that is a copy counts what the original had taken when it first asked.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    original, seconds = _first_asked()
    return _own_seconds() + (seconds if original != os.getpid() else 0.0)


@cache
def _first_asked() -> tuple[int, float]:
    """Return who asked first, this process or the one that it is a copy of, and how long that had been there."""
    return os.getpid(), _own_seconds()


def _own_seconds() -> float:
    created = psutil.Process().create_time()
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux dates its boot, on which `created` rests, to a whole second
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (created - psutil.boot_time())
    return time.time() - created


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
