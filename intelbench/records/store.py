"""Record directories: `RUN_ID/record.json` and `RUN_ID/traces.npz`, written whole or not at all, read strictly.

Beside them lies `SHA256SUMS`, by which `sha256sum -c` and the report see whether anything was changed afterwards. What
is read may be damaged or made to do harm: only plain files of a bounded size are read, and whatever is wrong with one
is a `UserError` that names it.
"""

import hashlib
import os
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from intelbench.config.validation import json_fault
from intelbench.errors import UserError, printable
from intelbench.records.files import content_if_any, content_of, listed, move, remove, replace, synced
from intelbench.records.npz import MAX_UNPACKED_BYTES, Archive, Texts
from intelbench.records.types import SCHEMA_VERSION, RunRecord
from intelbench.records.workspace import Workspace

RECORD_FILE = "record.json"
TRACES_FILE = "traces.npz"
SUMS_FILE = "SHA256SUMS"

MAX_RECORD_BYTES = 4 * 2**20
"""A record of six classes takes 6 kB, one of 20,000 classes 1 MB."""
MAX_TRACES_BYTES = MAX_UNPACKED_BYTES
"""Packed, arrays take no more than unpacked."""
_MAX_SUMS_BYTES = 4096
LARGEST_NUMBER = 1e30
"""No number that was measured is larger, or nearer to 0 than one over it; arithmetic on others ends in infinity."""
_LARGEST_INTEGER = 2**63 - 1
_MOST_LOOKED_INTO = 100
"""Folders in which records are looked for, where a folder that was given holds none."""

Traces = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class StoredRun:
    """A record and where it lies; its arrays are read when asked for."""

    path: Path
    record: RunRecord

    def traces(self) -> dict[str, NDArray[np.generic]]:
        """Read `traces.npz` (see docs/RECORDS.md for names, shapes and units); empty for a run that left none.

        Raises:
            UserError: the file is damaged, or missing where the record has measurements.
        """
        try:
            return dict(_archive(self, content_if_any(self.path / TRACES_FILE, MAX_TRACES_BYTES)))
        except ValueError as error:
            raise _unreadable_traces(self.path, error) from error

    def unchanged(self) -> bool:
        """Whether the files are those that were written; true of records from before there were sums.

        Raises:
            UserError: a file is not a plain one, or too large to be one of a record.
        """
        limits = {RECORD_FILE: MAX_RECORD_BYTES, TRACES_FILE: MAX_TRACES_BYTES}
        return _as_written(self.path, {name: content_if_any(self.path / name, limits[name]) for name in limits})


class _Versioned(msgspec.Struct):
    """The one field that every schema version has."""

    schema_version: int


def runs_folder(folder: Path) -> Path:
    """Where the records lie: in `folder/runs` of a results folder, or in `folder` itself where it holds them."""
    holds_records = any(os.path.lexists(path / RECORD_FILE) for path in listed(folder))
    return folder if holds_records else folder / "runs"


