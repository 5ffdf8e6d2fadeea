"""CPU, CUDA and MPS: the only module that knows in what they differ. Everything else asks a `Device`.

CUDA is also what PyTorch calls an AMD GPU under ROCm. MPS is the GPU of an Apple computer; it has been tried on none,
and runs on it are not promised to repeat to the bit.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, cuda, mps

from intelbench.config.fields import DeviceKind, Precision
from intelbench.errors import UserError
from intelbench.records.types import Execution

_KINDS: dict[str, DeviceKind] = {"cpu": "cpu", "cuda": "cuda", "mps": "mps"}
"""Kind of a device by its type in PyTorch. The tests' fake GPU keeps its tensors on the CPU and has another entry."""
_NAMES: dict[str, DeviceKind] = {"cpu": "cpu", "cuda": "cuda", "mps": "mps"}
"""Kind of a device by what `--device` calls it."""
Result = TypeVar("Result")
_FIRST_WITH_BF16 = (8, 0)
"""Compute capability. Before it PyTorch emulates bf16, which is slower than fp32."""
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
"""What PyTorch says in a RuntimeError when memory is full and it does not say so by the error's type."""


class Event(Protocol):
    """A mark in a GPU's queue, as `torch.cuda.Event` and `torch.mps.Event` are."""

    def record(self) -> None:
        """Put the mark at the end of the queue."""
        ...

    def query(self) -> bool:
        """Return whether the GPU has passed the mark."""
        ...

    def synchronize(self) -> None:
        """Wait until the GPU has passed the mark."""
        ...

    def elapsed_time(self, end_event: Any, /) -> float:
        """Return the milliseconds between this mark and a later one."""
        ...


class Stream(Protocol):
    """A queue of a GPU, as `torch.cuda.Stream` is."""

    def wait_stream(self, stream: Any, /) -> None:
        """Let what is asked for from now on begin after everything that the other queue holds now."""
        ...


class Graph(Protocol):
    """Work that was captured, as a `torch.cuda.CUDAGraph` is."""

    def replay(self) -> None:
        """Ask the GPU to do all of the work again, on the memory that it had when it was captured."""
        ...


class AllocatorFigures(NamedTuple):
    """What the caching allocator of a GPU tells about itself."""

    allocated_bytes: int
    """Most that tensors have taken since the last reset."""
    reserved_bytes: int
    """Most that tensors and the allocator's cache have taken since the last reset."""
    num_alloc_retries: int
    """How often the allocator has emptied its cache and asked the driver again, since the process was started."""
    num_ooms: int
    """How often memory was refused, since the process was started."""


class Versions(NamedTuple):
    """The libraries below PyTorch; `None` where the device has none."""

    cuda: str | None = None
    rocm: str | None = None
    cudnn: str | None = None


