"""A GPU that is none: its tensors are on the CPU, and its driver, queue and allocator are made up.

`intelbench.profiling.device` is the only module that calls `torch.cuda`. `install` replaces that there, and lets the
device `cpu` be one of kind `cuda`. Everything that asks `device_of` then takes its branches for a GPU. What the fake
cannot show are times, memory, races and kernels.
"""

import time
import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves

from intelbench.profiling import device

UUID = "1234"
NAME = "NVIDIA Fake 80GB"
MEMORY = 80 * 2**30
_QUERIES_BEFORE_IT_IS_OVER = 1


class FakeEvent:
    """An event that is over at the second look, or once somebody has waited for it."""

    num_made = 0
    slowness = 1.0
    """How many times the host's seconds the GPU takes."""

    def __init__(self, enable_timing: bool = False) -> None:
        type(self).num_made += 1
        self._timing = enable_timing
        self._seconds: float | None = None
        self._queries = 0

    def record(self) -> None:
        """Be now."""
        self._seconds, self._queries = time.perf_counter(), 0

    def query(self) -> bool:
        """Look."""
        assert self._seconds is not None
        self._queries += 1
        return self._queries > _QUERIES_BEFORE_IT_IS_OVER

    def synchronize(self) -> None:
        """Wait."""
        assert self._seconds is not None

    def elapsed_time(self, end_event: "FakeEvent") -> float:
        """Milliseconds of the host."""
        assert self._timing
        assert end_event._timing
        assert self._seconds is not None
        assert end_event._seconds is not None
        return (end_event._seconds - self._seconds) * 1000 * self.slowness


class FakeStream:
    """A queue, which waits for others."""

    def __init__(self, torch_device: torch.device | None = None) -> None:
        self.waited_for: list[FakeStream] = []

    def wait_stream(self, stream: "FakeStream") -> None:
        """Note it."""
        self.waited_for.append(stream)


