"""Predict the GPU memory of a training step without a GPU.

Two training steps run on fake tensors, which have a shape but no values, and a tape records every storage that is
created or freed. Operations and their order do not depend on the batch size, and the size of a storage is an affine
function of it, so two batch sizes determine all others. Replaying the tape gives the peak of all tensors, and what
PyTorch's caching allocator reserves for them.

Not covered: workspaces of cuDNN and cuBLAS, the CUDA context, fused kernels (attention) and compiled graphs.
"""

import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from intelbench.profiling.allocator import Block, CachingAllocator, round_up
from intelbench.profiling.workload import Workload
from intelbench.records.profiles import PredictedMemory

TRACED = (2, 4)
"""Sizes of parts of a batch that are traced to predict any other; a batch that is not split is one part."""
_STEPS = 2
"""The first step has no optimizer state; all later steps are equal."""
_SCALAR = 0.5
"""What an optimizer reads from a fake tensor, which holds no value: the number of the step, or NAdam's product of its
momenta, which it subtracts from 1 and divides by."""
_KINDS = ("parameters", "gradients", "optimizer_state", "activations", "temporaries")
"""Kinds of storage, named as in `PredictedMemory`."""


MakeOptimizer = Callable[[nn.Module], Optimizer]
Autocast = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Tape:
    """Every storage of two training steps, as a function of the batch size."""

    events: NDArray[np.int64]
    """Events in order: `i + 1` if storage i is created, `-(i + 1)` if it is freed."""
    kinds: NDArray[np.int64]
    """Position in `_KINDS`, by storage."""
    fixed_bytes: NDArray[np.int64]
    """Bytes that do not depend on the batch size, by storage."""
    bytes_per_image: NDArray[np.int64]
    """Bytes for each image of a part, by storage."""
    num_parts: int = 1
    """Parts of a batch; all batch sizes are multiples of it."""

    def predict(self, batch_size: int) -> PredictedMemory:
        """Predict the peak, the reserved memory, and the bytes of each kind at the peak."""
        changes = self._changes(batch_size)
        moment = int(changes.cumsum().argmax()) + 1
        alive = np.bincount(self.kinds[np.abs(self.events[:moment]) - 1], changes[:moment], len(_KINDS))
        return PredictedMemory(
            batch_size=batch_size,
            peak_bytes=int(changes[:moment].sum()),
            reserved_bytes=self.reserved_bytes(batch_size),
            **{f"{kind}_bytes": int(num_bytes) for kind, num_bytes in zip(_KINDS, alive, strict=True)},
        )

    def peak_bytes(self, batch_size: int) -> int:
        """Return the peak of all tensors in bytes."""
        return int(self._changes(batch_size).cumsum().max())

    def reserved_bytes(self, batch_size: int) -> int:
        """Return the bytes that the caching allocator has reserved after the two steps."""
        allocator = CachingAllocator()
        sizes = self._sizes(batch_size).tolist()
        blocks: dict[int, Block] = {}
        for event in self.events.tolist():
            if event > 0:
                blocks[event] = allocator.allocate(sizes[event - 1])
            else:
                allocator.release(blocks.pop(-event))
        return allocator.reserved_bytes

    def largest_batch(self, memory_bytes: int) -> int:
        """Return the largest batch size for which at most `memory_bytes` are reserved; 0 if one image is too many."""
        upper = memory_bytes // int(self.bytes_per_image.max())
        for required in (self.peak_bytes, self.reserved_bytes):  # the slower function is never below the faster one
            sizes = range(self.num_parts, (upper + 1) * self.num_parts, self.num_parts)
            upper = bisect_right(sizes, memory_bytes, key=required)
        return upper * self.num_parts

    def _changes(self, batch_size: int) -> NDArray[np.int64]:
        """Return the bytes that each event adds."""
        changes: NDArray[np.int64] = np.sign(self.events) * self._sizes(batch_size)[np.abs(self.events) - 1]
        return changes

    def _sizes(self, batch_size: int) -> NDArray[np.int64]:
        return round_up(self.fixed_bytes + self.bytes_per_image * (batch_size // self.num_parts))


def record_tape(
    workload: Workload, make_optimizer: MakeOptimizer, autocast: Autocast, batch_sizes: tuple[int, ...] | None = None
) -> Tape:
    """Trace training steps on fake CPU tensors: nothing is computed, and no random number is drawn.

    `autocast` is for the device type `cpu`. Two `batch_sizes` give a tape of every batch size, as does `None`; one
    gives a tape of that batch size only, in half the time.

    Raises:
        Exception: the operations depend on the batch size, or the network computes with the values of tensors.
    """
    sizes = TRACED if batch_sizes is None else tuple(size // workload.num_parts for size in batch_sizes)
    traces = [_record(workload, make_optimizer, autocast, size * workload.num_parts) for size in sizes]
    first, last = traces[0], traces[-1]
    if first.events != last.events:
        raise RuntimeError("its operations depend on the batch size")
    more_images = sizes[-1] - sizes[0]
    per_image = (np.array(last.sizes) - np.array(first.sizes)) // max(more_images, 1)
    return Tape(
        events=np.array(first.events),
        kinds=np.array([_KINDS.index(kind) for kind in first.kinds]),
        fixed_bytes=np.array(first.sizes) - per_image * sizes[0],
        bytes_per_image=per_image,
        num_parts=workload.num_parts,
    )


class Recorder(TorchDispatchMode):
    """Records every storage that an operation creates, and when it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # PyTorch's
        self.in_optimizer = False
        """Whether the optimizer's step is running, which may read the value of a tensor."""
        self.events: list[int] = []
        self.sizes: list[int] = []
        self.kinds: list[str] = []
        self._alive: dict[int, tuple[int, weakref.ref[torch.UntypedStorage]]] = {}
        """Index of the storage, and the reference that reports its end, by address."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Execute the operation and record the storages of its results."""
        if self.in_optimizer and func is torch.ops.aten._local_scalar_dense.default:
            return _SCALAR
        result = func(*args, **(kwargs or {}))
        self.see([tensor for tensor in tree_iter(result) if isinstance(tensor, Tensor)])
        return result

    def see(self, tensors: Iterable[Tensor], kind: str | None = None) -> None:
        """Record the storages of tensors that are not recorded yet; `kind` is set for all of them."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._alive:
                index = len(self.sizes)
                self.events.append(index + 1)
                self.sizes.append(storage.nbytes())
                self.kinds.append("temporaries")
                self._alive[key] = index, weakref.ref(storage, partial(self._freed, key))
            if kind:
                self.kinds[self._alive[key][0]] = kind

    def keep_as(self, kind: str) -> None:
        """Set the kind of all storages that are alive and have been temporaries so far."""
        for index, _ in self._alive.values():
            if self.kinds[index] == "temporaries":
                self.kinds[index] = kind

    def close(self) -> None:
        """Stop recording.

        Storages that are freed one after the other are sorted, because their order is arbitrary: autocast's cache of
        weights is a hash map.
        """
        self._alive.clear()
        runs = groupby(self.events, key=lambda event: event < 0)
        self.events = [event for _, run in runs for event in sorted(run, key=abs)]

    def _freed(self, key: int, _: object) -> None:
        self.events.append(-1 - self._alive.pop(key)[0])


def take_steps(
    recorder: Recorder,
    model: nn.Module,
    workload: Workload,
    make_optimizer: MakeOptimizer,
    autocast: Autocast,
    batch_size: int,
) -> None:
    """Train the network for two steps on the default device, and record its storages."""
    recorder.see((*model.parameters(), *model.buffers()), "parameters")
    with recorder:
        optimizer = make_optimizer(model)
    recorder.keep_as("optimizer_state")
    images, labels = workload.batch(batch_size)
    recorder.see((images, labels), "activations")
    parts = workload.num_parts
    for _ in range(_STEPS):
        with recorder:
            for part in zip(images.chunk(parts), labels.chunk(parts), strict=True):
                with autocast():
                    loss = workload.loss(model, *part)
                recorder.keep_as("activations")
                loss.backward()
                recorder.see((p.grad for p in model.parameters() if p.grad is not None), "gradients")
            recorder.in_optimizer = True
            optimizer.step()
            recorder.in_optimizer = False
            recorder.keep_as("optimizer_state")
            del loss
            optimizer.zero_grad()
    recorder.close()


def _record(workload: Workload, make_optimizer: MakeOptimizer, autocast: Autocast, batch_size: int) -> Recorder:
    recorder = Recorder()
    model = workload.shapes()
    with FakeTensorMode(allow_non_fake_inputs=True):  # CPU and not meta, which knows no autocast and no fused optimizer
        take_steps(recorder, model.to_empty(device="cpu"), workload, make_optimizer, autocast, batch_size)
    return recorder
