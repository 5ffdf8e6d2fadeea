"""What the parent sends to a run's process, and what the process reports: one JSON line each."""

import os
from pathlib import Path

from msgspec import Struct

from intelbench.config.fields import CheckpointTime, KeepWeights, Rerun
from intelbench.config.sequential import Look
from intelbench.data.dataset import Dataset
from intelbench.errors import UserError
from intelbench.orchestration.process import Limits
from intelbench.records.identity import record_digest
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.store import read_run
from intelbench.records.types import SCHEMA_VERSION, Environment, Failure, RunRecord, RunSpec
from intelbench.records.workspace import Workspace

NOT_STORED = 74
"""Exit status of a run that has ended but could not write its record (EX_IOERR of sysexits.h)."""
REFUSED = 69
"""Exit status of a run that this host cannot execute (EX_UNAVAILABLE)."""
STOPPED = 75
"""Exit status of a run that was asked to stop and resumes from its checkpoint when it is repeated (EX_TEMPFAIL)."""


class Task(Struct, frozen=True, kw_only=True):
    """What a process needs to know of one run of a study, next to what all its runs share."""

    run_id: str
    spec: RunSpec
    plugins: tuple[str, ...]
    """Plug-in files to load before the architecture is looked up."""
    weights: str | None = None
    """File of `spec.weights`."""
    keep_weights: KeepWeights = "none"
    """Whether to keep the trained weights; `best` keeps them if no run of other seeds has better ones."""
    look: Look | None = None
    """Look of a sequential design for which the run is made, for the record."""
    replaces: str | None = None
    """Digest of the record that the run replaces; `None` if it replaces none, or a damaged one."""


class Job(Task, frozen=True, kw_only=True):
    """All that a process on this host needs to execute a run."""

    environment: Environment
    """The machine for which the run was planned."""
    dataset: Dataset
    runs: str
    """Folder in which the record directory appears."""
    checkpoint: CheckpointTime | None = None
    """When to save; `None` for the default of a run."""
    profile: ArchitectureProfile | None = None
    profile_absent: str | None = None
    """Why there is no profile, for the record."""
    rank: int = 0
    """Which of the processes of the run this is."""
    limits: Limits = Limits()
    rerun: Rerun = "none"
    claim: bytes = b""
    """Claim of the lock under which the run is executed."""

    @property
    def workspace(self) -> Workspace:
        """Return where the run is executed."""
        return Workspace(Path(self.runs), self.run_id, self.claim)

    def failed(self, failure: Failure, environment: Environment, started_at: str) -> RunRecord:
        """Return the record of a run that has failed, without any observation."""
        return RunRecord(
            schema_version=SCHEMA_VERSION,
            run_id=self.run_id,
            started_at=started_at,
            spec=self.spec,
            environment=environment,
            stream_digests={},
            profile=self.profile,
            profile_absent=self.profile_absent,
            look=self.look,
            failure=failure,
        )

    def record(self) -> RunRecord | None:
        """Return the record that makes the run unnecessary; `None` until there is one.

        Raises:
            UserError: there is a record that cannot be read, and `rerun` does not repeat such a run.
        """
        record = recorded(self.workspace.target, self.rerun)
        return None if record is None or record_digest(record) == self.replaces else record


def recorded(path: Path, rerun: Rerun) -> RunRecord | None:
    """Return the record in a folder, if there is one; with `rerun`, a damaged or changed record counts as none.

    Raises:
        UserError: the record cannot be read, and `rerun` is neither `failed` nor `all`.
    """
    if not os.path.lexists(path):
        return None
    replaces = rerun in ("failed", "all")
    try:
        stored = read_run(path)
        return stored.record if not replaces or stored.unchanged() else None
    except UserError as error:
        if not replaces:
            raise UserError(f"{error}; --rerun failed repeats the run and replaces its record") from error
        return None


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The progress of a run."""

    phase: str
    """What the run is doing: `waiting`, `profiling`, `starting`, `building`, `extracting features`, `training`,
    `testing`, `keeping weights`; of a worker that leaves no record, `stopped`, or `refused` with the reason as note.
    """
    step: int = 0
    done: float = 0.0
    """Share of the training budget that is spent."""
    seconds: float = 0.0
    """Training time that counts towards the budget."""
    images_per_second: float | None = None
    """Throughput since the last update; `None` in the first one, whose time may include extracting features."""
    loss: float | None = None
    validation_accuracy: float | None = None
    failure: Failure | None = None
    """Why a process that computes a run with others cannot go on. It waits for its end."""
    note: str | None = None
    """A message to the user; a display shows it once."""


STARTING = Progress(phase="starting")
WAITING = Progress(phase="waiting", note="another process executes it")
