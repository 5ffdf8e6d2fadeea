"""Describe the machine and the libraries, and choose how a run is executed."""

import os
import platform
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import torch

import intelbench
from intelbench.config.fields import Precision
from intelbench.errors import UserError
from intelbench.profiling.device import (
    Device,
    device_for,
    device_of,
    find_device,
    num_gpus,
    require_gpus,
    require_precision,
)
from intelbench.profiling.nvml import Nvml, driver_version
from intelbench.profiling.processors import num_processors
from intelbench.records.profiles import GpuFacts
from intelbench.records.types import Environment, Execution

_RECORDED_VARIABLES = (
    "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "OMP_SCHEDULE", "GOMP_SPINCOUNT",
    "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "KMP_BLOCKTIME", "MKL_NUM_THREADS", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
    "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "DNNL_MAX_CPU_ISA", "GLIBC_TUNABLES", "MALLOC_CONF", "LD_PRELOAD",
    "CUBLAS_WORKSPACE_CONFIG", "CUBLASLT_WORKSPACE_SIZE", "CUDA_DEVICE_MAX_CONNECTIONS", "CUDA_MODULE_LOADING",
    "CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_CUDNN_V8_API_DISABLED",
    "TORCH_CUDNN_V8_API_LRU_CACHE_LIMIT", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF",
    "PYTORCH_NO_CUDA_MEMORY_CACHING", "PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_FAST_MATH",
    "PYTORCH_ENABLE_MPS_FALLBACK", "HSA_OVERRIDE_GFX_VERSION", "MIOPEN_FIND_MODE", "MIOPEN_DEBUG_CONV_DIRECT",
    "NCCL_ALGO", "NCCL_PROTO", "NCCL_P2P_DISABLE",
)  # fmt: skip
"""Environment variables that are recorded, because they can change speed or bits. Others are not read: they may be
private."""


class Processes(NamedTuple):
    """The processes that share a host."""

    slots: int = 1
    """Runs at once."""
    gpus: int = 1
    """Processes of each run."""


def choose_execution(
    device: str,
    threads: int | None,
    workers: int | None,
    cache: bool,
    precision: Precision = "fp32",
    processes: Processes = Processes(),  # noqa: B008 - frozen
) -> Execution:
    """Resolve the options of execution; `None` stands for the default. All processes share the CPUs.

    With a GPU, PyTorch has one thread by default, because more threads would compete with those that load data. Up to
    eight threads load data, and two CPUs are left for the training loop and the driver.

    Raises:
        UserError: PyTorch sees no such device, or the device does not support the precision; or there are not as many
            GPUs of one kind.
    """
    chosen = find_device(device)
    require_precision(chosen, precision)
    on_gpu = chosen.kind != "cpu"
    slots, gpus = processes
    if device == "auto" and gpus > 1 and not on_gpu:
        raise UserError(
            f"--gpus {gpus}: PyTorch sees no CUDA device. Expected {gpus} of them. Try --device cpu, for {gpus} "
            "processes on the CPU"
        )
    own_threads, own_cpus = torch.get_num_threads() // (slots * gpus), num_processors() // (slots * gpus)
    execution = Execution(
        device=chosen.kind,
        threads=threads or (1 if on_gpu else max(1, own_threads)),
        workers=workers if workers is not None else (min(8, max(1, own_cpus - 2)) if on_gpu else 0),
        cache=cache,
        device_index=chosen.torch_device.index,
        slots=slots,
        gpus=gpus,
    )
    require_gpus(execution)
    return execution


def read_environment(execution: Execution) -> Environment:
    """Describe this machine and its libraries for a run with this execution."""
    cpu = _cpu_name()
    device = device_for(execution)
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
        device_name=device.name or cpu,
        driver=driver_version() if device.kind == "cuda" else None,
        **device.versions,
        gpu=_gpu_facts(device) if device.kind == "cuda" else None,
        variables={name: os.environ[name] for name in _RECORDED_VARIABLES if name in os.environ},
    )


def visible_gpus() -> list[str]:
    """Return what `CUDA_VISIBLE_DEVICES` names each GPU that PyTorch sees."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or list(map(str, range(num_gpus()))))[: num_gpus()]


def process_seconds(device: torch.device) -> float:
    """Return the seconds since this process was started, after synchronising the device.

    For a forked process, the seconds until the first call in its parent are added.
    """
    device_of(device).synchronize()
    original, seconds = _first_call()
    return _own_seconds() + (seconds if original != os.getpid() else 0.0)


@cache
def _first_call() -> tuple[int, float]:
    """Return the id and the age of the process that called first: this process or its parent."""
    return os.getpid(), _own_seconds()


def _own_seconds() -> float:
    created = psutil.Process().create_time()
    if hasattr(time, "CLOCK_BOOTTIME"):  # `created` is relative to the boot time, which Linux rounds to a second
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (created - psutil.boot_time())
    return time.time() - created


def _gpu_facts(device: Device) -> GpuFacts:
    facts = GpuFacts(capability=device.capability, memory_bytes=device.memory_bytes)
    try:
        gpu = Nvml(device.torch_device)
    except OSError as error:
        return msgspec.structs.replace(facts, absent=str(error))
    ecc, mig = (gpu.ask_or_none(f"nvmlDeviceGet{name}Mode") for name in ("Ecc", "Mig"))
    return msgspec.structs.replace(
        facts,
        power_limit_watts=gpu.watts("nvmlDeviceGetEnforcedPowerLimit"),
        max_sm_clock_megahertz=gpu.ask_or_none("nvmlDeviceGetMaxClockInfo", gpu.library.NVML_CLOCK_SM),
        ecc=None if ecc is None else bool(ecc[0]),  # the current mode; the second is the mode after a reboot
        mig=None if mig is None else bool(mig[0]),
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
