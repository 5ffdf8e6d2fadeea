"""Hide the differences between CPU, CUDA and MPS behind `Device`. No other module calls `torch.cuda` or `torch.mps`.

PyTorch calls an AMD GPU under ROCm CUDA too. MPS is the GPU of an Apple computer. It is untested, and runs on it may
not repeat to the bit.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, cuda, distributed, mps

from intelbench.config.bounds import device_name
from intelbench.config.fields import DeviceKind, Precision
from intelbench.errors import UserError
from intelbench.records.types import Execution

_KINDS: dict[str, DeviceKind] = {"cpu": "cpu", "cuda": "cuda", "mps": "mps"}
"""Kind of a device by its type in PyTorch. The fake GPU of the tests, whose tensors are on the CPU, changes it."""
Result = TypeVar("Result")
Event = cuda.Event
"""An event of a GPU; `torch.mps.Event` has the same methods."""
Stream = cuda.Stream
Graph = cuda.CUDAGraph
_MIN_BF16_CAPABILITY = (8, 0)
"""First CUDA compute capability with bf16. On older GPUs PyTorch emulates it, which is slower than fp32."""
_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUDA out of memory",
    "HIP error: out of memory",
    "HIP out of memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Texts of a RuntimeError that PyTorch raises in place of an OutOfMemoryError."""


class AllocatorFigures(NamedTuple):
    """Counters of the caching allocator of a GPU."""

    allocated_bytes: int
    """Peak of all tensors since the last reset."""
    reserved_bytes: int
    """Peak of tensors and the allocator's cache since the last reset."""
    num_alloc_retries: int
    """How often the allocator has emptied its cache and asked the driver again, since the process was started."""
    num_ooms: int
    """How often the GPU was out of memory, since the process was started."""