@dataclass(frozen=True)
class Device:
    """One device, and what PyTorch can do with it."""

    kind: DeviceKind
    torch_device: torch.device
    """Where its tensors are."""

    def activate(self) -> None:
        """Make this GPU the one that `cuda` without a number means."""
        if self.kind == "cuda" and self.torch_device.index is not None:
            cuda.set_device(self.torch_device)

    def synchronize(self) -> None:
        """Wait until the device has done everything it was asked for."""
        if self.kind == "cuda":
            cuda.synchronize(self.torch_device)
        elif self.kind == "mps":
            mps.synchronize()

    def warn_of_synchronizations(self, *, on: bool) -> None:
        """Have PyTorch warn of each call that makes the host wait for the GPU, or no longer."""
        if self.kind == "cuda":
            cuda.set_sync_debug_mode("warn" if on else "default")

    @property
    def has_events(self) -> bool:
        """Whether the device works through a queue in the background, so that events are needed to time it."""
        return self.kind != "cpu"

    def event(self, *, timing: bool = False) -> Event | None:
        """Return an event that is not recorded yet; `None` on a CPU, which works while the caller waits.

        Args:
            timing: Whether `elapsed_time` will be asked.
        """
        if self.kind == "cuda":
            return cuda.Event(enable_timing=timing)
        if self.kind == "mps":
            event: Event = mps.Event(enable_timing=timing)
            return event
        return None

    @property
    def has_graphs(self) -> bool:
        """Whether PyTorch can capture work on the device and replay it."""
        return self.kind == "cuda"

    def new_stream(self) -> Stream:
        """Return a further queue of a device that `has_graphs`."""
        stream: Stream = cuda.Stream(self.torch_device)
        return stream

    @contextmanager
    def working_in(self, stream: Stream) -> Iterator[None]:
        """Ask for the work of the block in another queue.

        It begins after everything that was asked for before the block, and is finished before what is asked for after.
        """
        current = cuda.current_stream(self.torch_device)
        stream.wait_stream(current)
        with cuda.stream(stream):  # type: ignore[arg-type] # made by `new_stream`
            yield
        current.wait_stream(stream)  # type: ignore[arg-type] # as above

    def capture(self, work: Callable[[], Result], stream: Stream) -> tuple[Graph, Result]:
        """Call `work` without the GPU doing any of it, and return the graph that does it, and what `work` returned.

        Tensors that `work` makes have no values before the first replay, and others after each.

        Raises:
            Exception: What `work` raised, or what PyTorch says of work that cannot be captured.
        """
        graph = cuda.CUDAGraph()
        results: list[Result] = []
        problems: list[Exception] = []
        try:
            # Once more outside the capture, which leaves its queue the current one where it fails to end. Other
            # threads, which prepare batches, may use the driver at the same time.
            with self.working_in(stream), cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):  # type: ignore[arg-type]
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
        """Whether copies from page-locked memory run in the background."""
        return self.kind == "cuda"

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Precisions that a run may have: no fp16 on a CPU, no bf16 on MPS, on CUDA bf16 from capability 8.0 on."""
        if self.kind == "cpu":
            return ("fp32", "bf16")
        lacks_bf16 = self.kind == "mps" or (
            torch.version.hip is None and cuda.get_device_capability(self.torch_device) < _FIRST_WITH_BF16
        )
        return ("fp32", "fp16") if lacks_bf16 else ("fp32", "bf16", "fp16")

    @property
    def fastest_precision(self) -> Precision:
        """bf16 where the device has instructions for it, else fp32.

        A CPU without them converts back and forth: a step of ResNet-18 (76 px, 16 images, one thread of an EPYC with
        AVX2) took 8.2 s in bf16 and 0.76 s in fp32.
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
        """The GPU's name as its driver gives it; `None` where PyTorch knows none."""
        return cuda.get_device_name(self.torch_device) if self.kind == "cuda" else None

    @property
    def capability(self) -> str | None:
        """CUDA's compute capability, as `9.0`; `None` on other devices."""
        if self.kind != "cuda":
            return None
        return ".".join(map(str, cuda.get_device_capability(self.torch_device)))

    @property
    def memory_bytes(self) -> int | None:
        """Memory of the GPU; `None` where it is not the device's own."""
        return int(cuda.get_device_properties(self.torch_device).total_memory) if self.kind == "cuda" else None

    @property
    def uuid(self) -> str | None:
        """The GPU's own number, by which NVML finds it; `None` on other devices."""
        if self.kind != "cuda":
            return None
        return str(getattr(cuda.get_device_properties(self.torch_device), "uuid", ""))  # not on every AMD GPU

    @property
    def versions(self) -> Versions:
        """Versions of CUDA or ROCm, and of cuDNN (MIOpen under ROCm)."""
        if self.kind != "cuda":
            return Versions()
        return Versions(torch.version.cuda, torch.version.hip, str(torch.backends.cudnn.version()))

    @property
    def has_allocator(self) -> bool:
        """Whether PyTorch's allocator keeps count of its peaks on this device."""
        return self.kind == "cuda"

    def reset_peaks(self) -> None:
        """Start the peaks of `allocator_figures` from what is in use now."""
        cuda.reset_peak_memory_stats(self.torch_device)

    def allocator_figures(self) -> AllocatorFigures:
        """Return what the allocator counts, for a device that `has_allocator`; waits for the device."""
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
        """What tensors take now; 0 where nobody counts it."""
        return cuda.memory_allocated(self.torch_device) if self.kind == "cuda" else 0

    @property
    def reserved_bytes(self) -> int:
        """What tensors and the allocator's cache take now; 0 where nobody counts it."""
        return cuda.memory_reserved(self.torch_device) if self.kind == "cuda" else 0

    def empty_cache(self) -> None:
        """Give memory that no tensor uses back to the driver."""
        if self.kind == "cuda":
            cuda.empty_cache()
        elif self.kind == "mps":
            mps.empty_cache()

    def generator_state(self) -> Tensor | None:
        """Return the state of the device's generator of random numbers; `None` where it is the CPU's."""
        if self.kind == "cuda":
            return cuda.get_rng_state(self.torch_device)
        return mps.get_rng_state() if self.kind == "mps" else None

    def set_generator_state(self, state: Tensor) -> None:
        """Let the device's generator draw on from a state that was saved."""
        if self.kind == "cuda":
            cuda.set_rng_state(state, self.torch_device)
        elif self.kind == "mps":
            mps.set_rng_state(state)


