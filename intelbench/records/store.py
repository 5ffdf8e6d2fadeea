"""Record directories: `RUN_ID/record.json` and `RUN_ID/traces.npz`, written whole or not at all, read strictly.

Beside them lies `SHA256SUMS`, by which `sha256sum -c` and the report see whether anything was changed afterwards.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from intelbench.errors import UserError
from intelbench.records.files import move, remove, replace, synced
from intelbench.records.types import SCHEMA_VERSION, RunRecord
from intelbench.records.workspace import Workspace

RECORD_FILE = "record.json"
TRACES_FILE = "traces.npz"
SUMS_FILE = "SHA256SUMS"

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
        file = self.path / TRACES_FILE
        if not file.exists() and self.record.measurements is None:
            return {}
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{file}: cannot be read ({error}); delete {self.path} and run it again") from error

    def unchanged(self) -> bool:
        """Whether the files are those that were written; true of records from before there were sums."""
        file = self.path / SUMS_FILE
        return not file.exists() or file.read_text(encoding="utf-8", errors="replace") == _sums(self.path)


class _Versioned(msgspec.Struct):
    """The one field that every schema version has."""

    schema_version: int


def runs_folder(folder: Path) -> Path:
    """Where the records lie: in `folder/runs` of a results folder, or in `folder` itself where it holds them."""
    return folder if any(folder.glob(f"[!.]*/{RECORD_FILE}")) else folder / "runs"


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
        UserError: `record.json` is missing, damaged, or of another schema version.
    """
    file = path / RECORD_FILE
    try:
        content = file.read_bytes()
        version = msgspec.json.decode(content, type=_Versioned).schema_version
        if version != SCHEMA_VERSION:
            raise UserError(
                f"{file}: schema_version is {version}, this intelbench reads {SCHEMA_VERSION}; "
                f"{'upgrade intelbench' if version > SCHEMA_VERSION else 'run it again'}"
            )
        return StoredRun(path, msgspec.json.decode(content, type=RunRecord))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not a readable record ({error})") from error


def read_runs(runs: Path) -> tuple[list[StoredRun], list[str]]:
    """Read every record below `runs`, in the order of their names, and say which could not be read."""
    found = []
    problems = []
    for file in sorted(runs.glob(f"[!.]*/{RECORD_FILE}")):
        try:
            found.append(read_run(file.parent))
        except UserError as error:
            problems.append(str(error))
    return found, problems


def _sums(folder: Path) -> str:
    """A line for each file there is, as `sha256sum` writes it."""
    files = [folder / name for name in (RECORD_FILE, TRACES_FILE) if (folder / name).exists()]
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
