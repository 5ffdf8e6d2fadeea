"""What the parent sends to a run's process, and what the process reports: one JSON line each."""

from pathlib import Path

from msgspec import Struct

from intelbench.config.fields import KeepWeights
from intelbench.config.sequential import Look
from intelbench.data.dataset import Dataset
from intelbench.orchestration.process import Limits
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.types import Environment, RunSpec
from intelbench.records.workspace import Workspace
from intelbench.training.checkpoint import CheckpointTime

NOT_STORED = 74
"""Exit status of a run that has ended but could not write its record (EX_IOERR of sysexits.h)."""
STOPPED = 75
"""Exit status of a run that was asked to stop and resumes from its checkpoint when it is repeated (EX_TEMPFAIL)."""


class Job(Struct, frozen=True, kw_only=True):
    """All that a process, on any host with the same folders, needs to execute a run."""

    run_id: str
    spec: RunSpec
    environment: Environment
    """This machine, for the record of a run that cannot write its own."""
    dataset: Dataset
    plugins: tuple[str, ...]
    """Plug-in files to load before the architecture is looked up."""
    runs: str
    """Folder in which the record directory appears."""
    weights: str | None = None
    """File of `spec.weights`."""
    keep_weights: KeepWeights = "none"
    """Whether to keep the trained weights; `best` keeps them if no run of other seeds has better ones."""
    checkpoint: CheckpointTime | None = None
    """When to save; `None` for the default of a run."""
    profile: ArchitectureProfile | None = None
    """Profile of the network, for the record."""
    profile_absent: str | None = None
    """Why there is no profile, for the record."""
    look: Look | None = None
    """Look of a sequential design for which the run is made, for the record."""
    limits: Limits = Limits()
    replaces: int | None = None
    """Inode of the record that the run replaces."""

    @property
    def workspace(self) -> Workspace:
        """Return where the run is executed."""
        return Workspace(Path(self.runs), self.run_id)


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The progress of a run."""

    phase: str
    """What the run is doing: `waiting`, `profiling`, `starting`, `building`, `extracting features`, `training`,
    `testing`, `keeping weights`.
    """
    step: int = 0
    done: float = 0.0
    """Share of the training budget that is spent."""
    seconds: float = 0.0
    """Training time that counts towards the budget."""
    images_per_second: float = 0.0
    """Throughput since the last update."""
    loss: float | None = None
    validation_accuracy: float | None = None
    note: str | None = None
    """A message to the user; a display shows it once."""


STARTING = Progress(phase="starting")
WAITING = Progress(phase="waiting", note="another process executes it")
