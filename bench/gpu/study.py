"""The reference study on a GPU: its records, and whether their first steps can be taken again."""

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bench.gpu.results import Figure, Row
from bench.gpu.session import CutOffError, Session
from bench.gpu.sizes import SUITE
from intelbench.records import files
from intelbench.records.store import StoredRun, read_runs, record_folders

ARCHIVE = "records.tar.xz"
_FAILED_RUNS = 1
"""Exit status of `intelbench run` that says that runs have failed, which their records tell too."""


def run(session: Session) -> Iterator[Row]:
    """Run what is missing of the study, and pack its records."""
    unpack(session)
    options = [*session.sizes.study, "--suite", str(SUITE), "--out", str(session.work), *_place(session)]
    status, cut_off = 0, None
    try:
        status = session.command([*_command("run"), *options])
    except CutOffError as error:
        cut_off = error
    finally:
        pack(session)
    yield from _counted(session)
    if cut_off is not None:
        raise cut_off
    if status not in (0, _FAILED_RUNS):
        raise RuntimeError(f"intelbench run exited with status {status}: {session.last_line()}")


def verify(session: Session) -> Iterator[Row]:
    """Take the first steps of one record of each architecture again."""
    unpack(session)
    stored = _finished(session)
    if not stored:
        raise CutOffError("no record of the study is there yet")
    for architecture, record in stored.items():
        status = session.command([*_command("verify"), str(record.path), *_data(session)])
        yield Row(
            subject=f"{architecture}, first steps taken again",
            figures=(Figure(name="reproduced", value=int(status == 0)),),
            at_least=1,
            details=(session.last_line(),),
        )


def pack(session: Session) -> None:
    """Write the records into one file, from which the folder `runs/` can be unpacked."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for folder in record_folders(_runs(session)):
            archive.add(folder, f"runs/{folder.name}")
    files.replace(session.folder / ARCHIVE, packed.getvalue())


def unpack(session: Session) -> None:
    """Put the records of an earlier call where the study finds them."""
    archive = session.folder / ARCHIVE
    if archive.exists() and not _runs(session).exists():
        with tarfile.open(archive) as content:
            content.extractall(session.work, filter="data")


def _counted(session: Session) -> Iterator[Row]:
    stored, problems = read_runs(_runs(session))
    for name in dict.fromkeys(run.record.spec.architecture for run in stored):
        records = [run.record for run in stored if run.record.spec.architecture == name]
        failures = [record.failure for record in records if record.failure is not None]
        yield Row(
            subject=name,
            figures=(Figure(name="failed runs", value=len(failures)), Figure(name="runs", value=len(records))),
            at_most=0,
            details=tuple(f"{failure.cause}: {failure.message}" for failure in failures),
        )
    for problem in problems:
        yield Row(subject="unreadable record", failure=problem)


def _finished(session: Session) -> dict[str, StoredRun]:
    """Return the first record of each architecture that is not that of a failure."""
    found: dict[str, StoredRun] = {}
    for run in read_runs(_runs(session))[0]:
        if run.record.failure is None:
            found.setdefault(run.record.spec.architecture, run)
    return found


def _runs(session: Session) -> Path:
    return session.work / "runs"


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "intelbench", name]


def _place(session: Session) -> list[str]:
    device = "cpu" if session.is_fake else session.device
    return ["--device", device, *_data(session)]


def _data(session: Session) -> list[str]:
    if session.is_fake and session.data is None:
        return ["--data", str(_small_images(session))]
    return [] if session.data is None else ["--data", session.data]


def _small_images(session: Session) -> Path:
    """Return a folder of few images, because drawing the built-in scenes takes half a minute."""
    folder = session.work / "images"
    if not folder.exists():
        list(session.ask("write_images", Row, folder=str(folder)))
    return folder
