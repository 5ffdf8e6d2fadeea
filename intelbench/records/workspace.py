"""The folder of a run that is under way: `runs/.RUN_ID/`, with its lock, its checkpoint, and its record in the making.

It is gone once the run has left its record. An interrupted run leaves its checkpoint, from which the next one goes on.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from intelbench.errors import UserError
from intelbench.records.files import content_of, move, remove, replace, synced
from intelbench.records.identity import facts
from intelbench.records.types import SCHEMA_VERSION, Environment, RunSpec

_LOCK = "lock"
_ABOUT = "checkpoint.json"
_STATES = "state-*.pt"
_MAX_ABOUT_BYTES = 4 * 2**20
"""As of a record, which holds more."""
_OURS = re.compile(r"lock|\.?checkpoint\.json(\.partial)?|state-\d+\.pt|record|superseded")


class Checkpoint(Struct, frozen=True, kw_only=True):
    """What `checkpoint.json` says of the state that lies beside it."""

    schema_version: int = SCHEMA_VERSION
    step: int
    """Training steps that were completed."""
    done: float
    """Share of the budget spent."""
    spec: RunSpec
    environment: Environment

    @property
    def facts(self) -> dict[str, object]:
        """What must not have changed before the run may go on."""
        return facts(self.spec, self.environment)

    @property
    def state(self) -> str:
        """Name of the file with the tensors."""
        return _STATES.replace("*", str(self.step))


@dataclass(frozen=True)
class Workspace:
    """Where a run is carried out; nothing is there before `lock`."""

    runs: Path
    run_id: str

    @property
    def folder(self) -> Path:
        """Hidden, because it is no record."""
        return self.runs / f".{self.run_id}"

    @property
    def target(self) -> Path:
        """Where its record appears."""
        return self.runs / self.run_id

    @property
    def record(self) -> Path:
        """The record directory in the making."""
        return self.folder / "record"

    @property
    def superseded(self) -> Path:
        """The older record, for the moment in which the new one takes its place."""
        return self.folder / "superseded"

    @contextmanager
    def lock(self) -> Iterator[int | None]:
        """Hold the run alone: yields the lock's file descriptor, or `None` where another process holds it.

        The kernel lets go when the last process that has the descriptor ends, however it ends: no lock is ever stale. A
        child that inherits the descriptor keeps the run locked for as long as it lives.

        Raises:
            UserError: a link stands in its place.
        """
        descriptor = self._acquire()
        if descriptor is None:
            yield None
            return
        try:
            self._recover()
            yield descriptor
        finally:
            if self.checkpoint() is None:
                remove(self.folder)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave it to whoever has inherited it
            os.close(descriptor)

    @property
    def locked(self) -> bool:
        """Whether a process is at work on the run."""
        try:
            descriptor = os.open(self.folder / _LOCK, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def checkpoint(self) -> Checkpoint | None:
        """The last one; what was not written whole, or by another version of this file, is none."""
        try:
            found = msgspec.json.decode(content_of(self.folder / _ABOUT, _MAX_ABOUT_BYTES), type=Checkpoint)
        except (UserError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return found if found.schema_version == SCHEMA_VERSION and (self.folder / found.state).is_file() else None

    def save(self, checkpoint: Checkpoint, write: Callable[[BinaryIO], object]) -> None:
        """Put a checkpoint in the place of the last; at every moment one of the two is there and whole.

        Raises:
            OSError: there is no room, say; the last one still stands.
        """
        state, last = self.folder / checkpoint.state, self.checkpoint()
        try:
            with synced(state) as file:
                write(file)
            replace(self.folder / _ABOUT, msgspec.json.encode(checkpoint))
        except OSError:
            if last is None or last.state != state.name:
                state.unlink(missing_ok=True)
            raise
        for other in self.folder.glob(_STATES):
            if other != state:
                other.unlink()

    def discard_checkpoint(self) -> None:
        """Have none any more; a run of this id begins at its beginning."""
        for file in (self.folder / _ABOUT, *self.folder.glob(_STATES)):
            file.unlink(missing_ok=True)

    def put_back(self) -> None:
        """Return the older record to its place where the new one has not taken it."""
        if self.superseded.exists() and not self.target.exists():
            move(self.superseded, self.target)

    def _acquire(self) -> int | None:
        while True:
            if self.folder.is_symlink():  # what is not ours there is cleared away
                raise UserError(f"{self.folder}: a link, and runs are carried out in a folder; remove it")
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:  # its last holder has just removed the folder
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except OSError:
                os.close(descriptor)
                raise
            if self._is_lock(descriptor):
                return descriptor
            os.close(descriptor)

    def _is_lock(self, descriptor: int) -> bool:
        """Whether the file is still the one that others would lock."""
        try:
            return os.path.samestat(os.fstat(descriptor), (self.folder / _LOCK).stat())
        except FileNotFoundError:
            return False

    def _recover(self) -> None:
        """Mend what a process that was killed has left, and remove what is only half there."""
        self.put_back()
        checkpoint = self.checkpoint()
        keep = {_LOCK, *((_ABOUT, checkpoint.state) if checkpoint else ())}
        for entry in self.folder.iterdir():
            if entry.name not in keep:
                remove(entry)


def workspaces(runs: Path) -> list[Workspace]:
    """Those there are, in the order of their names; a hidden folder of somebody else is none."""
    return [
        Workspace(runs, folder.name[1:])
        for folder in sorted(runs.glob(".*"))
        if folder.is_dir() and not folder.is_symlink() and _holds_ours_alone(folder)
    ]


def _holds_ours_alone(folder: Path) -> bool:
    try:
        return all(_OURS.fullmatch(entry.name) for entry in folder.iterdir())
    except OSError:  # somebody else's, or gone by now
        return False


def describe_under_way(runs: Path) -> str:
    """How many runs have no record yet, in words for whoever reads a report; empty where there are none."""
    found = workspaces(runs)
    running = sum(workspace.locked for workspace in found)
    interrupted = sum(workspace.checkpoint() is not None for workspace in found if not workspace.locked)
    counts = ((running, "under way"), (interrupted, "interrupted, with a checkpoint to go on from"))
    said = [f"{count} {'run is' if count == 1 else 'runs are'} {state}" for count, state in counts if count]
    return f"not in this report: {', '.join(said)}" if said else ""
