"""Record directories: `RUN_ID/record.json` and `RUN_ID/traces.npz`, written atomically and read strictly.

`SHA256SUMS` in the same directory shows `sha256sum -c` and the report whether a file was changed later. Files may be
damaged or malicious: only regular files of a bounded size are read, and a fault is a `UserError` that names the file.

A record may be replaced while it is read: then it is read again, so that its files are those of one record.
"""

import hashlib
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from intelbench.config.validation import json_fault
from intelbench.errors import UserError, printable
from intelbench.records.atomic import identity
from intelbench.records.files import content_if_any, content_of, listed, move, remove, replace, replace_by_parts, synced
from intelbench.records.npz import MAX_UNPACKED_BYTES, Archive, Texts
from intelbench.records.types import SCHEMA_VERSION, RunRecord
from intelbench.records.workspace import Workspace, workspaces

RECORD_FILE = "record.json"
TRACES_FILE = "traces.npz"
SUMS_FILE = "SHA256SUMS"

MAX_RECORD_BYTES = 4 * 2**20
"""A record of six classes takes 6 kB, one of 20,000 classes 1 MB."""
MAX_TRACES_BYTES = MAX_UNPACKED_BYTES
"""Compressed arrays are not larger than uncompressed ones."""
_MAX_SUMS_BYTES = 4096
MAX_NUMBER = 1e30
"""No measured number is larger, or closer to 0 than its reciprocal; arithmetic on others can overflow."""
_MAX_INTEGER = 2**63 - 1
_MAX_SEARCHED = 100
"""Subfolders that are searched for records if the given folder has none."""

Traces = Mapping[str, NDArray[np.generic]]
T = TypeVar("T")


class ChangedRecordError(UserError):
    """A file of a record was changed after it was written."""


@dataclass(frozen=True)
class StoredRun:
    """A record and its directory; arrays are read on demand."""

    path: Path
    record: RunRecord

    def traces(self) -> dict[str, NDArray[np.generic]]:
        """Read `traces.npz` (docs/records.md has names, shapes and units); empty for a run without arrays.

        Raises:
            UserError: the file is damaged, or is missing although the record has measurements; or the record was
                replaced after it was read.
        """
        packed = _settled(self.path, self._packed)
        try:
            return dict(_archive(self, packed))
        except ValueError as error:
            raise _unreadable_traces(self.path, error) from error

    def _packed(self, place: Path) -> bytes | None:
        """Return the bytes of `traces.npz` in the place of the record, which has to be this one still."""
        packed = content_if_any(place / TRACES_FILE, MAX_TRACES_BYTES)
        if _record_at(place).started_at != self.record.started_at:
            raise UserError(f"{self.path}: another record has replaced the one that was read. Give the command again")
        return packed

    def unchanged(self) -> bool:
        """Return whether the files are as written; false if `SHA256SUMS` is missing.

        Raises:
            UserError: a file is not a regular file, or too large.
        """
        limits = {RECORD_FILE: MAX_RECORD_BYTES, TRACES_FILE: MAX_TRACES_BYTES}

        def check(place: Path) -> None:
            _require_as_written(place, {name: content_if_any(place / name, limits[name]) for name in limits})

        try:
            _settled(self.path, check)
        except ChangedRecordError:
            return False
        return True


class _Versioned(msgspec.Struct):
    """The field that every schema version has."""

    schema_version: int


def runs_folder(folder: Path) -> Path:
    """Return the folder of the records: `folder/runs` of a results folder, or `folder` itself if it has records."""
    holds_records = any(os.path.lexists(path / RECORD_FILE) for path in listed(folder))
    return folder if holds_records else folder / "runs"


