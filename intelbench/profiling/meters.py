"""Everything that is measured next to training, started and read together."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from operator import add
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np
import torch

from intelbench.architectures.generators import preserve_generators
from intelbench.errors import UserError
from intelbench.plugins.registry import Registry
from intelbench.profiling.contention import ContentionMeter
from intelbench.profiling.device import device_of
from intelbench.profiling.energy import EnergyMeter
from intelbench.profiling.environment import process_seconds
from intelbench.profiling.gpu_watch import GpuWatch
from intelbench.profiling.memory import MemoryMeter
from intelbench.profiling.reference_kernels import ReferenceKernels
from intelbench.records.profiles import Contention, Energy, PeakMemory, ReferenceKernelWork
from intelbench.records.store import Traces

Figures = TypeVar("Figures", PeakMemory, Contention, Energy)
TAKEN = frozenset(
    {
        "activation", "contention", "data", "evaluation", "gpu", "gradient", "learning", "reference", "step", "test",
        "train", "validation",
    }
)  # fmt: skip
"""First words of the arrays that runs leave without a plug-in."""
_ARRAY = re.compile("[a-z][a-z0-9_]{0,99}")
_TYPES = frozenset({"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1"})
"""Types of arrays, without their byte order, which both a checkpoint and a record can hold."""
_MAX_ARRAYS = 16
"""A record may hold 256."""
_MAX_BYTES = 2**24
"""A record may hold 2^29, most of which are for logits."""


class Meter(Protocol):
    """Measures something next to training. Its readings become arrays of `traces.npz`, named after the meter.

    It is made before the network is built. What it allocates on a GPU at the start and at evaluation points does not
    count as memory of the run.
    """

    def start(self) -> None:
        """Begin, right before training."""
        ...

    def step(self, number: int, *, at_evaluation: bool) -> None:
        """Note that a training step has ended, and maybe a validation pass after it; the budget's clock stands."""
        ...

    def read(self) -> Traces:
        """Return the readings so far: numbers, in each array one row a look. A resumed run appends its rows."""
        ...

    def resume_at(self, step: int) -> None:
        """Date the readings so far by the step at which a run was resumed."""
        ...


Factory = TypeVar("Factory", bound=Callable[[torch.device], Meter])
METERS: Registry[Callable[[torch.device], Meter]] = Registry("meter")
"""Meters of plug-ins, made for the device of a run. All of them measure."""