@dataclass(frozen=True)
class Device:
    """A device, with the functions of PyTorch that depend on its kind."""

    kind: DeviceKind
    torch_device: torch.device

    def activate(self) -> None:
        """Make this GPU the current device, which is what `cuda` without a number means."""
        if self.kind == "cuda" and self.torch_device.index is not None:
            cuda.set_device(self.torch_device)

    def synchronize(self) -> None:
        """Wait until the device has finished all work."""
        if self.kind == "cuda":
            cuda.synchronize(self.torch_device)
        elif self.kind == "mps":
            mps.synchronize()

    def warn_of_synchronizations(self, *, on: bool) -> None:
        """Turn PyTorch's warning for each call that makes the host wait for the GPU on or off."""
        if self.kind == "cuda":
            cuda.set_sync_debug_mode("warn" if on else "default")

    @property
    def has_events(self) -> bool:
        """Whether the device works asynchronously, so that its work is timed by events."""
        return self.kind != "cpu"

    def event(self, *, timing: bool = False) -> Event | None:
        """Return a new event, which has `elapsed_time` only with `timing`; `None` on a CPU, which is synchronous."""
        if self.kind == "cuda":
            return cuda.Event(enable_timing=timing)
        return cast("Event", mps.Event(enable_timing=timing)) if self.kind == "mps" else None

    @property
    def has_graphs(self) -> bool:
        """Whether PyTorch can capture work on the device as a graph."""
        return self.kind == "cuda"

    def new_stream(self) -> Stream:
        """Return a new stream of a device that `has_graphs`."""
        return cuda.Stream(self.torch_device)

    @contextmanager
    def working_in(self, stream: Stream) -> Iterator[None]:
        """Run the block in a stream, after all earlier work of the current stream and before all its later work."""
        current = cuda.current_stream(self.torch_device)
        stream.wait_stream(current)
        with cuda.stream(stream):
            yield
        current.wait_stream(stream)

    def capture(self, work: Callable[[], Result], stream: Stream) -> tuple[Graph, Result]:
        """Capture the operations of `work` as a CUDA graph, and return the graph and the result of `work`.

        The GPU does nothing during the capture. Tensors that `work` creates get new values at each replay.

        Raises:
            Exception: the error of `work`, or PyTorch's error for work that cannot be captured.
        """
        graph = cuda.CUDAGraph()
        results: list[Result] = []
        problems: list[Exception] = []
        try:
            # `working_in` restores the current stream, which a capture that fails to end does not. Other threads, which
            # prepare batches, may use the driver at the same time.
            with self.working_in(stream), cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                try:
                    results.append(work())
                except Exception as error:  # noqa: BLE001 - raised again after the capture
                    problems.append(error)
        except Exception as error:  # noqa: BLE001 - as above
            problems.append(error)
        if problems:
            raise problems[0]
        return graph, results[0]

    @property
    def pins_memory(self) -> bool:
        """Whether copies from page-locked memory are asynchronous."""
        return self.kind == "cuda"

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that a run may have: no fp16 on a CPU, no bf16 on MPS, on CUDA bf16 from capability 8.0 on."""
        if self.kind == "cpu":
            return ("fp32", "bf16")
        lacks_bf16 = self.kind == "mps" or (
            torch.version.hip is None and cuda.get_device_capability(self.torch_device) < _MIN_BF16_CAPABILITY
        )
        return ("fp32", "fp16") if lacks_bf16 else ("fp32", "bf16", "fp16")

    @property
    def fastest_precision(self) -> Precision:
        """Return bf16 if the device has instructions for it, else fp32.

        A CPU without such instructions converts all values: a step of ResNet-18 (76 px, 16 images, one thread of an
        EPYC with AVX2) took 8.2 s in bf16 and 0.76 s in fp32.
        """
        if self.kind == "cpu" and platform.machine() in ("x86_64", "AMD64"):
            has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        elif self.kind == "cpu":
            has_bf16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        else:
            has_bf16 = "bf16" in self.precisions
        return "bf16" if has_bf16 else "fp32"

    @property
    def name(self) -> str | None:
        """Return the GPU's name from its driver; `None` if PyTorch does not know it."""
        return cuda.get_device_name(self.torch_device) if self.kind == "cuda" else None

    @property
    def capability(self) -> str:
        """Return the compute capability of a CUDA device, such as `9.0`."""
        return ".".join(map(str, cuda.get_device_capability(self.torch_device)))

    @property
    def memory_bytes(self) -> int:
        """Return the memory of a CUDA device in bytes."""
        return int(cuda.get_device_properties(self.torch_device).total_memory)

    @property
    def uuid(self) -> str:
        """Return the unique id by which NVML finds a CUDA device."""
        return str(getattr(cuda.get_device_properties(self.torch_device), "uuid", ""))  # not on every AMD GPU

    @property
    def versions(self) -> dict[str, str | None]:
        """Return the versions of `cuda` or `rocm`, and of `cudnn` (MIOpen under ROCm), if the device uses them."""
        if self.kind != "cuda":
            return {}
        cudnn = str(torch.backends.cudnn.version())
        return {"cuda": torch.version.cuda, "rocm": torch.version.hip, "cudnn": cudnn}

    @property
    def backend(self) -> str:
        """Return what averages gradients between devices of this kind: `gloo`, or `nccl` with its version."""
        if self.kind != "cuda" or not distributed.is_nccl_available():
            return "gloo"
        return f"nccl {'.'.join(map(str, cuda.nccl.version()))}"

    @property
    def backends(self) -> str:
        """Return the backends of a process group for tensors on the CPU and on this device."""
        return "gloo" if self.kind == "cpu" else f"cpu:gloo,{self.kind}:{self.backend.partition(' ')[0]}"

    @property
    def has_allocator(self) -> bool:
        """Whether PyTorch's allocator counts peaks on this device."""
        return self.kind == "cuda"

    def reset_peaks(self) -> None:
        """Reset the peaks of `allocator_figures` to the memory in use now."""
        cuda.reset_peak_memory_stats(self.torch_device)

    def allocator_figures(self) -> AllocatorFigures:
        """Return the counters of the allocator of a device that `has_allocator`, after synchronising the device."""
        self.synchronize()
        counts = cuda.memory_stats(self.torch_device)
        return AllocatorFigures(
            cuda.max_memory_allocated(self.torch_device),
            cuda.max_memory_reserved(self.torch_device),
            counts.get("num_alloc_retries", 0),
            counts.get("num_ooms", 0),
        )

    @property
    def allocated_bytes(self) -> int:
        """Return the bytes of all tensors; 0 if PyTorch does not count them."""
        return cuda.memory_allocated(self.torch_device) if self.kind == "cuda" else 0

    @property
    def reserved_bytes(self) -> int:
        """Return the bytes of all tensors and of the allocator's cache; 0 if PyTorch does not count them."""
        return cuda.memory_reserved(self.torch_device) if self.kind == "cuda" else 0

    def empty_cache(self) -> None:
        """Return memory that no tensor uses to the driver."""
        if self.kind == "cuda":
            cuda.empty_cache()
        elif self.kind == "mps":
            mps.empty_cache()

    def generator_state(self) -> Tensor | None:
        """Return the state of the device's random number generator; `None` on a CPU."""
        if self.kind == "cuda":
            return cuda.get_rng_state(self.torch_device)
        return mps.get_rng_state() if self.kind == "mps" else None

    def set_generator_state(self, state: Tensor) -> None:
        """Restore the state of the device's random number generator."""
        if self.kind == "cuda":
            cuda.set_rng_state(state, self.torch_device)
        elif self.kind == "mps":
            mps.set_rng_state(state)


