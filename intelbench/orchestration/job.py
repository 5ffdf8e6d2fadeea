"""What the parent hands to a run's process, and what comes back while it runs: one JSON line each."""

from msgspec import Struct

from intelbench.data.dataset import Dataset
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.types import RunSpec
from intelbench.training.checkpoint import CheckpointTime


class Job(Struct, frozen=True, kw_only=True):
    """One run to be executed in a process of its own."""

    run_id: str
    spec: RunSpec
    dataset: Dataset
    plugins: tuple[str, ...]
    """Plug-in files to load before the architecture is looked up."""
    runs: str
    """Folder that the record directory is to appear in."""
    weights: str | None = None
    """File of `spec.weights`."""
    checkpoint: CheckpointTime | None = None
    """When to save; `None` leaves that to the run."""
    profile: ArchitectureProfile | None = None
    """For the record, as the next."""
    profile_absent: str | None = None


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a run has come."""

    phase: str
    """What the run is doing: `waiting`, `profiling`, `starting`, `building`, `extracting features`, `training`,
    `testing`.
    """
    step: int = 0
    done: float = 0.0
    """Share of the training budget spent."""
    seconds: float = 0.0
    """The budget's clock."""
    images_per_second: float = 0.0
    """Since the last update."""
    loss: float | None = None
    validation_accuracy: float | None = None
    note: str | None = None
    """What the user should know, said once."""
