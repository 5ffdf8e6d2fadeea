"""Weights of trained networks that are kept: `weights/RUN_ID.safetensors` next to `runs/`.

A file has the tensors of the network, and in its metadata all that is needed to use it. It is written to a hidden
folder before the record of its run, and moved to its place after the record is complete. So every file belongs to a
record, and a run that is killed leaves a complete file or a hidden folder, which the next command removes.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from safetensors import SafetensorError, safe_open

from intelbench.config.validation import json_fault
from intelbench.errors import UserError, printable
from intelbench.records.files import matching, move, remove
from intelbench.records.identity import canonical_fields, comparison_digest, digest, machine_digest
from intelbench.records.locks import locked
from intelbench.records.store import read_run
from intelbench.records.types import RunRecord, RunSpec
from intelbench.records.workspace import Workspace

FORMAT_VERSION = 1
SUFFIX = ".safetensors"
DRAFT = "weights.safetensors"
"""File in the hidden folder of a run."""
METADATA = "intelbench"
"""Key of the file's metadata under which it has a `KeptWeights` as JSON."""


class KeptWeights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is needed to use the weights in a file, apart from the code of the architecture."""

    format_version: int = FORMAT_VERSION
    run_id: str
    started_at: str
    """As in the record of the run: another record of the same run has other weights."""
    spec: RunSpec
    """Architecture and provider, classes, image size, normalization, head, precision, threads and batch size."""
    group: str
    """Digest that is equal for the runs of which only the best one keeps its weights."""
    keep: Literal["best", "all"]
    """What the suite asks for. Weights that were kept by `all` are never removed for better ones."""
    validation_metric: str
    """Metric of the suite; accuracy where that is one of a plug-in, or is not defined for the validation images."""
    validation_score: Annotated[float, Meta(ge=-1e30, le=1e30)]
    """Value of the metric on the validation images, negated for a loss, so that the highest is the best."""
    temperature: Annotated[float, Meta(gt=0, le=1e6)] | None
    """The logits are divided by it before the softmax, so that confidence agrees with accuracy on the validation
    images; `None` if no temperature could be fitted, as where all of them are recognised."""

    @property
    def order(self) -> tuple[float, int]:
        """Return a key that is the smallest for the best run of a group: score, then the lower seed."""
        return (-self.validation_score, self.spec.seed)


@dataclass(frozen=True)
class KeptFile:
    """A file of kept weights."""

    path: Path
    about: KeptWeights
    num_bytes: int


def kept_folder(runs: Path) -> Path:
    """Return the folder of the kept weights of the records in `runs`."""
    return runs.parent / "weights"


def kept_path(runs: Path, run_id: str) -> Path:
    """Return the file of the kept weights of a run."""
    return kept_folder(runs) / f"{run_id}{SUFFIX}"


def draft_folder(runs: Path, run_id: str) -> Path:
    """Return the hidden folder in which the weights of a run are written before it has a record."""
    return kept_folder(runs) / f".{run_id}"


def group_of(record: RunRecord, metric: str) -> str:
    """Return a digest that is equal for runs that differ in the seed alone, and compete by their score in a metric."""
    spec = record.spec
    architecture = spec.architecture, spec.provider, canonical_fields(spec.conditions)
    return digest((architecture, comparison_digest(spec), machine_digest(record), metric))


def read_kept(path: Path) -> KeptFile:
    """Read the metadata of a file of kept weights, without its tensors.

    Raises:
        UserError: the file is missing, damaged, or not one of kept weights of this format version.
    """
    name = f"weights {printable(path)}"
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{name}: not a plain file, so it is not read. Remove it")
        with safe_open(path, framework="numpy") as file:
            content = (file.metadata() or {}).get(METADATA, "").encode()
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error})") from error
    except SafetensorError as error:
        if path.suffix != SUFFIX:
            raise UserError(
                f"{name}: not a file of weights. Expected a file weights/RUN_ID{SUFFIX} of a results folder, or the "
                "folder itself"
            ) from error
        raise UserError(f"{name}: damaged ({error}). Remove it, and run again with --rerun all") from error
    try:
        about = msgspec.json.decode(content, type=KeptWeights)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = json_fault(content, KeptWeights) if content else f"its metadata has no `{METADATA}`"
        raise UserError(f"{name}: not weights that a run kept ({reason})") from error
    if about.format_version != FORMAT_VERSION:
        raise UserError(
            f"{name}: format_version is {about.format_version}, this intelbench reads {FORMAT_VERSION}. Expected a "
            "file of this version. Try the run again"
        )
    return KeptFile(path, about, status.st_size)


def kept_files(runs: Path) -> Iterator[KeptFile]:
    """Yield the files of kept weights of the records in `runs`, by name; files that cannot be read are left out."""
    for path in matching(kept_folder(runs), f"[!.]*{SUFFIX}"):
        if file := _read_if_kept(path, path.stem):
            yield file


def is_best(runs: Path, about: KeptWeights) -> bool:
    """Return whether no other run of the group, of those with kept weights, is better."""
    return all(about.order <= rival.about.order for rival in _rivals(runs, about))


def publish(runs: Path, run_id: str) -> None:
    """Give the weights of a run that has left its record their name, and remove those that are not needed any more.

    Removed are weights of an earlier record of the run, and weights that are not the best of their group, if the suite
    keeps only the best. The caller holds the lock of the run.

    Raises:
        OSError: the folder cannot be written.
    """
    draft, final = draft_folder(runs, run_id), kept_path(runs, run_id)
    if not os.path.lexists(draft) and not os.path.lexists(final):
        return
    with locked(kept_folder(runs), wait=True):
        if _belongs(runs, run_id, draft / DRAFT):
            move(draft / DRAFT, final)
        remove(draft)
        if _belongs(runs, run_id, final) is False:
            final.unlink(missing_ok=True)
        if kept := _read_if_kept(final, run_id):
            group = sorted((kept, *_rivals(runs, kept.about)), key=lambda file: file.about.order)
            for worse in group[1:]:
                if worse.about.keep == "best":
                    worse.path.unlink(missing_ok=True)


def settle(runs: Path) -> None:
    """Do `publish` for every run that no process executes: a killed one may have left a draft, or older weights."""
    folder = kept_folder(runs)
    names = {path.stem for path in matching(folder, f"[!.]*{SUFFIX}")}
    names |= {path.name[1:] for path in matching(folder, ".*") if _is_draft(path)}
    for run_id in sorted(names):
        with suppress(OSError, UserError), Workspace(runs, run_id).lock() as lock:
            if lock is not None:
                publish(runs, run_id)


def _is_draft(folder: Path) -> bool:
    """Return whether a hidden folder is one of a run, as its files show; safetensors writes to `.tmp...` first."""
    try:
        return not folder.is_symlink() and all(
            entry.name == DRAFT or entry.name.startswith(".tmp") for entry in folder.iterdir()
        )
    except OSError:  # a file, or removed in between
        return False


def _rivals(runs: Path, about: KeptWeights) -> list[KeptFile]:
    """Return the kept weights of the other runs of a group."""
    return [file for file in kept_files(runs) if file.about.group == about.group and file.about.run_id != about.run_id]


def _read_if_kept(path: Path, run_id: str) -> KeptFile | None:
    """Return the file of the kept weights of a run; `None` if there is none, or another file in its place."""
    with suppress(UserError):
        file = read_kept(path)
        return file if file.about.run_id == run_id else None
    return None


def _belongs(runs: Path, run_id: str, path: Path) -> bool | None:
    """Return whether a file has the weights of the run that left the record; `None` if one of the two is not there."""
    kept = _read_if_kept(path, run_id)
    if kept is None:
        return None
    try:
        record = read_run(Workspace(runs, run_id).target).record
    except UserError:
        return None
    return record.failure is None and kept.about.started_at == record.started_at
