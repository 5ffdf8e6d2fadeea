"""What the workers of a study share in its folder: profiles of networks, and the progress of runs.

Without a study there is no folder, and one process keeps the profiles for itself.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.probe import Probe, ProbeError, probe_in_process
from intelbench.orchestration.process import Starter
from intelbench.records.files import json_if_any, replace
from intelbench.records.identity import digest
from intelbench.records.leases import hold_everywhere
from intelbench.records.locks import Lock
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.types import RunRecord

_MAX_BYTES = 2**24
"""Size of a file with a profile."""
_LOOK_SECONDS = 0.5
"""Between two looks at a network that another worker profiles."""
_UPDATE_SECONDS = 5.0
"""Shortest time between two updates of one phase, which other hosts read in a shared folder."""


class Profiled(Struct, frozen=True, kw_only=True):
    """The profile of a network, or the reason why there is none."""

    profile: ArchitectureProfile | None = None
    profile_absent: str | None = None


class Profiles:
    """Profiles of networks, each made once: in the folder of a study, if there is one, by the first worker."""

    def __init__(self, starter: Starter, folder: Path | None) -> None:
        self._starter, self._folder = starter, folder
        self._known: dict[tuple[str, str], Profiled] = {}

    def add_to(self, job: Job, on_profiling: Callable[[], None]) -> Job:
        """Return the job with the profile of its network, or with the reason why there is none."""
        network = job.spec.architecture, job.spec.provider
        if job.profile or job.profile_absent:  # taken over from a record
            self._known.setdefault(network, Profiled(profile=job.profile, profile_absent=job.profile_absent))
        if network not in self._known:
            self._known[network] = self._of_study(job, on_profiling)
        return msgspec.structs.replace(job, **msgspec.structs.asdict(self._known[network]))

    def _of_study(self, job: Job, on_profiling: Callable[[], None]) -> Profiled:
        """Return what another worker of the study has found; else find it, while other workers wait."""
        if self._folder is None:
            return self._made(job, on_profiling)
        file = self._folder / f"profile-{digest((job.spec.architecture, job.spec.provider))[:10]}.json"
        while (lock := _held(file)) is None:  # another worker profiles it
            time.sleep(_LOOK_SECONDS)
        try:
            if (stored := json_if_any(file, _MAX_BYTES, Profiled)) is None:
                stored = self._made(job, on_profiling)
                with suppress(OSError):  # the disk is full, or the folder was removed: each worker makes its own
                    replace(file, msgspec.json.encode(stored), shared=True)
            return stored
        finally:
            lock.release()

    def _made(self, job: Job, on_profiling: Callable[[], None]) -> Profiled:
        on_profiling()
        try:
            return Profiled(profile=probe_in_process(Probe.of(job), self._starter, job.limits))
        except ProbeError as error:
            return Profiled(profile_absent=str(error))


def _held(file: Path) -> Lock | None:
    """Lock the file of a profile, in a folder that is made if there is none; `None` if another worker holds the lock.

    Raises:
        OSError: the folder cannot be written, or is on a disk without locks.
    """
    guard = file.with_suffix(".lock")
    while True:
        try:
            guard.parent.mkdir(parents=True, exist_ok=True)
            guard.touch()
            return hold_everywhere(guard, file.with_suffix(".lease"))
        except FileNotFoundError:  # somebody has just removed the folder
            continue


def progress_file(folder: Path, run_id: str) -> Path:
    """Return the file in the folder of a study with the progress of a run, one line each."""
    return folder / f"{run_id}.jsonl"


class ProgressWriter(RunListener):
    """Appends the progress of runs to files in the folder of their study, for a session on another host that shows it.

    Several workers may write one file, since one that waits for a run says so: none may shorten it under a reader.
    """

    def __init__(self, folder: Path, run_ids: Sequence[str]) -> None:
        self._files = [progress_file(folder, run_id) for run_id in run_ids]
        self._last: dict[int, tuple[str, str | None, float]] = {}
        self._executed = {0} if len(run_ids) == 1 else set[int]()
        """Runs that this worker executes; a worker of one run says also why it does not begin."""

    def run_started(self, index: int) -> None:
        """Note that the run is executed."""
        self._executed.add(index)

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Note that the run is executed no more."""
        self._executed.discard(index)

    def run_updated(self, index: int, progress: Progress) -> None:
        """Write the progress, at most every five seconds in one phase."""
        phase, note, written = self._last.get(index, ("", None, 0.0))
        now = time.monotonic()
        if (progress.phase, progress.note) == (phase, note) and now - written < _UPDATE_SECONDS:
            return
        with suppress(OSError):  # on a full disk the run continues without a display
            self._files[index].parent.mkdir(parents=True, exist_ok=True)
            with self._files[index].open("ab") as file:
                file.write(msgspec.json.encode(progress) + b"\n")
        self._last[index] = progress.phase, progress.note, now

    def end(self, progress: Progress) -> None:
        """Write why runs that have no record yet are executed no more."""
        for index in self._executed:
            self.run_updated(index, progress)


class ProgressReader:
    """Reads what workers write about one run from now on.

    A line that is not whole is left out: on a network disk, two hosts that append at once may write over each other.
    A file that has taken the place of one that somebody has removed is read from its start.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._inode: int | None = None
        self._position = 0
        with suppress(OSError):
            status = file.stat()
            self._inode, self._position = status.st_ino, status.st_size

    def read(self) -> list[Progress]:
        """Return the progress since the last call."""
        try:
            with self._file.open("rb") as file:  # opened each time: only then a network disk shows what was written
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._position:
                    self._inode, self._position = status.st_ino, 0
                file.seek(self._position)
                content = file.read()
        except FileNotFoundError:
            self._position = 0
            return []
        except OSError:
            return []
        complete = content[: content.rfind(b"\n") + 1]
        self._position += len(complete)
        return [progress for line in complete.splitlines() if (progress := _progress_of(line))]


def _progress_of(line: bytes) -> Progress | None:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(line, type=Progress)
    return None
