"""Planned runs are executed one by one, each architecture profiled before its first. No processes here."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import Dataset, prepare
from intelbench.orchestration import suite
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.listeners import RunListener
from intelbench.orchestration.plan import PlannedRun, PlanOptions, plan
from intelbench.orchestration.probe import Probe, ProbeError
from intelbench.orchestration.process import FreshPython, Limits, Starter
from intelbench.orchestration.suite import run_planned
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import read_environment
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.store import write_run
from intelbench.records.types import Environment, Execution, RunRecord
from intelbench.records.workspace import Workspace

pytestmark = pytest.mark.usefixtures("own_registry")

CPU = Execution(device="cpu", threads=1, workers=0)
ENVIRONMENT = read_environment(CPU)
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


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, failed_record: RunRecord) -> Log:
    """Probes find a profile of each network but `tiny_twin`, and every run diverges."""
    log = Log()

    def probe_in_process(probe: Probe, starter: Starter, limits: Limits) -> ArchitectureProfile:
        assert (STARTER, LIMITS) == (starter, limits)
        log.probes.append(probe)
        if probe.architecture == "tiny_twin":
            raise ProbeError("tiny_twin cannot be profiled: status 7")
        assert failed_record.profile is not None
        return msgspec.structs.replace(failed_record.profile, architecture=probe.architecture)

    def isolate(
        job: Job,
        environment: Environment,
        starter: Starter,
        limits: Limits,
        lock: int,
        on_progress: Callable[[Progress], None],
    ) -> RunRecord:
        assert (ENVIRONMENT, STARTER, LIMITS) == (environment, starter, limits)
        assert Workspace(Path(job.runs), job.run_id).locked
        log.jobs.append(job)
        on_progress(Progress(phase="training"))
        return failed_record

    monkeypatch.setattr(suite, "probe_in_process", probe_in_process)
    monkeypatch.setattr(suite, "isolate", isolate)
    return log


@pytest.fixture
def planned(small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path) -> list[PlannedRun]:
    """Two networks, two seeds."""
    load_plugin(plugin)
    small = override(load_suite(str(small_suite)), seeds=(0, 1))
    dataset: Dataset = prepare(str(small_folder), small.conditions, tmp_path / "cache")
    return plan(small, dataset, CPU, ENVIRONMENT, runs=tmp_path / "runs")


def test_each_architecture_is_profiled_before_its_first_run(log: Log, planned: list[PlannedRun], plugin: Path) -> None:
    """Under the conditions of its runs and at their batch size; all its runs are given the same profile, or reason."""
    assert 4 == len(run_planned(planned, ENVIRONMENT, log, STARTER, LIMITS))
    assert [
        *(("profiling", 0), ("starting", 0), ("training", 0), ("ended", 0)),
        *(("profiling", 1), ("starting", 1), ("training", 1), ("ended", 1)),
        *(("starting", 2), ("training", 2), ("ended", 2)),
        *(("starting", 3), ("training", 3), ("ended", 3)),
    ] == log.events
    spec = planned[0].job.spec
    assert [("tiny", 2, (8,), (str(plugin),), spec.conditions, CPU)] == [
        (each.architecture, each.num_classes, each.batch_sizes, each.plugins, each.conditions, each.execution)
        for each in log.probes[:1]
    ]
    assert ["tiny", "tiny_twin"] == [probe.architecture for probe in log.probes]
    assert not any(probe.frozen or probe.memories for probe in log.probes)
    reason = "tiny_twin cannot be profiled: status 7"
    assert [("tiny", None), (None, reason), ("tiny", None), (None, reason)] == [
        (job.profile and job.profile.architecture, job.profile_absent) for job in log.jobs
    ]
    assert [run.job for run in planned] == [
        msgspec.structs.replace(job, profile=None, profile_absent=None) for job in log.jobs
    ]


def test_a_network_whose_runs_are_recorded_is_not_profiled(
    log: Log, planned: list[PlannedRun], failed_record: RunRecord
) -> None:
    """Nor run."""
    for run in planned:
        if run.job.spec.architecture == "tiny":
            write_run(run.workspace.runs, msgspec.structs.replace(failed_record, run_id=run.job.run_id), {})
    assert 4 == len(run_planned(planned, ENVIRONMENT, log, STARTER, LIMITS))
    assert ["tiny_twin"] == [probe.architecture for probe in log.probes]
    assert 2 == len([event for event, _ in log.events if event == "skipped"])


def test_a_run_that_another_process_has_begun_is_left_to_it(
    log: Log, planned: list[PlannedRun], failed_record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are made first; then its record is waited for, and taken over."""
    theirs = planned[1]
    begun = ExitStack()
    begun.enter_context(theirs.workspace.lock())

    def end(_: float) -> None:
        assert [planned[index].job.spec for index in (0, 2, 3)] == [job.spec for job in log.jobs]
        write_run(theirs.workspace.runs, msgspec.structs.replace(failed_record, run_id=theirs.job.run_id), {})
        begun.close()

    monkeypatch.setattr(time, "sleep", end)
    records = run_planned(planned, ENVIRONMENT, log, STARTER, LIMITS)
    assert theirs.job.run_id == records[1].run_id
    assert 3 == len(log.jobs)
    assert [1] == [index for event, index in log.events if event == "skipped"]


def test_a_run_that_another_process_gave_up_is_made(
    log: Log, planned: list[PlannedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is free and there is no record."""
    begun = ExitStack()
    begun.enter_context(planned[1].workspace.lock())
    monkeypatch.setattr(time, "sleep", lambda _: begun.close())
    run_planned(planned, ENVIRONMENT, log, STARTER, LIMITS)
    assert [planned[index].job.spec for index in (0, 2, 3, 1)] == [job.spec for job in log.jobs]


def test_a_record_that_was_made_since_the_runs_were_planned_stands(
    log: Log, small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path, failed_record: RunRecord
) -> None:
    """Also where everything is to be made again: it has just been."""
    load_plugin(plugin)
    suite = load_suite(str(small_suite))
    dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
    planned = plan(suite, dataset, CPU, ENVIRONMENT, runs=tmp_path / "runs", options=PlanOptions(rerun="all"))
    first = planned[0]
    write_run(first.workspace.runs, msgspec.structs.replace(failed_record, run_id=first.job.run_id), {})
    run_planned(planned, ENVIRONMENT, log, STARTER, LIMITS)
    assert [planned[1].job.spec] == [job.spec for job in log.jobs]
