"""An engine that executes nothing, and what it is told, for tests of the loop over runs."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from intelbench.config.pool import Pool
from intelbench.orchestration.engines import NamedEngine
from intelbench.orchestration.isolate import Unit
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.probe import Probe
from intelbench.orchestration.process import FreshPython, Limits
from intelbench.orchestration.shared import Profiles
from intelbench.orchestration.study import Study, StudyFile
from intelbench.orchestration.suite import Session, run_planned
from intelbench.records.store import write_run
from intelbench.records.types import RunRecord

LIMITS = Limits(seconds=60)
STARTER = FreshPython({})


class Log(RunListener):
    """Takes down what it is told, and what was probed and executed."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.probes: list[Probe] = []
        self.jobs: list[Job] = []

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """A run that is recorded."""
        self.events.append(("skipped", index))

    def run_updated(self, index: int, progress: Progress) -> None:
        """A run that is alive."""
        self.events.append((progress.phase, index))

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """A run that has ended."""
        self.events.append(("ended", index))


class Fake:
    """An engine whose runs diverge at once, or do what `behave` does."""

    def __init__(self, log: Log, record: RunRecord) -> None:
        self.log, self.record_of_all = log, record
        self.slots = 1
        self.behave: Callable[[Unit], None] = self.diverge
        self.cancelled: list[str] = []

    def start(self, unit: Unit) -> Unit:
        """Start a run, whose lock is held."""
        assert (LIMITS, STARTER) == (unit.job.limits, unit.starter)
        assert unit.job.workspace.locked
        self.log.jobs.append(unit.profiled())
        unit.report(Progress(phase="training"))
        self.behave(unit)
        return unit

    def has_ended(self, unit: Unit) -> bool:
        """Whether as many runs have started as fit."""
        return len(self.log.jobs) % self.slots == 0

    def cancel(self, unit: Unit) -> None:
        """Note it; the lock is still held."""
        assert unit.job.workspace.locked
        self.cancelled.append(unit.job.run_id)

    def diverge(self, unit: Unit) -> None:
        """Leave a record."""
        job = unit.job
        write_run(Path(job.runs), msgspec.structs.replace(self.record_of_all, run_id=job.run_id), {})


def execute(planned: list[PlannedRun], log: Log) -> list[RunRecord]:
    """Execute the runs on the engine `fake`."""
    study = StudyFile(Study.of([run.job for run in planned], planned[0].job.dataset), Path(planned[0].job.runs).parent)
    session = Session(
        study=study,
        engine=NamedEngine(Pool(engine="fake")),
        starter=STARTER,
        profiles=Profiles(STARTER, None),
        listener=log,
    )
    return list(run_planned(dict(enumerate(planned)), session).values())
