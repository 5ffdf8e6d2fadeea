"""All that a run carries from step to step, saved now and then, so that a run that was killed goes on to the same bits.

The batches need nothing saved: they are functions of (seed, step). What else there is says so by the two methods that
PyTorch gives to modules and optimizers.
"""

import time
import zipfile
from typing import Any, Literal, Protocol

import msgspec
import torch

from intelbench.architectures.generators import Generators
from intelbench.errors import UserError
from intelbench.profiling.device import device_of
from intelbench.records.identity import changes
from intelbench.records.workspace import Checkpoint, Workspace

CheckpointTime = float | Literal["evaluations", "never"]
"""After so many seconds; at every evaluation point; or not at all."""

SECONDS_BETWEEN = 300.0
"""Between two checkpoints, where the user has not said how often."""
_CPU = torch.device("cpu")
_SHARE = 0.02
"""Of the time between them, at most, that one may take; where it takes more, they come more seldom."""


class Stateful(Protocol):
    """As modules and optimizers are: a state holds tensors, numbers, strings, and lists and dictionaries of those."""

    def state_dict(self) -> dict[str, Any]:
        """What is to be saved."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Go on from what was saved."""
        ...


class Checkpoints:
    """The checkpoints of one run: when one is due, what is in it, and the one to go on from."""

    def __init__(
        self, workspace: Workspace, about: Checkpoint, when: CheckpointTime | None, device: torch.device = _CPU
    ) -> None:
        self._workspace = workspace
        self._about = about
        self._when = when
        self._parts: dict[str, Stateful] = {"random": Generators(device_of(device))}
        self._ended = time.monotonic()
        self._seconds = 0.0
        """That the last one took."""
        self.problem: str | None = None
        """Why the last one could not be read or written, in words for the user."""

    def hold(self, **parts: Stateful) -> None:
        """Save these too, and give them back what was saved."""
        self._parts |= parts

    def resume(self) -> int:
        """Go on from the last checkpoint: returns the steps completed in it, or 0 where there is none to go on from.

        Raises:
            UserError: it is that of a run under other conditions.
        """
        found = self._workspace.checkpoint()
        if found is None:
            return 0
        if changed := changes(found.facts, self._about.facts):
            raise UserError(
                f"checkpoint {self._workspace.folder}: {changed}; --rerun interrupted drops it and restarts the run"
            )
        file = self._workspace.folder / found.state
        try:
            with zipfile.ZipFile(file) as archive:  # PyTorch itself does not look at the sums
                damaged = archive.testzip()
        except (OSError, zipfile.BadZipFile) as error:
            damaged = str(error)
        if damaged:
            self._workspace.discard_checkpoint()
            self.problem = f"its checkpoint after step {found.step} is damaged ({damaged}); it begins anew"
            return 0
        state = torch.load(file, map_location="cpu", weights_only=True)
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        return found.step

    def due(self, *, at_evaluation: bool) -> bool:
        """Whether to save after this step."""
        match self._when:
            case "never":
                return False
            case "evaluations":
                return at_evaluation
            case None:
                wait = max(SECONDS_BETWEEN, self._seconds / _SHARE)
            case seconds:
                wait = seconds
        return time.monotonic() - self._ended >= wait

    def save(self, step: int, done: float) -> None:
        """Save everything. Where that fails the run goes on, and `problem` says why: the last one still stands."""
        started = time.monotonic()
        state = {name: part.state_dict() for name, part in self._parts.items()}
        about = msgspec.structs.replace(self._about, step=step, done=done)
        try:
            self._workspace.save(about, lambda file: torch.save(state, file))
            self.problem = None
        except (OSError, RuntimeError) as error:  # PyTorch's writer says RuntimeError for a full disk
            self.problem = f"no checkpoint after step {step}: {error}"
        self._ended = time.monotonic()
        self._seconds = self._ended - started