def device_of(torch_device: torch.device) -> Device:
    """Return what PyTorch can do with the device that tensors are on."""
    return Device(_KINDS[torch_device.type], torch_device)


def device_for(execution: Execution) -> Device:
    """Return the device that a run is executed on."""
    return Device(execution.device, _torch_device(execution.device, execution.device_index))


def is_available(kind: DeviceKind) -> bool:
    """Return whether PyTorch sees a device of this kind."""
    match kind:
        case "cpu":
            return True
        case "cuda":
            return cuda.is_available()
        case "mps":
            return torch.backends.mps.is_available()


def find_device(wanted: str) -> Device:
    """Return the device that `--device` names: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    `auto` is the first CUDA device, or the CPU. It is never MPS, on which runs do not promise to repeat to the bit.

    Raises:
        UserError: PyTorch sees no such device.
    """
    name, _, index = wanted.partition(":")
    num_gpus = cuda.device_count() if is_available("cuda") else 0
    if wanted == "auto":
        return _device("cuda" if num_gpus else "cpu")
    if name == "cuda" and not num_gpus:
        raise UserError(
            f"--device {wanted}: PyTorch sees no CUDA device. Expected an NVIDIA GPU, or an AMD GPU under ROCm, with "
            "its driver and a PyTorch that was built for it. Try --device cpu"
        )
    if name == "cuda" and int(index or 0) >= num_gpus:
        last = f" to cuda:{num_gpus - 1}" if num_gpus > 1 else ""
        raise UserError(f"--device {wanted}: no such GPU. Expected cuda:0{last}. Try --device cuda:0")
    if name == "mps" and not is_available("mps"):
        raise UserError(
            "--device mps: PyTorch sees no MPS device. Expected an Apple computer with macOS 14 or newer. "
            "Try --device cpu"
        )
    return _device(_NAMES[name], int(index) if index else None)


def require_precision(device: Device, precision: Precision) -> None:
    """Check that the device computes in the precision; `auto` is always one that it does.

    Raises:
        UserError: it does not.
    """
    if precision not in ("auto", *device.precisions):
        known = " or ".join(device.precisions)
        title = device.name or device.kind
        raise UserError(
            f"precision {precision}: not one that {title} computes in. Expected {known}. Try --precision fp32"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of the machine or of a GPU is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


def _device(kind: DeviceKind, index: int | None = None) -> Device:
    return Device(kind, _torch_device(kind, index))


def _torch_device(kind: DeviceKind, index: int | None) -> torch.device:
    """Return where tensors of this kind of device are; the tests' fake GPU has another function here."""
    return torch.device(kind) if index is None else torch.device(kind, index)
