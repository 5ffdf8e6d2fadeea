"""What a tracker is: it starts runs, and a run takes points of curves and an outcome.

A plug-in file, or a package with an entry point of the group `intelbench.trackers`, adds another:

    @intelbench.tracker("log")
    class Log:
        keeps_files = False
        def __init__(self, place): ...
        def connect(self): ...
        def start(self, run): ...
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Value = str | int | float | bool
Status = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tracker keeps its runs."""

    results: Path
    """Results folder, for trackers whose runs are files."""
    given: str | None = None
    """Folder or address that the user gave; `None` for the tracker's own setting or default."""


@dataclass(frozen=True)
class Point:
    """Values at a training step."""

    step: int
    """Completed training steps."""
    values: Mapping[str, float]
    """Finite numbers by name."""


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A run when it starts."""

    run_id: str
    """Its name in the tracker, by which a tracker finds the run that it has already."""
    suite: str
    architecture: str
    parameters: Mapping[str, Value]
    """Conditions, architecture, seed, data and environment, by dotted key."""
    after_step: int = 0
    """Step of the checkpoint from which it continues; a run that starts at 0 replaces the tracker's run of its name."""
    started_at: float | None = None
    """Seconds since 1970 at which it started; `None` for now."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run has ended."""

    status: Status
    message: str = ""
    """Why it has failed."""
    step: int = 0
    """Its last training step."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Values of the run by names of metrics; finite numbers."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files by relative path; a tracker that keeps no files leaves them out."""
    seconds: float | None = None
    """Wall clock of a run with `started_at`, from its start to its end; `None` if it is not known."""


class RunLog(Protocol):
    """A run in a tracker, until it has ended."""

    def add(self, points: Sequence[Point]) -> None:
        """Add points to curves."""
        ...

    def end(self, outcome: Outcome) -> None:
        """Add the outcome, and close the run."""
        ...


class Tracker(Protocol):
    """Keeps runs. It is made in the thread of the session; its methods are called in order in another one."""

    keeps_files: bool
    """Whether it keeps files of a run."""

    def connect(self) -> None:
        """Prepare the place of the runs; fails if it cannot be reached."""
        ...

    def start(self, run: TrackedRun) -> RunLog:
        """Start a run, or continue the one of that name."""
        ...
