"""The folder of an unfinished run: `runs/.RUN_ID/`, with its lock and lease, its checkpoint, and its partial record.

It is removed when the run has left its record. An interrupted run leaves its checkpoint, from which it can be resumed.
"""

import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from intelbench.errors import HostError, UserError
from intelbench.records.files import content_of, json_if_any, matching, move, remove, replace, synced
from intelbench.records.identity import facts_of_run
from intelbench.records.leases import hold_everywhere, is_leased
from intelbench.records.locks import Lock, hold
from intelbench.records.types import SCHEMA_VERSION, Environment, RunSpec

_LOCK = "lock"
_LEASE = "lease"
_MAX_LEASE_BYTES = 2**16
_ABOUT = "checkpoint.json"
_STATES = "state-*.pt"
_MAX_ABOUT_BYTES = 4 * 2**20
"""The limit of a record, which is larger."""
_LOOK_SECONDS = 0.01
"""Time in which a report has looked at a lock."""
_OURS = re.compile(r"lock|store|lease.*|\.?checkpoint\.json(\.partial)?|state-\d+\.pt|record|superseded")


class LostLeaseError(HostError):
    """Another host has taken over the run, because this one did not renew its lease in time."""


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The content of `checkpoint.json`, which describes the state file in the same folder."""

    schema_version: int = SCHEMA_VERSION
    step: int
    """Completed training steps."""
    done: float
    """Share of the budget spent."""
    spec: RunSpec
    environment: Environment

    @property
    def facts(self) -> dict[str, object]:
        """Return what must be unchanged for the run to be resumed."""
        return facts_of_run(self.spec, self.environment)

    @property
    def state(self) -> str:
        """Return the name of the file with the tensors."""
        return _STATES.replace("*", str(self.step))


@dataclass(frozen=True)
class Workspace:
    """Where a run is executed; the folder is created by `lock`."""

    runs: Path
    run_id: str
    claim: bytes = field(default=b"", compare=False)
    """Claim of the lock under which the run is executed, without which nothing is written; empty without a lock."""

    @property
    def folder(self) -> Path:
        """Return the hidden folder of the run."""
        return self.runs / f".{self.run_id}"

    @property
    def target(self) -> Path:
        """Return the directory of the finished record."""
        return self.runs / self.run_id

    @property
    def record(self) -> Path:
        """Return the directory of the partial record."""
        return self.folder / "record"

    @property
    def store(self) -> Path:
        """Return the file by which several processes of the run find each other."""
        return self.folder / "store"

    @property
    def superseded(self) -> Path:
        """Return where the older record is while it is being replaced."""
        return self.folder / "superseded"

    @contextmanager
    def lock(self) -> Iterator[Lock | None]:
        """Lock the run for this process: yields the lock, or `None` if another process holds it.

        The lock of a process that has exited is free: at once on its host, and after `LEASE_SECONDS` on hosts whose
        locks do not exclude each other. A child process that inherits the lock holds it until it exits.

        Raises:
            UserError: the folder is a symbolic link.
        """
        lock = self._acquire()
        if lock is None:
            yield None
            return
        try:
            self._recover()
            yield lock
        finally:
            with suppress(LostLeaseError):
                replace_fields(self, claim=lock.claim).require_claim()
                if self.checkpoint() is None:
                    self._clear(keep=())
            lock.release()
            with suppress(OSError):  # it has a checkpoint, or is another process's by now
                self.folder.rmdir()

    def require_claim(self) -> None:
        """Raise a `LostLeaseError` if the run is not claimed any more as it was when it was started."""
        if self.claim:
            try:
                is_ours = content_of(self.folder / _LEASE, _MAX_LEASE_BYTES) == self.claim
            except UserError:
                is_ours = False
            if not is_ours:
                raise LostLeaseError.here(f"{self.folder}: another host has taken over the run")

    @property
    def locked(self) -> bool:
        """Return whether a process is executing the run, here or on another host."""
        try:
            lock = hold(self.folder / _LOCK, shared=True)
        except OSError:
            return False
        if lock is None:
            return True
        try:
            return is_leased(self.folder / _LEASE)
        finally:
            lock.release()

    def checkpoint(self) -> Checkpoint | None:
        """Return the last complete checkpoint of this schema version, or `None`."""
        checkpoint = json_if_any(self.folder / _ABOUT, _MAX_ABOUT_BYTES, Checkpoint)
        if checkpoint is None or checkpoint.schema_version != SCHEMA_VERSION:
            return None
        return checkpoint if (self.folder / checkpoint.state).is_file() else None

    def save(self, checkpoint: Checkpoint, write: Callable[[BinaryIO], object]) -> None:
        """Replace the last checkpoint atomically.

        Raises:
            OSError: the disk is full, for example; the last checkpoint stays.
            LostLeaseError: another host has taken over the run.
        """
        self.require_claim()
        state, last = self.folder / checkpoint.state, self.checkpoint()
        try:
            with synced(state) as file:
                write(file)
            replace(self.folder / _ABOUT, msgspec.json.encode(checkpoint))
        except OSError:
            if last is None or last.state != state.name:
                state.unlink(missing_ok=True)
            raise
        for older in self.folder.glob(_STATES):
            if older != state:
                older.unlink()

    def discard_checkpoint(self) -> None:
        """Remove the checkpoint, so that the run starts from its first step."""
        for file in (self.folder / _ABOUT, *self.folder.glob(_STATES)):
            file.unlink(missing_ok=True)

    def put_back(self) -> None:
        """Move the older record back if the new one has not replaced it."""
        if self.superseded.exists() and not self.target.exists():
            move(self.superseded, self.target)

    def _acquire(self) -> Lock | None:
        while True:
            if self.folder.is_symlink():  # everything in the folder but the lock and the checkpoint is removed
                raise UserError(f"{self.folder}: a symbolic link. Expected a folder, or nothing. Remove it")
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                (self.folder / _LOCK).touch()
                lock = hold_everywhere(self.folder / _LOCK, self.folder / _LEASE)
            except FileNotFoundError:  # the process that held the lock has just removed the folder
                continue
            if lock is None and not self.locked:  # a report has just looked whether the run is executed
                time.sleep(_LOOK_SECONDS)
                continue
            if lock is None or self._is_current(lock):
                return lock
            lock.release()

    def _is_current(self, lock: Lock) -> bool:
        """Return whether the locked file is still the one that other processes would lock."""
        try:
            current = (self.folder / _LOCK).stat()
            return all(os.path.samestat(os.fstat(descriptor), current) for descriptor in lock.inheritable)
        except FileNotFoundError:
            return False

    def _recover(self) -> None:
        """Restore the record after a process was killed, and remove partial files."""
        self.put_back()
        checkpoint = self.checkpoint()
        self._clear(keep=(_LOCK, *((_ABOUT, checkpoint.state) if checkpoint else ())))

    def _clear(self, keep: Collection[str]) -> None:
        """Remove everything from the folder but the lease, on which other hosts look, and the files to keep."""
        for entry in self.folder.iterdir():
            if entry.name not in keep and not entry.name.startswith(_LEASE):
                remove(entry)


def workspaces(runs: Path) -> list[Workspace]:
    """Return the workspaces in `runs`, sorted by name; other hidden folders are skipped."""
    return [
        Workspace(runs, folder.name[1:])
        for folder in matching(runs, ".*")
        if folder.is_dir() and not folder.is_symlink() and _has_only_our_files(folder)
    ]


def _has_only_our_files(folder: Path) -> bool:
    try:
        return all(_OURS.fullmatch(entry.name) for entry in folder.iterdir())
    except OSError:  # without permission, or removed in between
        return False


def describe_unfinished(runs: Path) -> str:
    """Say how many runs are running or interrupted and therefore missing in a report; empty if all have finished."""
    unfinished = workspaces(runs)
    running = sum(workspace.locked for workspace in unfinished)
    interrupted = sum(workspace.checkpoint() is not None for workspace in unfinished if not workspace.locked)
    counts = ((running, "running"), (interrupted, "interrupted, with a checkpoint to resume from"))
    parts = [f"{count} {'run is' if count == 1 else 'runs are'} {state}" for count, state in counts if count]
    return f"not in this report: {', '.join(parts)}" if parts else ""
