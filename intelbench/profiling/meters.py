"""The meters of a run, which measure during training: memory, energy, contention, reference kernels, plug-ins."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from operator import add
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np
import torch

from intelbench.architectures.generators import preserve_generators
from intelbench.errors import UserError
from intelbench.plugins.guard import failed_with, require_methods, source_file
from intelbench.plugins.registry import Registry, takes_name
from intelbench.profiling.contention import ContentionMeter
from intelbench.profiling.device import device_of
from intelbench.profiling.energy import EnergyMeter
from intelbench.profiling.environment import process_seconds
from intelbench.profiling.gpu_watch import GpuWatch
from intelbench.profiling.memory import MemoryMeter
from intelbench.profiling.reference_kernels import ReferenceKernels
from intelbench.records.profiles import Contention, Energy, PeakMemory, ReferenceKernelWork
from intelbench.records.store import Traces

_MACHINE_SPEED = ("reference_kernel", "gpu")
"""Meters of the machine's speed, which take longer than 200 steps of a linear head."""
Figures = TypeVar("Figures", PeakMemory, Contention, Energy)
RESERVED = frozenset(
    {
        "activation", "backbone", "contention", "data", "evaluation", "gpu", "gradient", "learning", "reference",
        "step", "test", "train", "validation",
    }
)  # fmt: skip
"""First words of the arrays in every record, which a plug-in cannot use."""
_ARRAY = re.compile("[a-z][a-z0-9_]{0,99}")
_TYPES = frozenset({"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1"})
"""Types of arrays, without byte order, that checkpoints and records can hold."""
_MAX_ARRAYS = 16
"""Arrays of a meter; a record may have 256."""
_MAX_BYTES = 2**24
"""Size of the arrays of a meter; a record may have 2^29 bytes, most of them for logits."""


class Meter(Protocol):
    """Measures something during training. Its readings become arrays of `traces.npz`, named after the meter.

    It is created before the network is built. GPU memory that it allocates at the start and at evaluation points does
    not count as memory of the run.
    """

    def start(self) -> None:
        """Start measuring, right before training."""

    def step(self, number: int, *, at_evaluation: bool) -> None:
        """Measure after a training step, and after its validation pass if there is one, outside the budget."""

    def read(self) -> Traces:
        """Return the readings so far: arrays of numbers with a row for each reading; a resumed run appends rows."""

    def resume_at(self, step: int) -> None:
        """Set the step of all readings so far to the step at which the run was resumed."""


Factory = TypeVar("Factory", bound=Callable[[torch.device], Meter])
METERS: Registry[Callable[[torch.device], Meter]] = Registry("meter")
"""Meters of plug-ins. Every run uses all of them."""


