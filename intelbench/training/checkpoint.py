"""Checkpoints of a run: a run that was killed is resumed from the last one, and ends with the same bits.

A checkpoint holds everything that changes from step to step, by the methods `state_dict` and `load_state_dict` that
PyTorch's modules and optimizers have too. Batches are not saved, because the seed and the step determine them.
"""

import threading
import time
from typing import Any, Protocol

import msgspec
import torch

from intelbench.architectures.generators import Generators
from intelbench.config.fields import CheckpointTime
from intelbench.data.tensors import DamagedTensorsError, read_tensors
from intelbench.errors import HostError
from intelbench.profiling.device import device_of
from intelbench.records.identity import changes
from intelbench.records.workspace import Checkpoint, Workspace

_DEFAULT_SECONDS = 300.0
"""Time between two checkpoints if the user has not set it."""
_CPU = torch.device("cpu")
_MAX_SHARE = 0.02
"""Largest share of the default time between two checkpoints that saving may take; slower saving makes them rarer."""


class StopRequestedError(BaseException):
    """The run was asked to stop, which is no failure of it."""


class Stateful(Protocol):
    """A part of a run with a state of tensors, numbers, strings, and lists and dictionaries of them."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Restore the state from a checkpoint."""


class Checkpoints:
    """Saves the checkpoints of one run, and resumes the run from the last one."""

    def __init__(
        self,
        workspace: Workspace,
        about: Checkpoint,
        when: CheckpointTime | None,
        device: torch.device = _CPU,
        stop: threading.Event | None = None,
    ) -> None:
        """With `stop` set, the next step is the last one: it is saved unless `when` is `never`."""
        self._workspace = workspace
        self._about = about
        self._when = when
        self._stop = stop or threading.Event()
        self._parts: dict[str, Stateful] = {"random": Generators(device_of(device))}
        self._last_saved = time.monotonic()
        self._save_seconds = 0.0
        self.problem: str | None = None
        """Why the last checkpoint could not be read or written, as a message for the user."""

    def add(self, **parts: Stateful) -> None:
        """Make these parts of the run a part of its checkpoints, by name."""
        self._parts |= parts

    def resume(self) -> int:
        """Restore the last checkpoint, and return its number of completed steps; 0 without a usable checkpoint.

        Raises:
            HostError: the checkpoint is of a run under other conditions, such as another machine.
        """
        checkpoint = self._workspace.checkpoint()
        if checkpoint is None:
            return 0
        if changed := changes(checkpoint.facts, self._about.facts):
            raise HostError.here(
                f"checkpoint {self._workspace.folder}: {changed}; --rerun interrupted drops it and restarts the run"
            )
        try:
            state = read_tensors(self._workspace.folder / checkpoint.state)
        except DamagedTensorsError as error:
            self._workspace.discard_checkpoint()
            self.problem = f"its checkpoint after step {checkpoint.step} is damaged ({error}); it restarts"
            return 0
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        return checkpoint.step

    def due(self, *, at_evaluation: bool) -> bool:
        """Return whether to call `save` after this step."""
        if self._stop.is_set():
            return True
        match self._when:
            case "never":
                return False
            case "evaluations":
                return at_evaluation
            case None:
                wait = max(_DEFAULT_SECONDS, self._save_seconds / _MAX_SHARE)
            case seconds:
                wait = seconds
        return time.monotonic() - self._last_saved >= wait

    def save(self, step: int, done: float) -> None:
        """Save a checkpoint. If that fails, the run continues, `problem` says why, and the last checkpoint stays.

        Raises:
            StopRequestedError: the run was asked to stop.
        """
        if self._stop.is_set() and self._when == "never":
            raise StopRequestedError
        started = time.monotonic()
        state = {name: part.state_dict() for name, part in self._parts.items()}
        about = msgspec.structs.replace(self._about, step=step, done=done)
        try:
            self._workspace.save(about, lambda file: torch.save(state, file))
            self.problem = None
        except (OSError, RuntimeError) as error:  # PyTorch raises RuntimeError for a full disk
            self.problem = f"no checkpoint after step {step}: {error}"
        self._last_saved = time.monotonic()
        self._save_seconds = self._last_saved - started
        if self._stop.is_set():
            raise StopRequestedError
