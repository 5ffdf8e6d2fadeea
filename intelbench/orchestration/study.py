"""A study: planned runs as one file, from which any number of workers execute what has no record yet.

The file is `studies/ID.json` in the results folder, and ID is the digest of its bytes. Next to it, the folder
`studies/ID` holds what workers share: the profile of each network, and the progress of each run.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

import intelbench
from intelbench.config.fields import MAX_RUNS, CheckpointTime, Rerun
from intelbench.config.validation import json_fault
from intelbench.data.dataset import Dataset
from intelbench.errors import HostError, UserError, one_of, plural, printable, shortened
from intelbench.orchestration.job import Job, Task
from intelbench.orchestration.process import Limits
from intelbench.paths import is_folder, shown_path
from intelbench.records.files import content_of, matching, replace
from intelbench.records.types import Environment, Execution

FORMAT = 1
_FOLDER, _SUFFIX = "studies", ".json"
_ID_LENGTH = 10
_RUN_ID = re.compile(r"\w[\w.-]*")
"""A name, and not the path of another folder."""
_MAX_BYTES = 2**31


class _Header(Struct):
    """What every format of the file begins with."""

    format: int
    intelbench: str


class Study(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file."""

    format: int = FORMAT
    intelbench: str = intelbench.__version__
    environment: Environment
    """The machine for which the runs were planned."""
    dataset: Dataset
    """The data set before a run draws its images."""
    limits: Limits
    rerun: Rerun
    checkpoint: CheckpointTime | None
    tasks: Annotated[tuple[Task, ...], Meta(min_length=1, max_length=MAX_RUNS)]

    @classmethod
    def of(cls, jobs: Sequence[Job], dataset: Dataset) -> "Study":
        """Return the study of planned runs, which share the data set."""
        first = jobs[0]
        return cls(
            environment=first.environment,
            dataset=msgspec.structs.replace(dataset, notes=()),
            limits=first.limits,
            rerun=first.rerun,
            checkpoint=first.checkpoint,
            tasks=tuple(Task(**{name: getattr(job, name) for name in Task.__struct_fields__}) for job in jobs),
        )

    @property
    def execution(self) -> Execution:
        """Return how all runs are executed."""
        return self.tasks[0].spec.execution


class StudyFile:
    """A study and its place in a results folder. A new study is not written before its `path` is asked for."""

    def __init__(self, study: Study, results: Path, path: Path | None = None) -> None:
        self.study = study
        self.results = results
        self._path = path

    @classmethod
    def read(cls, path: Path) -> "StudyFile":
        """Return the study in a file.

        Raises:
            UserError: the file is not a study, was changed, or another version of its format.
            HostError: another version of intelbench has written it.
        """
        name = f"study {shown_path(path)}"
        if is_folder(path):
            raise UserError(f"{name}: a folder. {_expected(path)}")
        if path.suffix != _SUFFIX:
            raise UserError(f"{name}: not a study. {_expected(path.parent)}")
        path, again = path.absolute(), "prepare it again with intelbench run ... --prepare"
        content = content_of(path, _MAX_BYTES)
        try:
            header = msgspec.json.decode(content, type=_Header)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(
                f"{name}: not a study ({json_fault(content, _Header)}). {_expected(path.parent)}"
            ) from error
        try:
            if header.intelbench != intelbench.__version__:
                raise HostError.here(
                    f"intelbench is {intelbench.__version__}, that of {name} is {printable(header.intelbench)}; "
                    f"install that version, or {again}"
                )
            if header.format != FORMAT or path.stem != _id(content) or path.parent.name != _FOLDER:
                raise UserError(f"{name}: was changed, renamed or moved after it was written; {again}")
            study = msgspec.json.decode(content, type=Study)
            if paths := [task.run_id for task in study.tasks if not _RUN_ID.fullmatch(task.run_id)]:
                raise UserError(f"{name}: not a study (run {printable(paths[0])!r:.100} is not a name); {again}")
            return cls(study, path.parents[1], path)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"{name}: not a study ({printable(error)}); {again}") from error

    @property
    def path(self) -> Path:
        """Return the file, after writing it if it does not exist, or was changed.

        Raises:
            OSError: the disk is full, for example.
        """
        if self._path is None:
            content = msgspec.json.encode(self.study, order="deterministic")
            path = self.results.absolute() / _FOLDER / f"{_id(content)}{_SUFFIX}"
            if not _holds(path, content):
                path.parent.mkdir(parents=True, exist_ok=True)
                replace(path, content, shared=True)  # two sessions of one command may begin at the same moment
            self._path = path
        return self._path

    @property
    def folder(self) -> Path:
        """Return the folder of what workers share; it may not exist."""
        return self.path.with_suffix("")

    @property
    def runs(self) -> Path:
        """Return the folder of the records."""
        return self.results / "runs"

    def jobs(self, run: str | None = None) -> list[Job]:
        """Return the runs with their images, or one of them, by its name or its position from 0.

        Raises:
            UserError: the study has no such run.
        """
        tasks = self.study.tasks if run is None else (self._task(run),)
        datasets = self.study.dataset.of_runs([task.spec for task in tasks])
        return [
            Job(
                **msgspec.structs.asdict(task),
                environment=self.study.environment,
                dataset=dataset,
                runs=str(self.runs.absolute()),
                checkpoint=self.study.checkpoint,
                limits=self.study.limits,
                rerun=self.study.rerun,
            )
            for task, dataset in zip(tasks, datasets, strict=True)
        ]

    def _task(self, run: str) -> Task:
        tasks = {task.run_id: task for task in self.study.tasks}
        tasks |= {str(number): task for number, task in enumerate(self.study.tasks)}
        if run not in tasks:
            names = [task.run_id for task in self.study.tasks]
            numbers = "number 0" if len(names) == 1 else f"numbers 0 to {len(names) - 1}"
            raise UserError(
                f"run {shortened(printable(run))!r}: not one of the {plural(len(names), 'run')} of the study "
                f"({numbers}). {one_of(run, names)}"
            )
        return tasks[run]


def _expected(folder: Path) -> str:
    """Say what a study is; if the folder is one of results or of studies, name those in it, the newest first."""
    of_results = matching(folder, f"{_FOLDER}/*{_SUFFIX}")
    studies = [*of_results, *(matching(folder, f"*{_SUFFIX}") if folder.absolute().name == _FOLDER else ())]
    if studies := sorted(studies, key=_written_at, reverse=True):
        return one_of("", [printable(study) for study in studies])
    return f"Expected a file {_FOLDER}/ID{_SUFFIX} of a results folder, which intelbench run ... --prepare writes"


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file has this content."""
    try:
        return content_of(path, _MAX_BYTES) == content
    except UserError:
        return False


def _written_at(study: Path) -> float:
    """Return when a file was written; 0 for one that somebody has just removed."""
    try:
        return study.stat().st_mtime
    except OSError:
        return 0.0


def _id(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()[:_ID_LENGTH]
