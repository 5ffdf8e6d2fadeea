"""Sequential designs that no record holds, because all runs of their first look were recorded before.

A design is the file `design-DIGEST.json` next to the records. Its name is the digest of its content, so that a report
sees whether it was changed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from intelbench.config.fields import MAX_RUNS, FileName
from intelbench.config.sequential import SequentialDesign
from intelbench.config.validation import json_fault
from intelbench.errors import UserError, printable
from intelbench.records.files import content_of, listed, replace
from intelbench.records.identity import digest
from intelbench.records.types import SCHEMA_VERSION

_PREFIX, _SUFFIX = "design-", ".json"
_MAX_BYTES = 4 * 2**20


class StoredDesign(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a design file."""

    schema_version: int = SCHEMA_VERSION
    started_at: str
    """UTC, ISO 8601: when the first look was taken."""
    runs: Annotated[tuple[FileName, ...], Meta(min_length=2, max_length=MAX_RUNS)]
    """Names of the runs of the first look, sorted."""
    design: SequentialDesign


def write_design(runs: Path, stored: StoredDesign) -> Path:
    """Write a design next to the records in `runs`, atomically; return its file.

    Raises:
        OSError: the disk is full, for example.
    """
    file = runs / f"{_PREFIX}{digest(stored)}{_SUFFIX}"
    replace(file, msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n", shared=True)
    return file


def read_designs(runs: Path) -> tuple[list[StoredDesign], list[str]]:
    """Return the designs next to the records in `runs`, sorted by their start, and the problems of damaged ones."""
    designs, problems = [], []
    for file in listed(runs):
        if file.name.startswith(_PREFIX) and file.name.endswith(_SUFFIX):
            try:
                designs.append(_read(file))
            except UserError as error:
                problems.append(str(error))
    return sorted(designs, key=lambda stored: (stored.started_at, digest(stored))), problems


def designs_of(run_ids: Sequence[str], designs: Sequence[StoredDesign]) -> tuple[StoredDesign, ...]:
    """Return the designs whose first look has one of these runs."""
    return tuple(stored for stored in designs if not set(stored.runs).isdisjoint(run_ids))


def _read(file: Path) -> StoredDesign:
    content = content_of(file, _MAX_BYTES)
    try:
        stored = msgspec.json.decode(content, type=StoredDesign)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{printable(file)}: not a readable design ({json_fault(content, StoredDesign)})") from error
    if stored.schema_version != SCHEMA_VERSION or file.name != f"{_PREFIX}{digest(stored)}{_SUFFIX}":
        raise UserError(f"{printable(file)}: not a readable design (it was changed after it was written)")
    return stored
