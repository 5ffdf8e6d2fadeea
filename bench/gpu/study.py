"""Run the reference study on a GPU, and check that the first steps of its records can be reproduced."""

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bench.gpu.results import Figure, Row
from bench.gpu.session import CutOffError, Session
from bench.gpu.sizes import SUITE
from intelbench.records import files
from intelbench.records.store import StoredRun, record_folders
from tests.reading import read_runs

ARCHIVE = "records.tar.xz"
_FAILED_RUNS = 1
"""Exit status of `intelbench run` if runs have failed; their records say so too."""


def run(session: Session) -> Iterator[Row]:
    """Run the missing runs of the study, and pack its records."""
    unpack(session)
    device = "cpu" if session.is_fake else session.device
    options = ["--suite", str(SUITE), "--out", str(session.work), "--device", device, *_data(session)]
    status, cut_off = 0, None
    try:
        status = session.command([*_command("run"), *session.sizes.study, *options])
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
    """Verify one record of each architecture."""
    unpack(session)
    stored = _finished(session)
    if not stored:
        raise CutOffError("the study has no record yet")
    for architecture, record in stored.items():
        status = session.command([*_command("verify"), str(record.path), *_data(session)])
        yield Row(
            subject=f"{architecture}, first steps taken again",
            figures=(Figure(name="reproduced", value=int(status == 0)),),
            at_least=1,
            details=(session.last_line(),),
        )


def pack(session: Session) -> None:
    """Pack the records into an archive with the folder `runs/`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for folder in record_folders(_runs(session)):
            archive.add(folder, f"runs/{folder.name}")
    files.replace(session.folder / ARCHIVE, packed.getvalue())


def unpack(session: Session) -> None:
    """Unpack the records of an earlier call into the folder of the study."""
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
    """Return the first finished run of each architecture."""
    finished: dict[str, StoredRun] = {}
    for run in read_runs(_runs(session))[0]:
        if run.record.failure is None:
            finished.setdefault(run.record.spec.architecture, run)
    return finished


def _runs(session: Session) -> Path:
    return session.work / "runs"


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "intelbench", name]


def _data(session: Session) -> list[str]:
    """Return the option for the data set; the fake device has few images, because drawing scenes takes too long."""
    if session.data is not None:
        return ["--data", session.data]
    if not session.is_fake:
        return []
    folder = session.work / "images"
    if not folder.exists():
        list(session.ask("write_images", Row, folder=str(folder)))
    return ["--data", str(folder)]