def write_run(runs: Path, record: RunRecord, traces: Traces, claim: bytes = b"") -> Path:
    """Write one record directory in `runs` atomically; it replaces an older record of the same run.

    `claim` is that of the lock under which the run was executed; it is empty without a lock.

    Raises:
        OSError: the disk is full, for example; an older record stays, and no partial file is left.
        LostLeaseError: another host has taken over the run; nothing is written.
    """
    workspace = Workspace(runs, record.run_id, claim)
    workspace.require_claim()
    scratch, target = workspace.record, workspace.target
    remove(scratch)
    scratch.mkdir(parents=True)
    try:
        with synced(scratch / RECORD_FILE) as file:
            file.write(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        if traces:
            with synced(scratch / TRACES_FILE) as file:
                np.savez_compressed(file, allow_pickle=False, **traces)
        sums = _lines({path.name: path.read_bytes() for path in sorted(scratch.iterdir())})
        with synced(scratch / SUMS_FILE) as file:
            file.write(sums.encode())
        workspace.require_claim()
        if os.path.lexists(target):
            target.rename(workspace.superseded)
        move(scratch, target)
    finally:
        workspace.put_back()
        remove(scratch)
        remove(workspace.superseded)
        with suppress(OSError):  # not empty: the run is locked, or has a checkpoint
            workspace.folder.rmdir()
    return target


def write_figures(folder: Path, figures: Mapping[str, bytes]) -> None:
    """Write the figures of a report to files of these names; another report may do so at the same time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in figures.items():
        replace(folder / name, content, shared=True)


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """Write a text file atomically from parts that are made one after the other; other commands may write it, too.

    Raises:
        OSError: the disk is full, for example; an older file stays, and no partial file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_by_parts(path, (part.encode() for part in parts), shared=True)


def read_run(path: Path) -> StoredRun:
    """Read one record directory.

    Raises:
        UserError: `record.json` is missing, damaged, too large, or of another schema version.
    """
    return StoredRun(path, _settled(path, _record_at))


def read_with_traces(path: Path, texts: Texts | None = None) -> tuple[StoredRun, Traces]:
    """Read a record and its arrays, each file once, and check the name of the directory and the sums.

    Arrays are decompressed on demand; a damaged one raises a `ValueError` then. Records that are read with the same
    `texts` share equal arrays of text.

    Raises:
        UserError: for the reasons of `read_run`, or because the directory does not have the name of the run, a file
            was changed after it was written, or the arrays are missing.
    """
    run, packed = _settled(path, partial(_read_complete, path))
    return run, _archive(run, packed, texts)


def _read_complete(path: Path, place: Path) -> tuple[StoredRun, bytes | None]:
    """Return the record at a place, and the bytes of its arrays, after checking its name and its sums."""
    content = content_of(place / RECORD_FILE, MAX_RECORD_BYTES)
    run = StoredRun(path, _decoded(place / RECORD_FILE, content))
    if run.record.run_id != path.name:
        raise UserError(f"{path / RECORD_FILE}: holds another run than its folder is named after; name the folder so")
    packed = content_if_any(place / TRACES_FILE, MAX_TRACES_BYTES)
    _require_as_written(place, {RECORD_FILE: content, TRACES_FILE: packed})
    return run, packed


def record_folders(runs: Path) -> list[Path]:
    """Return every folder in `runs` that has a file of a record or cannot be opened, sorted by name.

    A record that is being replaced is one of them, also while its folder is not there.

    Raises:
        UserError: `runs` exists and cannot be listed.
    """
    paths = listed(runs)
    between = [workspace.target for workspace in workspaces(runs) if workspace.superseded.exists()]
    return [path for path in sorted({*paths, *between}) if path in between or _may_be_record(path)]


def nothing_recorded(runs: Path) -> str:
    """Describe a folder without a record, and suggest a command."""
    results = runs.parent if runs.name == "runs" else runs
    name = printable(str(results))
    if not results.exists():
        return f"{name}: no such folder. Expected a results folder. Try `{_command('run --all --out', results)}`"
    if os.path.lexists(results / RECORD_FILE):
        return f"{name}: the folder of one run. Expected a results folder. Try `{_command('report', results.parent)}`"
    inner = next((folder for folder in listed(results)[:_MAX_SEARCHED] if record_folders(folder / "runs")), None)
    advice = _command("report", inner) if inner else _command("run --all --out", results)
    return f"{name}: no record in it. Expected a results folder, with runs/ in it. Try `{advice}`"


def _command(arguments: str, folder: Path) -> str:
    return f"intelbench {arguments} {shlex.quote(printable(str(folder)))}"


def _settled(path: Path, read: Callable[[Path], T]) -> T:
    """Return what a function reads in the folder of a record, which another process may replace at any time.

    A function that fails is called again if it has read in the folder of the record before, or in both. Between the
    two renames of `write_run` the record is the superseded one, which also a killed process has left in that place.
    """
    superseded = Workspace(path.parent, path.name).superseded

    def current() -> tuple[Path, tuple[int, int] | None]:
        for place in (path, superseded):
            if seen := identity(place):
                return place, seen
        return path, None

    while True:
        before = current()
        try:
            return read(before[0])
        except UserError:
            if current() == before:
                raise


def _record_at(place: Path) -> RunRecord:
    return _decoded(place / RECORD_FILE, content_of(place / RECORD_FILE, MAX_RECORD_BYTES))


def _may_be_record(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(entry.name in (RECORD_FILE, TRACES_FILE, SUMS_FILE) for entry in entries)
    except NotADirectoryError:
        return False
    except OSError:  # no permission, or a broken or circular link; reading the record reports it
        return True


def _decoded(file: Path, content: bytes) -> RunRecord:
    try:
        record = msgspec.json.decode(content, type=RunRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = _version_problem(content) or json_fault(content, RunRecord)
        raise UserError(f"{file}: not a readable record ({reason})") from error
    if record.schema_version != SCHEMA_VERSION:
        raise UserError(f"{file}: not a readable record ({_version_problem(content)})")
    if not _measurable(msgspec.to_builtins(record).values()):
        raise UserError(f"{file}: not a readable record (it holds a number that cannot have been measured)")
    return record


def _version_problem(content: bytes) -> str | None:
    """Describe the schema version of a record and what to do; `None` if this version can be read."""
    try:
        version = msgspec.json.decode(content, type=_Versioned).schema_version
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if version == SCHEMA_VERSION:
        return None
    advice = "upgrade intelbench" if version > SCHEMA_VERSION else "run it again"
    return f"schema_version is {version}, this intelbench reads {SCHEMA_VERSION}; {advice}"


def _measurable(values: Iterable[Any]) -> bool:
    """Return whether all numbers in nested plain values can have been measured."""
    for value in values:
        if isinstance(value, float):
            if value and not 1 / MAX_NUMBER <= abs(value) <= MAX_NUMBER:
                return False
        elif isinstance(value, int):
            if abs(value) > _MAX_INTEGER:
                return False
        elif isinstance(value, dict | list | tuple) and not _measurable(
            value.values() if isinstance(value, dict) else value
        ):
            return False
    return True


def _archive(run: StoredRun, packed: bytes | None, texts: Texts | None = None) -> Traces:
    """Return the arrays of a run from the bytes of their file, if it has one."""
    if packed is None and run.record.measurements is None:
        return {}
    if packed is None:
        raise _unreadable_traces(run.path, "it is missing")
    try:
        return Archive(packed, texts)
    except ValueError as error:
        raise _unreadable_traces(run.path, error) from error


def _unreadable_traces(path: Path, reason: object) -> UserError:
    return UserError(f"{path / TRACES_FILE}: cannot be read ({reason}); delete {path} and run it again")


def _require_as_written(path: Path, content: Mapping[str, bytes | None]) -> None:
    """Raise a `ChangedRecordError` unless the files of a record match its sums."""
    sums = content_if_any(path / SUMS_FILE, _MAX_SUMS_BYTES)
    written = _lines({name: data for name, data in content.items() if data is not None})
    if sums != written.encode():
        raise ChangedRecordError(f"{path}: changed after it was written (sha256sum -c says where); run it again")


def _lines(content: Mapping[str, bytes]) -> str:
    """Return a line for each file in the format of `sha256sum`."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items())