def device_of(torch_device: torch.device) -> Device:
    """Return the device with the tensors of a PyTorch device."""
    return Device(_KINDS[torch_device.type], torch_device)


def device_for(execution: Execution) -> Device:
    """Return the device that a run is executed on."""
    return _device(execution.device, execution.device_index)


def is_available(kind: DeviceKind) -> bool:
    """Return whether PyTorch sees a device of this kind."""
    match kind:
        case "cpu":
            return True
        case "cuda":
            return cuda.is_available()
        case "mps":
            return torch.backends.mps.is_available()


def num_gpus() -> int:
    """Return how many CUDA devices PyTorch sees."""
    return cuda.device_count() if is_available("cuda") else 0


def find_device(wanted: str) -> Device:
    """Return the device that `--device` names: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    `auto` is the first CUDA device, or else the CPU. It is never MPS, on which runs may not repeat to the bit.

    Raises:
        UserError: this is not the name of a device, or PyTorch sees no such device.
    """
    try:
        device_name(wanted)
    except ValueError as error:
        raise UserError(f"device {wanted!r:.100}: {error}") from error
    name, _, index = wanted.partition(":")
    number = num_gpus()
    if wanted == "auto":
        return _device("cuda" if number else "cpu")
    if name == "cuda" and not number:
        raise UserError(
            f"--device {wanted}: PyTorch sees no CUDA device. Expected an NVIDIA GPU, or an AMD GPU under ROCm, with "
            "its driver and a PyTorch that was built for it. Try --device cpu"
        )
    if name == "cuda" and int(index or 0) >= number:
        last = f" to cuda:{number - 1}" if number > 1 else ""
        raise UserError(f"--device {wanted}: no such GPU. Expected cuda:0{last}. Try --device cuda:0")
    if name == "mps" and not is_available("mps"):
        raise UserError(
            "--device mps: PyTorch sees no MPS device. Expected an Apple computer with macOS 14 or newer. "
            "Try --device cpu"
        )
    kind: DeviceKind = "cuda" if name == "cuda" else "mps" if name == "mps" else "cpu"
    return _device(kind, int(index) if index else None)


def require_precision(device: Device, precision: Precision) -> None:
    """Check that the device supports the precision; `auto` is always supported.

    Raises:
        UserError: the device does not support the precision.
    """
    if precision not in ("auto", *device.precisions):
        known = " or ".join(device.precisions)
        title = device.name or device.kind
        raise UserError(f"precision {precision}: not supported by {title}. Expected {known}. Try --precision fp32")


def require_gpus(execution: Execution) -> None:
    """Check that there is a device for each process of a run, all of one kind.

    Raises:
        UserError: there are fewer GPUs, GPUs of several kinds, or PyTorch cannot average gradients here.
    """
    if execution.gpus == 1:
        return
    asked = f"--gpus {execution.gpus}"
    if execution.device == "mps":
        raise UserError(f"{asked}: a computer has one MPS device. Expected 1. Try without --gpus")
    if not distributed.is_available():
        raise UserError(f"{asked}: this PyTorch was built without torch.distributed. Expected 1. Try without --gpus")
    if execution.device == "cpu":
        return
    first = execution.device_index or 0
    number = num_gpus() - first
    if number < execution.gpus:
        raise UserError(
            f"{asked}: PyTorch sees {number} from cuda:{first} on. Expected at most as many. Try --gpus {number}"
        )
    names = sorted({cuda.get_device_name(first + rank) for rank in range(execution.gpus)})
    if len(names) > 1:
        raise UserError(
            f"{asked}: they are of several kinds: {', '.join(names)}. Expected one. Try CUDA_VISIBLE_DEVICES"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the machine or a GPU is out of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


def _device(kind: DeviceKind, index: int | None = None) -> Device:
    return Device(kind, _torch_device(kind, index))


def _torch_device(kind: DeviceKind, index: int | None) -> torch.device:
    """Return the device of the tensors; the fake GPU of the tests replaces this function."""
    return torch.device(kind) if index is None else torch.device(kind, index)
