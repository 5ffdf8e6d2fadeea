"""The folder of a run that is under way: `runs/.RUN_ID/`, with its lock, its checkpoint, and its record in the making.

It is gone once the run has left its record. An interrupted run leaves its checkpoint, from which the next one goes on.
"""

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
from intelbench.records.identity import facts_of_run
from intelbench.records.locks import Lock, hold
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
        return facts_of_run(self.spec, self.environment)

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
    def lock(self) -> Iterator[Lock | None]:
        """Hold the run alone: yields the lock, or `None` where another process holds it.

        The kernel lets go when the last process that has the lock ends, however it ends: no lock is ever stale. A child
        that inherits it keeps the run locked for as long as it lives.

        Raises:
            UserError: a link stands in its place.
        """
        lock = self._acquire()
        if lock is None:
            yield None
            return
        try:
            self._recover()
            yield lock
        finally:
            if self.checkpoint() is None:
                remove(self.folder)
            lock.release()

    @property
    def locked(self) -> bool:
        """Whether a process is at work on the run."""
        try:
            lock = hold(self.folder / _LOCK, shared=True)
        except OSError:
            return False
        if lock is not None:
            lock.release()
        return lock is None

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

    def _acquire(self) -> Lock | None:
        while True:
            if self.folder.is_symlink():  # what is not ours there is cleared away
                raise UserError(f"{self.folder}: a link, and runs are carried out in a folder; remove it")
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                (self.folder / _LOCK).touch()
                lock = hold(self.folder / _LOCK)
            except FileNotFoundError:  # its last holder has just removed the folder
                continue
            if lock is None or self._is_current(lock):
                return lock
            lock.release()

    def _is_current(self, lock: Lock) -> bool:
        """Whether the file is still the one that others would lock."""
        try:
            current = (self.folder / _LOCK).stat()
            return all(os.path.samestat(os.fstat(descriptor), current) for descriptor in lock.inheritable)
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