def write_run(runs: Path, record: RunRecord, traces: Traces) -> Path:
    """Write one record directory so that it appears whole or not at all; an older one of the same run is replaced.

    Raises:
        OSError: no room, say; an older record still stands, and nothing is left beside it.
    """
    workspace = Workspace(runs, record.run_id)
    scratch, target = workspace.record, workspace.target
    remove(scratch)
    scratch.mkdir(parents=True)
    try:
        with synced(scratch / RECORD_FILE) as file:
            file.write(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        if traces:
            with synced(scratch / TRACES_FILE) as file:
                np.savez_compressed(file, allow_pickle=False, **traces)
        with synced(scratch / SUMS_FILE) as file:
            file.write(_sums(scratch).encode())
        if target.exists():
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
    """Write a report's figures by their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in figures.items():
        replace(folder / name, content)


def read_run(path: Path) -> StoredRun:
    """Read one record directory.

    Raises:
        UserError: `record.json` is missing, damaged, too large, or of another schema version.
    """
    file = path / RECORD_FILE
    return StoredRun(path, _decoded(file, content_of(file, MAX_RECORD_BYTES)))


def read_with_traces(path: Path, texts: Texts | None = None) -> tuple[StoredRun, Traces]:
    """Read one record directory whole, each file once, and hold it against its name and its sums.

    The arrays are unpacked when they are asked for; one that is damaged is a `ValueError` then. Records that are read
    with the same `texts` share what they have in common.

    Raises:
        UserError: as `read_run`; or it stands under another run's name, was changed after it was written, or lacks its
            arrays.
    """
    file = path / RECORD_FILE
    content = content_of(file, MAX_RECORD_BYTES)
    run = StoredRun(path, _decoded(file, content))
    if run.record.run_id != path.name:
        raise UserError(f"{file}: holds another run than its folder is named after; name the folder so")
    packed = content_if_any(path / TRACES_FILE, MAX_TRACES_BYTES)
    if not _as_written(path, {RECORD_FILE: content, TRACES_FILE: packed}):
        raise UserError(f"{path}: changed after it was written (sha256sum -c says where); run it again")
    return run, _archive(run, packed, texts)


def record_folders(runs: Path) -> list[Path]:
    """Every folder below `runs` that holds a file of a record, or cannot be looked into, by name.

    Raises:
        UserError: `runs` is there and cannot be listed.
    """
    return [path for path in listed(runs) if _may_be_record(path)]


def nothing_recorded(runs: Path) -> str:
    """Say of a folder without a record what is there, and what to run."""
    results = runs.parent if runs.name == "runs" else runs
    name = printable(str(results))
    if not results.exists():
        return f"{name}: no such folder. Expected a results folder. Try `{_command('run --all --out', results)}`"
    if os.path.lexists(results / RECORD_FILE):
        return f"{name}: the folder of one run. Expected a results folder. Try `{_command('report', results.parent)}`"
    inner = next((folder for folder in listed(results)[:_MOST_LOOKED_INTO] if record_folders(folder / "runs")), None)
    advice = _command("report", inner) if inner else _command("run --all --out", results)
    return f"{name}: no record in it. Expected a results folder, with runs/ in it. Try `{advice}`"


def _command(arguments: str, folder: Path) -> str:
    return f"intelbench {arguments} {shlex.quote(printable(str(folder)))}"


def read_runs(runs: Path) -> tuple[list[StoredRun], list[str]]:
    """Read every record below `runs`, in the order of their names, and say which could not be read."""
    found = []
    problems = []
    for path in record_folders(runs):
        try:
            found.append(read_run(path))
        except UserError as error:
            problems.append(str(error))
    return found, problems


def _may_be_record(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(entry.name in (RECORD_FILE, TRACES_FILE, SUMS_FILE) for entry in entries)
    except NotADirectoryError:
        return False
    except OSError:  # no permission, or a link that leads nowhere or in circles; reading it says so
        return True


def _decoded(file: Path, content: bytes) -> RunRecord:
    try:
        record = msgspec.json.decode(content, type=RunRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = _otherwise_versioned(content) or json_fault(content, RunRecord)
        raise UserError(f"{file}: not a readable record ({reason})") from error
    if record.schema_version != SCHEMA_VERSION:
        raise UserError(f"{file}: not a readable record ({_otherwise_versioned(content)})")
    if not _measurable(msgspec.to_builtins(record).values()):
        raise UserError(f"{file}: not a readable record (it holds a number that cannot have been measured)")
    return record


def _otherwise_versioned(content: bytes) -> str | None:
    """That a record is of another schema version, and what to do; `None` where that is not so."""
    try:
        version = msgspec.json.decode(content, type=_Versioned).schema_version
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if version == SCHEMA_VERSION:
        return None
    advice = "upgrade intelbench" if version > SCHEMA_VERSION else "run it again"
    return f"schema_version is {version}, this intelbench reads {SCHEMA_VERSION}; {advice}"


def _measurable(values: Iterable[Any]) -> bool:
    """Whether all numbers in plain values, however deep, are such as may have been measured."""
    for value in values:
        if isinstance(value, float):
            if value and not 1 / LARGEST_NUMBER <= abs(value) <= LARGEST_NUMBER:
                return False
        elif isinstance(value, int):
            if abs(value) > _LARGEST_INTEGER:
                return False
        elif isinstance(value, dict | list | tuple) and not _measurable(
            value.values() if isinstance(value, dict) else value
        ):
            return False
    return True


def _archive(run: StoredRun, packed: bytes | None, texts: Texts | None = None) -> Traces:
    """The arrays of a run from the bytes of their file, if there is one."""
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


def _as_written(path: Path, content: Mapping[str, bytes | None]) -> bool:
    """Whether the files of a record are those that its sums are of; true where there are no sums."""
    sums = content_if_any(path / SUMS_FILE, _MAX_SUMS_BYTES)
    written = _lines({name: each for name, each in content.items() if each is not None})
    return sums is None or sums == written.encode()


def _sums(folder: Path) -> str:
    """Of the files that were written to a folder."""
    files = [folder / name for name in (RECORD_FILE, TRACES_FILE) if (folder / name).exists()]
    return _lines({file.name: file.read_bytes() for file in files})


def _lines(content: Mapping[str, bytes]) -> str:
    """A line for each file, as `sha256sum` writes it."""
    return "".join(f"{hashlib.sha256(each).hexdigest()}  {name}\n" for name, each in content.items())