class FakeGraph(TorchDispatchMode):
    """Operations that were asked for during a capture, which did nothing, and are done at each replay.

    An operation is done on the memory that it had during the capture. To know what it returns, the capture does it and
    undoes it: memory from before the capture gets its values back, what was made in the capture is filled with NaN, and
    the generator draws on as if it had drawn nothing.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # PyTorch's
        self.failed = False
        self.num_replays = 0
        self._calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self._made: dict[int, Tensor] = {}
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self._generator = torch.get_rng_state()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Take the operation into the graph."""
        if func is torch.ops.aten._local_scalar_dense.default:
            self.failed = True
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor) and not self._is_made(tensor):
                self._before.setdefault(tensor.untyped_storage().data_ptr(), (tensor, tensor.clone()))
        result = func(*args, **kwargs)
        self._calls.append((func, args, kwargs, result))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self._before:
                self._made[tensor.untyped_storage().data_ptr()] = tensor
        return result

    @torch.no_grad()
    def end(self) -> None:
        """Undo what the operations have done."""
        for tensor, values in self._before.values():
            tensor.copy_(values)
        for tensor in self._made.values():
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)
        torch.set_rng_state(self._generator)

    @torch.no_grad()
    def replay(self) -> None:
        """Do all operations, each on its own memory."""
        self.num_replays += 1
        for func, args, kwargs, result in self._calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def _is_made(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self._made


class FakeCuda:
    """What `intelbench.profiling.device` calls of `torch.cuda`."""

    Event = FakeEvent
    Stream = FakeStream
    CUDAGraph = FakeGraph

    def __init__(self) -> None:
        self.num_devices = 2
        self.capability = (9, 0)
        self.calls: Counter[str] = Counter()
        self.current = 0
        self.sync_debug_mode = "default"
        self.allocated = 1000
        self.peak = 1000
        self.reserved = 2000
        self.counts = {"num_alloc_retries": 0, "num_ooms": 0}
        self.generator = torch.Generator().manual_seed(99)
        self.default_stream = self.stream_in_use = FakeStream()
        self.graphs: list[weakref.ref[FakeGraph]] = []

    def is_available(self) -> bool:
        """As PyTorch sees it."""
        return self.num_devices > 0

    def device_count(self) -> int:
        """GPUs of the machine."""
        return self.num_devices

    def set_device(self, torch_device: torch.device) -> None:
        """Choose one."""
        self.current = torch_device.index or 0

    def synchronize(self, torch_device: torch.device) -> None:
        """Count how often somebody waited; warn of it where that is asked for, in PyTorch's words."""
        self.calls["synchronize"] += 1
        if self.sync_debug_mode == "warn":
            warnings.warn("called a synchronizing CUDA operation", stacklevel=2)

    def set_sync_debug_mode(self, debug_mode: str) -> None:
        """Choose whether it warns."""
        self.sync_debug_mode = debug_mode

    def get_device_name(self, torch_device: torch.device) -> str:
        """Its name."""
        return NAME

    def get_device_capability(self, torch_device: torch.device) -> tuple[int, int]:
        """CUDA's."""
        return self.capability

    def get_device_properties(self, torch_device: torch.device) -> SimpleNamespace:
        """Its number, and memory."""
        return SimpleNamespace(uuid=UUID, total_memory=MEMORY)

    def allocate(self, num_bytes: int) -> None:
        """Let tensors take so much more, or less."""
        self.allocated += num_bytes
        self.peak = max(self.peak, self.allocated)
        self.reserved = max(self.reserved, self.peak + 1000)

    def reset_peak_memory_stats(self, torch_device: torch.device) -> None:
        """Peaks from now on."""
        self.calls["reset_peak_memory_stats"] += 1
        self.peak = self.allocated

    def memory_stats(self, torch_device: torch.device) -> dict[str, int]:
        """Counts of the allocator."""
        return dict(self.counts)

    def memory_allocated(self, torch_device: torch.device) -> int:
        """Now."""
        return self.allocated

    def memory_reserved(self, torch_device: torch.device) -> int:
        """Now."""
        return self.reserved

    def max_memory_allocated(self, torch_device: torch.device) -> int:
        """Since the reset."""
        return self.peak

    def max_memory_reserved(self, torch_device: torch.device) -> int:
        """Since the reset."""
        return self.reserved

    def empty_cache(self) -> None:
        """Keep what tensors have."""
        self.calls["empty_cache"] += 1
        self.reserved = self.allocated + 1000

    def current_stream(self, torch_device: torch.device) -> FakeStream:
        """Where work is asked for."""
        return self.stream_in_use

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        """Ask for work in another queue."""
        before, self.stream_in_use = self.stream_in_use, stream
        try:
            yield
        finally:
            self.stream_in_use = before

    @contextmanager
    def graph(self, graph: FakeGraph, *, stream: FakeStream, capture_error_mode: str) -> Iterator[None]:
        """Capture what the block asks for.

        Where an operation was refused, PyTorch says so once more at the end, and leaves the stream the current one.
        """
        assert self.stream_in_use is not self.default_stream
        assert "thread_local" == capture_error_mode  # other threads allocate page-locked memory at the same time
        self.calls["capture"] += 1
        self.graphs.append(weakref.ref(graph))
        self.stream_in_use = stream
        with graph:
            yield
        graph.end()
        if graph.failed:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    def get_rng_state(self, torch_device: torch.device) -> Tensor:
        """Of a generator that nobody draws from."""
        return self.generator.get_state()

    def set_rng_state(self, state: Tensor, torch_device: torch.device) -> None:
        """Put it back."""
        self.calls["set_rng_state"] += 1
        self.generator.set_state(state)


class PinnedMemory:
    """Page-locked memory without a driver: which tensors were asked for there."""

    def __init__(self) -> None:
        self._pinned: dict[int, weakref.ref[Tensor]] = {}

    def holds(self, tensor: Tensor) -> bool:
        """Return whether a tensor was made in page-locked memory."""
        found = self._pinned.get(id(tensor))
        return found is not None and found() is tensor

    def copy(self, tensor: Tensor) -> Tensor:
        """Return a copy in page-locked memory."""
        copied = tensor.clone()
        self._pinned[id(copied)] = weakref.ref(copied)
        return copied

    def factory(self, make: Any) -> Any:
        """Wrap a function of PyTorch that makes tensors."""

        def wrapped(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Tensor:
            tensor: Tensor = make(*args, **kwargs)
            if pin_memory:
                self._pinned[id(tensor)] = weakref.ref(tensor)
            return tensor

        return wrapped


def nvml_module(**answers: object) -> ModuleType:
    """A driver's library that knows the fake GPU; `answers` are by the names of its functions, others it refuses."""

    class NVMLError(Exception):
        """What the library raises."""

    def refuse(*_: object) -> object:
        raise NVMLError("Not Supported")

    def unknown(name: str) -> object:
        if name.startswith("NVML_"):
            return 0
        if name.startswith("nvml"):
            return refuse
        raise AttributeError(name)

    module = ModuleType("pynvml")
    module.__getattr__ = unknown  # type: ignore[method-assign] # a module's own
    known = {
        "nvmlInit": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.0",
        "nvmlDeviceGetHandleByUUID": {f"GPU-{UUID}": "the GPU"}.__getitem__,
        "nvmlDeviceGetTotalEnergyConsumption": {"the GPU": 98_765_432}.__getitem__,
        "nvmlDeviceGetComputeRunningProcesses": lambda _: [],
    }
    for name, function in (known | answers).items():
        setattr(module, name, function)
    module.NVMLError = NVMLError  # type: ignore[attr-defined] # as the real one
    return module


def install(monkeypatch: pytest.MonkeyPatch, *, tensors_on_cpu: bool = True) -> FakeCuda:
    """Let the machine have this GPU until the end of the test.

    Args:
        monkeypatch: What undoes it.
        tensors_on_cpu: Whether the CPU is the GPU, so that tensors can be made. Without, `cuda:1` has its own name.
    """
    fake, pinned = FakeCuda(), PinnedMemory()
    FakeEvent.num_made = 0
    monkeypatch.setattr(device, "cuda", fake)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    if not tensors_on_cpu:
        return fake
    monkeypatch.setitem(device._KINDS, "cpu", "cuda")
    monkeypatch.setattr(device, "_torch_device", lambda kind, index: torch.device("cpu"))
    _device_constructors()  # kept from its first call: else `with torch.device` knew the wrappers
    for name in ("empty", "tensor"):
        monkeypatch.setattr(torch, name, pinned.factory(getattr(torch, name)))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.copy(tensor))  # noqa: PLW0108 - binds
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: pinned.holds(tensor))  # noqa: PLW0108 - binds
    return fake