def meter(name: str) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which makes a meter for a device, under `name`.

    Raises:
        UserError: the name begins with the first word of an array that runs leave, or is registered already.
    """

    def decorate(make: Factory) -> Factory:
        if name.partition("_")[0] in TAKEN:
            raise UserError(
                f"meter {name!r}: arrays of every record begin with {name.partition('_')[0]!r}. Expected another first "
                "word"
            )
        METERS.add(make, name, function=make)
        return make

    return decorate


class Readings(NamedTuple):
    """What the meters have found; the fields are described where records hold them."""

    peak_memory: PeakMemory
    first_step_seconds: float | None
    reference_kernels: ReferenceKernelWork
    contention: Contention
    energy: Energy
    traces: Traces
    """The arrays `reference_kernel_*`, `contention_*`, `gpu_*`, and those of meters of plug-ins."""


class Meters:
    """Measure memory from the making on; the rest from `start`, which is to be called right before training.

    A resumed run adds what the processes before it had read at their last checkpoint.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, started: float | None = None) -> None:
        self._started = time.perf_counter() if started is None else started
        self._earlier_seconds = 0.0
        self._number = 0
        """Steps that have ended."""
        self._device = device
        self._earlier: Readings | None = None
        self._memory = MemoryMeter(device)
        self._reference_kernels = ReferenceKernels(device, dtype)
        self._meters: dict[str, Meter] = {
            "reference_kernel": self._reference_kernels,
            "gpu": GpuWatch(device),  # right after the kernels, while the GPU has the clocks of work
            **{name: _Plugged(name, device) for name in METERS.providers()},
        }
        self._first_step_seconds: float | None = None

    def start(self) -> None:
        """Begin."""
        with self._memory.paused():
            for each in self._meters.values():
                each.start()
        self._energy = EnergyMeter(self._device)
        self._contention = ContentionMeter()

    def step(self, number: int, *, at_evaluation: bool) -> None:
        """A training step has ended, and maybe a validation pass after it; the budget's clock does not run."""
        if self._first_step_seconds is None:
            self._first_step_seconds = process_seconds(self._device)
        self._number = number
        self._energy.look()
        self._contention.look(number, at_evaluation=at_evaluation)
        with self._memory.paused() if at_evaluation else nullcontext():
            for each in self._meters.values():
                each.step(number, at_evaluation=at_evaluation)

    @property
    def total_seconds(self) -> float:
        """Since `started` (of `time.perf_counter`), with those of the processes before this one."""
        return self._earlier_seconds + time.perf_counter() - self._started

    def read(self) -> Readings:
        """What was measured so far."""
        arrays = {name: each.read() for name, each in self._meters.items()}
        found = Readings(
            contention=self._contention.read(),
            energy=self._energy.read(),
            peak_memory=self._memory.read(),
            first_step_seconds=self._first_step_seconds,
            reference_kernels=self._reference_kernels.work,
            traces={
                **self._contention.traces(),
                **{f"{name}_{key}": values for name, own in arrays.items() for key, values in own.items()},
            },
        )
        return _together(self._earlier, found) if self._earlier else found

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        *scalars, traces = self.read()
        return {
            "step": self._number,
            "total_seconds": self.total_seconds,
            "scalars": msgspec.json.encode(scalars).decode(),
            "traces": {name: torch.from_numpy(values) for name, values in traces.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go on from a checkpoint."""
        for each in self._meters.values():
            each.resume_at(state_dict["step"])
        self._earlier_seconds = state_dict["total_seconds"]
        scalars = msgspec.json.decode(
            state_dict["scalars"], type=tuple[PeakMemory, float | None, ReferenceKernelWork, Contention, Energy]
        )
        self._earlier = Readings(*scalars, {name: values.numpy() for name, values in state_dict["traces"].items()})


class _Plugged:
    """A meter of a plug-in: its errors name it, its random numbers are not the run's, and its arrays are bounded."""

    def __init__(self, name: str, device: torch.device) -> None:
        self._name = name
        self._device = device_of(device)
        with self._contained():
            self._meter = METERS.get(name)(device)

    def start(self) -> None:
        with self._contained():
            self._meter.start()

    def step(self, number: int, *, at_evaluation: bool) -> None:
        with self._contained():
            self._meter.step(number, at_evaluation=at_evaluation)

    def read(self) -> Traces:
        with self._contained():
            found = {name: np.array(values) for name, values in self._meter.read().items()}
        size = sum(values.nbytes for values in found.values())
        if len(found) > _MAX_ARRAYS or size > _MAX_BYTES:
            raise UserError(
                f"meter {self._name!r}: {len(found)} arrays of {size:,} bytes. Expected at most {_MAX_ARRAYS} of "
                f"{_MAX_BYTES:,}"
            )
        for name, values in found.items():
            if not _ARRAY.fullmatch(name) or values.ndim == 0 or values.dtype.str[1:] not in _TYPES:
                raise UserError(
                    f"meter {self._name!r}: the array {name!r:.100} of {values.dtype} has shape {values.shape}. "
                    "Expected numbers, one row a look, and a name of letters, digits and '_'"
                )
        return found

    def resume_at(self, step: int) -> None:
        with self._contained():
            self._meter.resume_at(step)

    @contextmanager
    def _contained(self) -> Iterator[None]:
        try:
            with preserve_generators(self._device):
                yield
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"meter {self._name!r}: failed with {type(error).__name__}: {error}") from error


def _together(one: Readings, other: Readings) -> Readings:
    """What two processes of one run have read, one after the other."""
    memory, contention, energy = one.peak_memory, one.contention, one.energy
    counts = ("num_alloc_retries", "num_ooms")
    peaks = (name for name in PeakMemory.__struct_fields__ if name not in ("absent", *counts))
    highest = _combined(memory, other.peak_memory, max, *peaks, absent=memory.absent | other.peak_memory.absent)
    spent = (name for name in Contention.__struct_fields__ if not name.startswith("load_"))
    return Readings(
        peak_memory=_combined(highest, other.peak_memory, add, *counts),
        first_step_seconds=one.first_step_seconds,
        reference_kernels=one.reference_kernels,
        contention=_combined(contention, other.contention, add, *spent, load_after=other.contention.load_after),
        energy=_combined(energy, other.energy, add, "joules", "seconds", absent=energy.absent or other.energy.absent),
        traces={
            name: np.concatenate([values, other.traces[name]])
            for name, values in one.traces.items()
            if name in other.traces
        },
    )


def _combined(
    one: Figures, other: Figures, combine: Callable[[Any, Any], Any], *names: str, **changes: object
) -> Figures:
    """Combine these fields of the two, `None` where either has none; the rest is the one's, or changed."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in names}
    return msgspec.structs.replace(
        one, **{name: None if None in pair else combine(*pair) for name, pair in pairs.items()}, **changes
    )
