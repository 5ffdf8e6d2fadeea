"""Run what is planned, one run at a time: two at once would disturb each other's clocks."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from intelbench.orchestration.isolate import isolate
from intelbench.orchestration.job import Beat
from intelbench.orchestration.plan import PlannedRun
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
    planned: Sequence[PlannedRun], environment: Environment, display: Display, *, timeout: float | None, rerun: bool
) -> list[RunRecord]:
    """Execute every planned run that has no record, or every one if `rerun`, and return the records of all."""
    records = []
    for index, run in enumerate(planned):
        if run.recorded is not None and not rerun:
            display.skipped(index, run.recorded)
            records.append(run.recorded)
            continue
        started = time.monotonic()
        display.beat(index, Beat(phase="starting"))
        record = isolate(run.job, environment, timeout, partial(display.beat, index))
        display.ended(index, record, time.monotonic() - started)
        records.append(record)
    return records
