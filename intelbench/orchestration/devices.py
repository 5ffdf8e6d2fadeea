"""Engines of this machine: one run at a time, or one on each GPU, or several on the processors of a CPU machine."""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch

from intelbench.errors import UserError, plural
from intelbench.orchestration import forkserver
from intelbench.orchestration.isolate import Unit
from intelbench.orchestration.process import Started, Starter
from intelbench.profiling.environment import visible_gpus
from intelbench.profiling.nvml import processors_near
from intelbench.profiling.processors import divided, divided_by_place, num_processors, own_processors, pinned
from intelbench.profiling.variables import process_variables

Run = Generator[bool, None, None]


class Local:
    """Executes one run at a time on this machine, in a process that this one watches."""

    slots = 1

    def start(self, unit: Unit) -> Run:
        """Return what executes the run; the first call of `has_ended` starts it."""
        return unit.isolate()

    def has_ended(self, handle: Run) -> bool:
        """Pass on the progress of the run, and return whether it has ended."""
        return next(handle, True)

    def cancel(self, handle: Run) -> None:
        """End the process of the run."""
        handle.close()


@dataclass(frozen=True)
class Slot:
    """A place for one run."""

    processors: frozenset[int]
    """CPUs that its processes may use; empty for all."""
    variables: Mapping[str, str]
    """Environment variables of its processes, in addition to those of every run."""


@dataclass(frozen=True)
class _Pinned:
    """Starts processes on the CPUs of a slot."""

    starter: Starter
    processors: frozenset[int]

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> Started:
        with pinned(self.processors):
            return self.starter.start(module, stderr, inherit)


class Devices:
    """Executes several runs at once on this machine, each in a slot of its own."""

    def __init__(self, device: Literal["cpu", "cuda"], slots: Sequence[Slot]) -> None:
        self.device = device
        self.slots = self.slots_per_host = len(slots)
        self._all = slots
        self._free = list(range(len(slots)))
        self._starters: dict[int, Starter] = {}
        self._open = ExitStack()

    def start(self, unit: Unit) -> tuple[int, Run]:
        """Return a free slot, and what executes the run there."""
        number = self._free.pop(0)
        unit.starter = self._starter(number, unit.job.spec.execution.threads)
        return number, unit.isolate()

    def has_ended(self, handle: tuple[int, Run]) -> bool:
        """Pass on the progress of the run, and return whether it has ended; then its slot is free."""
        number, run = handle
        if ended := next(run, True):
            self._free.append(number)
        return ended

    def cancel(self, handle: tuple[int, Run]) -> None:
        """End the process of the run."""
        number, run = handle
        run.close()
        self._free.append(number)

    def close(self) -> None:
        """End the servers that start processes; a later run starts new ones."""
        self._starters.clear()
        self._open.close()

    def _starter(self, number: int, threads: int) -> Starter:
        """Return what starts processes in a slot: a server of its own, since a server executes one run at a time."""
        if number not in self._starters:
            slot = self._all[number]
            with pinned(slot.processors):
                server = forkserver.starter({**process_variables(threads), **slot.variables})
                self._starters[number] = _Pinned(self._open.enter_context(server), slot.processors)
        return self._starters[number]


def on_processors(slots: int | None = None, processes: int = 1) -> Devices:
    """Return an engine that executes `slots` runs at once and divides the CPUs among them.

    By default each run has as many CPUs as it has processes.

    Raises:
        UserError: there are fewer CPUs.
    """
    number = num_processors()
    parts = divided(own_processors(), _slots(slots, processes, number, plural(number, "processor")))
    return Devices("cpu", [Slot(part, {}) for part in parts])


def on_gpus(slots: int | None = None, processes: int = 1) -> Devices:
    """Return an engine with one run on each GPU, or on as many as it has processes; at most `slots` runs at once.

    Each has CPUs near its GPUs.

    Raises:
        UserError: PyTorch sees fewer GPUs.
    """
    names = visible_gpus()
    if not names:
        raise UserError("engine 'gpus': PyTorch sees no GPU. Try --on slots, which uses the CPU")
    number = _slots(slots, processes, len(names), f"{plural(len(names), 'GPU')} that PyTorch sees")
    mine = own_processors()
    near = [processors_near(torch.device("cuda", index), max(mine, default=-1) + 1) for index in range(len(names))]
    parts = divided_by_place(near, mine)
    groups = [slice(first, first + processes) for first in range(0, number * processes, processes)]
    return Devices(
        "cuda",
        [Slot(frozenset().union(*parts[group]), {"CUDA_VISIBLE_DEVICES": ",".join(names[group])}) for group in groups],
    )


def _slots(slots: int | None, processes: int, number: int, devices: str) -> int:
    """Return how many runs are executed at once on a number of devices; `None` stands for as many as there can be."""
    most, each = number // processes, "" if processes == 1 else f" of {processes} processes each (--gpus)"
    if not most:
        raise UserError(f"--gpus {processes}: more than the {devices}. Expected 1 to {number}")
    if slots is not None and slots > most:
        raise UserError(f"slots = {slots}{each}: more than the {devices}. Expected 1 to {most}")
    return slots or most
