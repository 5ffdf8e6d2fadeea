"""Execute what is planned on an engine, as many runs at once as it has slots."""

import time
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import msgspec

from intelbench.errors import HostError, plural
from intelbench.orchestration.engines import NamedEngine
from intelbench.orchestration.isolate import LOOK_SECONDS, Unit
from intelbench.orchestration.job import WAITING
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.process import Starter
from intelbench.orchestration.shared import Profiles
from intelbench.orchestration.study import StudyFile
from intelbench.records.types import RunRecord

_BUSY_SECONDS = 1.0
"""Between two looks at runs that other processes execute."""


@dataclass(frozen=True)
class Session:
    """What all runs of a session share."""

    study: StudyFile
    engine: NamedEngine
    starter: Starter
    profiles: Profiles
    listener: RunListener


def run_planned(planned: Mapping[int, PlannedRun], session: Session) -> dict[int, RunRecord]:
    """Execute every planned run that has no record, and return the records of all; keys are indices for the listener.

    An architecture is profiled before its first run, and all its runs record the profile. A run that another process
    executes is left to that process, and looked at again every second. An interrupt cancels what was started.

    Raises:
        HostError: no host of the engine could execute some of the runs.
    """
    runner, engine = _Runner(session), session.engine
    waiting, busy = deque(planned.items()), deque[tuple[int, PlannedRun]]()
    next_look = 0.0
    try:
        while len(runner.records) + len(runner.refused) < len(planned):
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
        engine.close()
    if runner.refused:
        raise HostError("\n".join(dict.fromkeys(runner.refused.values())))
    return {index: runner.records[index] for index in planned}


@dataclass(frozen=True)
class _Runner:
    """Has an engine execute runs, each under its lock, and collects their records."""

    session: Session
    records: dict[int, RunRecord] = field(default_factory=dict)
    running: dict[int, Unit] = field(default_factory=dict)
    attempts: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """How each attempt ended in which the engine has lost a run, or found no host for it."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why no host executed a run."""

    def begin(self, index: int, run: PlannedRun) -> bool:
        """Start a run that has no record, from its checkpoint if it has one; return `False` if it is locked."""
        with ExitStack() as resources:
            workspace = run.job.workspace
            lock = resources.enter_context(workspace.lock())
            record = run.job.record()
            if record is not None:
                if lock is not None and record.failure is None:
                    workspace.discard_checkpoint()  # of an interrupted --rerun all
                self.records[index] = record
                self.session.listener.run_skipped(index, record)
                return True
            if lock is None:
                self.session.listener.run_updated(index, WAITING)
                return False
            self.session.listener.run_started(index)
            checkpoint = workspace.checkpoint()
            unit = Unit(
                job=msgspec.structs.replace(run.job, claim=lock.claim),
                study=self.session.study,
                starter=self.session.starter,
                profiles=self.session.profiles,
                lock=lock,
                resources=resources,
                resumes_after=checkpoint.step if checkpoint else 0,
                on_progress=partial(self.session.listener.run_updated, index),
            )
            unit.handle = self.session.engine.start(unit)
            unit.resources = resources.pop_all()
            self.running[index] = unit
        return True

    def has_ended(self, index: int) -> bool:
        """Pass on the progress of a run, and return whether it has ended."""
        unit = self.running[index]
        has_ended = self.session.engine.has_ended(unit.handle)
        unit.relay()
        return has_ended

    def conclude(self, index: int) -> bool:
        """Collect the record of a run that has ended; return `False` if the run is to be started again.

        A worker that was asked to stop says so. One that was lost, that could not execute the run, or that was stopped
        before it has saved a newer checkpoint, is an attempt. A run that somebody else has cancelled is left out,
        without a record.
        """
        unit = self.running.pop(index)
        unit.release()
        record = unit.job.record()
        if record is None:
            title, engine = unit.job.spec.title, self.session.engine
            if unit.is_cancelled:
                self.refused[index] = f"{title}: {unit.ending}; the same command again starts it"
                return True
            was_stopped, checkpoint = unit.last.phase == "stopped", unit.job.workspace.checkpoint()
            if was_stopped and checkpoint and checkpoint.step > unit.resumes_after:
                return False
            attempts = self.attempts[index]
            attempts.append(f"{unit.ending} before a newer checkpoint" if was_stopped else unit.ending)
            if len(attempts) < engine.attempts and not unit.is_out_of_memory:
                return False
            if unit.last.phase == "refused":
                self.refused[index] = f"{title}: {unit.last.note}"
                return True
            with unit.job.workspace.lock() as lock:
                if lock is None:
                    return False
                record = unit.job.record()
                if record is None and unit.is_out_of_memory:
                    record = unit.fail("out_of_memory", f"{unit.ending}: memory was full")
                elif record is None:
                    times = f"{plural(len(attempts), 'time')} ({', '.join(attempts)}), the last one"
                    record = unit.fail("lost", f"engine {engine.name!r} has lost the run {times}")
        self.records[index] = record
        self.session.listener.run_ended(index, record, time.monotonic() - unit.started)
        return True

    def cancel(self) -> None:
        """Cancel every run that has not ended, also if the engine fails to cancel one of them."""
        for unit in self.running.values():  # all at once, since each may take as long as a scheduler waits
            unit.ask_to_stop()
        with ExitStack() as stack:
            for unit in self.running.values():
                stack.enter_context(unit.resources)
                stack.callback(self.session.engine.cancel, unit.handle)