@takes_name
def meter(name: str) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which creates a meter for a device, under `name`.

    Raises:
        UserError: the name begins with a reserved word, or is registered already.
    """
    if (word := name.partition("_")[0]) in RESERVED:
        raise UserError(f"meter {name!r}: arrays of every record begin with {word!r}. Expected another first word")
    return METERS.decorator(name)


class Readings(NamedTuple):
    """The readings of all meters; `Measurements` describes the fields."""

    peak_memory: PeakMemory
    first_step_seconds: float | None
    reference_kernels: ReferenceKernelWork
    contention: Contention
    energy: Energy
    traces: Traces
    """The arrays `reference_kernel_*`, `contention_*`, `gpu_*`, and those of meters of plug-ins."""


class Meters:
    """All meters of a run. Memory is measured from the creation on; everything else from `start`, before training.

    The readings of a resumed run include those of earlier processes up to their last checkpoint.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, started: float | None = None, *, slots: int = 1
    ) -> None:
        self._started = time.perf_counter() if started is None else started
        self._earlier_seconds = 0.0
        self._step = 0
        self._device = device
        self._slots = slots
        """Runs at once on this machine."""
        self._earlier: Readings | None = None
        self._memory = MemoryMeter(device)
        self._reference_kernels = ReferenceKernels(device, dtype)
        self._meters: dict[str, Meter] = {
            "reference_kernel": self._reference_kernels,
            "gpu": GpuWatch(device),  # right after the kernels, while the clocks of the GPU are high
            **{name: _PluginMeter(name, device) for name in METERS.providers()},
        }
        self._first_step_seconds: float | None = None

    def start(self, others: Sequence[torch.device] = (), process_ids: Sequence[int] = ()) -> None:
        """Start all meters, right before training.

        Args:
            others: Other GPUs that compute the run, whose energy counts too.
            process_ids: Ids of the other processes of the run, whose CPU time is not that of others.
        """
        with self._memory.paused():
            for meter in self._meters.values():
                meter.start()
        self._energy = EnergyMeter(self._device, *others, slots=self._slots)
        self._contention = ContentionMeter(*process_ids)

    def step(self, number: int, *, at_evaluation: bool, machine_speed: bool = True) -> None:
        """Measure after a training step, and after its validation pass if there is one, outside the budget.

        With `machine_speed` the reference kernels are timed and the clocks of the GPU are read after the validation
        pass.
        """
        if self._first_step_seconds is None:
            self._first_step_seconds = process_seconds(self._device)
        self._step = number
        self._energy.look()
        self._contention.look(number, at_evaluation=at_evaluation)
        with self._memory.paused() if at_evaluation else nullcontext():
            for name, meter in self._meters.items():
                if machine_speed or name not in _MACHINE_SPEED:
                    meter.step(number, at_evaluation=at_evaluation)

    @property
    def total_seconds(self) -> float:
        """Return the seconds since `started` (of `time.perf_counter`), and those of earlier processes of the run."""
        return self._earlier_seconds + time.perf_counter() - self._started

    def read(self) -> Readings:
        """Return the readings so far."""
        arrays = {name: meter.read() for name, meter in self._meters.items()}
        readings = Readings(
            contention=self._contention.read(),
            energy=self._energy.read(),
            peak_memory=self._memory.read(),
            first_step_seconds=self._first_step_seconds,
            reference_kernels=self._reference_kernels.work,
            traces={
                **self._contention.traces(),
                **{f"{name}_{key}": values for name, traces in arrays.items() for key, values in traces.items()},
            },
        )
        return _merged(self._earlier, readings) if self._earlier else readings

    def state_dict(self) -> dict[str, Any]:
        """Return the readings for a checkpoint."""
        *scalars, traces = self.read()
        return {
            "step": self._step,
            "total_seconds": self.total_seconds,
            "scalars": msgspec.json.encode(scalars).decode(),
            "traces": {name: torch.from_numpy(values) for name, values in traces.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore the readings of earlier processes from a checkpoint."""
        for meter in self._meters.values():
            meter.resume_at(state_dict["step"])
        self._earlier_seconds = state_dict["total_seconds"]
        scalars = msgspec.json.decode(
            state_dict["scalars"], type=tuple[PeakMemory, float | None, ReferenceKernelWork, Contention, Energy]
        )
        self._earlier = Readings(*scalars, {name: values.numpy() for name, values in state_dict["traces"].items()})


class _PluginMeter:
    """A meter of a plug-in, with checked arrays; its errors have its name, and it does not change random numbers."""

    def __init__(self, name: str, device: torch.device) -> None:
        self._name = name
        self._device = device_of(device)
        with self._guarded():
            self._meter = METERS.get(name)(device)
            require_methods(self._meter, Meter)

    def start(self) -> None:
        with self._guarded():
            self._meter.start()

    def step(self, number: int, *, at_evaluation: bool) -> None:
        with self._guarded():
            self._meter.step(number, at_evaluation=at_evaluation)

    def read(self) -> Traces:
        with self._guarded():
            arrays = {name: np.array(values) for name, values in self._meter.read().items()}
        size = sum(values.nbytes for values in arrays.values())
        if len(arrays) > _MAX_ARRAYS or size > _MAX_BYTES:
            raise UserError(
                f"meter {self._name!r}: {len(arrays)} arrays of {size:,} bytes. Expected at most {_MAX_ARRAYS} of "
                f"{_MAX_BYTES:,}"
            )
        for name, values in arrays.items():
            if not _ARRAY.fullmatch(name) or values.ndim == 0 or values.dtype.str[1:] not in _TYPES:
                raise UserError(
                    f"meter {self._name!r}: the array {name!r:.100} of {values.dtype} has shape {values.shape}. "
                    "Expected numbers, one row a look, and a name of letters, digits and '_'"
                )
        return arrays

    def resume_at(self, step: int) -> None:
        with self._guarded():
            self._meter.resume_at(step)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            with preserve_generators(self._device):
                yield
        except UserError:
            raise
        except Exception as error:
            file = source_file(METERS.entries[self._name].function)
            raise UserError(f"meter {self._name!r}: {failed_with(error, file)}") from error


def _merged(earlier: Readings, later: Readings) -> Readings:
    """Return the readings of two consecutive processes of a run as one."""
    contention, energy = earlier.contention, earlier.energy
    sums = (name for name in Contention.__struct_fields__ if not name.startswith("load_"))
    return Readings(
        peak_memory=largest(earlier.peak_memory, later.peak_memory),
        first_step_seconds=earlier.first_step_seconds,
        reference_kernels=earlier.reference_kernels,
        contention=_combined(contention, later.contention, add, *sums, load_after=later.contention.load_after),
        energy=_combined(energy, later.energy, add, "joules", "seconds", absent=energy.absent or later.energy.absent),
        traces={
            name: np.concatenate([values, later.traces[name]])
            for name, values in earlier.traces.items()
            if name in later.traces
        },
    )


def largest(one: PeakMemory, other: PeakMemory) -> PeakMemory:
    """Return the larger of each figure of two processes, and the sums of their counts."""
    counts = ("num_alloc_retries", "num_ooms")
    peaks = (name for name in PeakMemory.__struct_fields__ if name not in ("absent", *counts))
    highest = _combined(one, other, max, *peaks, absent=one.absent | other.absent)
    return _combined(highest, other, add, *counts)


def _combined(
    earlier: Figures, later: Figures, combine: Callable[[Any, Any], Any], *names: str, **changes: object
) -> Figures:
    """Return the earlier figures with changes, and with these fields combined; `None` if either figure is `None`."""
    pairs = {name: (getattr(earlier, name), getattr(later, name)) for name in names}
    return msgspec.structs.replace(
        earlier, **{name: None if None in pair else combine(*pair) for name, pair in pairs.items()}, **changes
    )
