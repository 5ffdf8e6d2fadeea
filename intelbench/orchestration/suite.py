"""Run what is planned, one run at a time: two at once would disturb each other's clocks."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from intelbench.orchestration.isolate import isolate
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.probe import Probe, ProbeError, probe_in_process
from intelbench.orchestration.process import Limits, Starter
from intelbench.records.locks import Lock
from intelbench.records.types import Environment, RunRecord

_WAIT_SECONDS = 1.0
"""Between two looks at runs that other processes have begun, where there is nothing else to do."""


def run_planned(
    planned: Sequence[PlannedRun], environment: Environment, listener: RunListener, starter: Starter, limits: Limits
) -> list[RunRecord]:
    """Execute every planned run that has no record, and return the records of all, in their order.

    An architecture is profiled before its first run; all its runs record that. A run that another process has begun is
    left to it: its record is waited for when everything else is done, and if none comes, the run is made here.
    """
    runner = _Runner(environment, listener, starter, limits)
    records: dict[int, RunRecord] = {}
    waiting = deque(enumerate(planned))
    num_busy = 0
    """Runs in a row that were found under way elsewhere."""
    while waiting:
        index, run = waiting.popleft()
        with run.workspace.lock() as lock:
            record = run.recorded()
            if record is not None:
                if lock is not None and record.failure is None:
                    run.workspace.discard_checkpoint()  # of an interrupted --rerun all
                listener.run_skipped(index, record)
            elif lock is not None:
                record = runner.run(index, run, lock)
        if record is not None:
            records[index], num_busy = record, 0
            continue
        listener.run_updated(index, Progress(phase="waiting", note="another process is at work on it"))
        waiting.append((index, run))
        num_busy += 1
        if num_busy >= len(waiting):
            time.sleep(_WAIT_SECONDS)
    return [records[index] for index in range(len(planned))]


@dataclass(frozen=True)
class _Runner:
    """Carries out one run after the other, and profiles each network before its first."""

    environment: Environment
    listener: RunListener
    starter: Starter
    limits: Limits
    profiled: dict[tuple[str, str], Job] = field(default_factory=dict)
    """First job of each architecture and provider, with the profile."""

    def run(self, index: int, run: PlannedRun, lock: Lock) -> RunRecord:
        """Carry out the run whose lock is held, from its checkpoint if it has one."""
        job, started = run.job, time.monotonic()
        self.listener.run_started(index)
        network = job.spec.architecture, job.spec.provider
        if network not in self.profiled:
            self.listener.run_updated(index, Progress(phase="profiling"))
            self.profiled[network] = _with_profile(job, self.starter, self.limits)
        checkpoint = run.workspace.checkpoint()
        note = f"goes on after step {checkpoint.step}" if checkpoint else None
        self.listener.run_updated(index, Progress(phase="starting", note=note))
        first = self.profiled[network]
        job = msgspec.structs.replace(job, profile=first.profile, profile_absent=first.profile_absent)
        on_progress = partial(self.listener.run_updated, index)
        record = isolate(job, self.environment, self.starter, self.limits, lock, on_progress)
        self.listener.run_ended(index, record, time.monotonic() - started)
        return record


def _with_profile(job: Job, starter: Starter, limits: Limits) -> Job:
    """The job with the profile of its network under its own conditions, or with the reason why there is none."""
    try:
        return msgspec.structs.replace(job, profile=probe_in_process(Probe.of(job), starter, limits))
    except ProbeError as error:
        return msgspec.structs.replace(job, profile_absent=str(error))
