"""Execute what is planned on an engine, as many runs at once as it has slots."""

import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import msgspec

from intelbench.orchestration.engines import NamedEngine
from intelbench.orchestration.isolate import LOOK_SECONDS, Unit, inode
from intelbench.orchestration.job import WAITING, Job, Progress
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.probe import Probe, ProbeError, probe_in_process
from intelbench.orchestration.process import Limits, Starter
from intelbench.records.types import RunRecord

_BUSY_SECONDS = 1.0
"""Between two looks at runs that other processes execute."""


def run_planned(
    planned: Mapping[int, PlannedRun],
    listener: RunListener,
    engine: NamedEngine,
    starter: Starter,
    limits: Limits,
) -> dict[int, RunRecord]:
    """Execute every planned run that has no record, and return the records of all; keys are indices for the listener.

    An architecture is profiled before its first run, and all its runs record the profile. A run that another process
    executes is left to that process, and looked at again every second. An interrupt cancels what was started.
    """
    runner = _Runner(listener, engine, starter, limits)
    waiting, busy = deque(planned.items()), deque[tuple[int, PlannedRun]]()
    next_look = 0.0
    try:
        while len(runner.records) < len(planned):
            if busy and time.monotonic() >= next_look:
                waiting, busy = waiting + busy, deque()
                next_look = time.monotonic() + _BUSY_SECONDS
            while waiting and len(runner.running) < engine.slots:
                if not runner.begin(*waiting[0]):
                    busy.append(waiting[0])
                waiting.popleft()
            ended = [index for index in runner.running if runner.has_ended(index)]
            busy += [(index, planned[index]) for index in ended if not runner.conclude(index)]
            if not ended and (runner.running or busy):
                time.sleep(LOOK_SECONDS)
    finally:
        runner.cancel()
    return {index: runner.records[index] for index in planned}


@dataclass(frozen=True)
class _Runner:
    """Has an engine execute runs, each under its lock, and collects their records."""

    listener: RunListener
    engine: NamedEngine
    starter: Starter
    limits: Limits
    records: dict[int, RunRecord] = field(default_factory=dict)
    running: dict[int, Unit] = field(default_factory=dict)
    profiled: dict[tuple[str, str], Job] = field(default_factory=dict)
    """First job of each architecture and provider, with the profile."""

    def begin(self, index: int, run: PlannedRun) -> bool:
        """Start a run that has no record, from its checkpoint if it has one; return `False` if it is locked."""
        with ExitStack() as resources:
            workspace = run.job.workspace
            lock = resources.enter_context(workspace.lock())
            replaces, record = inode(workspace.target), run.recorded()
            if record is not None:
                if lock is not None and record.failure is None:
                    workspace.discard_checkpoint()  # of an interrupted --rerun all
                self.records[index] = record
                self.listener.run_skipped(index, record)
                return True
            if lock is None:
                self.listener.run_updated(index, WAITING)
                return False
            started, on_progress = time.monotonic(), partial(self.listener.run_updated, index)
            self.listener.run_started(index)
            first = self._profiled(run.job, on_progress)
            checkpoint = workspace.checkpoint()
            note = f"resumes after step {checkpoint.step}" if checkpoint else None
            on_progress(Progress(phase="starting", note=note))
            facts = {"profile": first.profile, "profile_absent": first.profile_absent}
            unit = Unit(
                job=msgspec.structs.replace(run.job, **facts, limits=self.limits, replaces=replaces),
                starter=self.starter,
                inherit=lock.inheritable,
                resources=resources,
                on_progress=on_progress,
                started=started,
            )
            unit.handle = self.engine.start(unit)
            unit.resources = resources.pop_all()
            self.running[index] = unit
        return True

    def has_ended(self, index: int) -> bool:
        """Pass on the progress of a run, and return whether it has ended."""
        unit = self.running[index]
        has_ended = self.engine.has_ended(unit.handle)
        unit.relay()
        return has_ended

    def conclude(self, index: int) -> bool:
        """Collect the record of a run that has ended; return `False` if another process executes the run."""
        unit = self.running.pop(index)
        unit.resources.close()
        record = unit.record()
        if record is None and unit.last != WAITING:
            with unit.job.workspace.lock() as lock:
                if lock is not None:
                    record = unit.record() or unit.fail("killed", f"engine {self.engine.name!r} ended the run")
        if record is None:
            return False
        self.records[index] = record
        self.listener.run_ended(index, record, time.monotonic() - unit.started)
        return True

    def cancel(self) -> None:
        """Cancel every run that has not ended, also if the engine fails to cancel one of them."""
        with ExitStack() as stack:
            for unit in self.running.values():
                stack.enter_context(unit.resources)
                stack.callback(self.engine.cancel, unit.handle)

    def _profiled(self, job: Job, on_progress: partial[None]) -> Job:
        """Return a job of the same network with its profile, or with the reason why there is none."""
        network = job.spec.architecture, job.spec.provider
        if job.profile or job.profile_absent:  # of an earlier look
            self.profiled.setdefault(network, job)
        if network not in self.profiled:
            on_progress(Progress(phase="profiling"))
            try:
                profile = probe_in_process(Probe.of(job), self.starter, self.limits)
                self.profiled[network] = msgspec.structs.replace(job, profile=profile)
            except ProbeError as error:
                self.profiled[network] = msgspec.structs.replace(job, profile_absent=str(error))
        return self.profiled[network]
