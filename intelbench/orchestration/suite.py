"""Run what is planned, one run at a time: two at once would disturb each other's clocks."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import msgspec

from intelbench.orchestration.isolate import isolate
from intelbench.orchestration.job import Beat, Job
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.probe import Probe, ProbeError, probe_in_process
from intelbench.records.types import Environment, RunRecord


class Display(Protocol):
    """Whoever shows the user how it goes; runs are named by their place in the plan."""

    def skipped(self, index: int, record: RunRecord) -> None:
        """The run is recorded already."""
        ...

    def beat(self, index: int, beat: Beat) -> None:
        """The run is alive."""
        ...

    def ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """The run has left its record, after so many seconds of wall clock."""
        ...


def run_planned(
    planned: Sequence[PlannedRun], environment: Environment, display: Display, *, timeout: float | None
) -> list[RunRecord]:
    """Execute every planned run that has no record, and return the records of all.

    An architecture is profiled before its first run; all its runs record that.
    """
    records = []
    profiled: dict[tuple[str, str], Job] = {}
    """First job of each architecture and provider, with the profile."""
    for index, run in enumerate(planned):
        if run.recorded is not None:
            display.skipped(index, run.recorded)
            records.append(run.recorded)
            continue
        started = time.monotonic()
        network = run.job.spec.architecture, run.job.spec.provider
        if network not in profiled:
            display.beat(index, Beat(phase="profiling"))
            profiled[network] = _with_profile(run.job, timeout)
        display.beat(index, Beat(phase="starting"))
        first = profiled[network]
        job = msgspec.structs.replace(run.job, profile=first.profile, profile_absent=first.profile_absent)
        record = isolate(job, environment, timeout, partial(display.beat, index))
        display.ended(index, record, time.monotonic() - started)
        records.append(record)
    return records


def _with_profile(job: Job, timeout: float | None) -> Job:
    """The job with the profile of its network under its own conditions, or with the reason why there is none."""
    spec = job.spec
    probe = Probe(
        architecture=spec.architecture,
        plugins=job.plugins,
        num_classes=len(spec.data.class_names),
        conditions=spec.conditions,
        execution=spec.execution,
        frozen=spec.conditions.recipe.freeze_backbone == "always",
        batch_sizes=(spec.conditions.recipe.batch_size,),
    )
    try:
        return msgspec.structs.replace(job, profile=probe_in_process(probe, timeout))
    except ProbeError as error:
        return msgspec.structs.replace(job, profile_absent=str(error))
