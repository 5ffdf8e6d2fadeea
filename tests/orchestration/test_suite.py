"""Planned runs are executed one by one, each architecture profiled before its first. No processes here."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from intelbench.architectures.registry import load_plugin
from intelbench.data.dataset import Dataset, prepare
from intelbench.orchestration import suite
from intelbench.orchestration.job import Beat, Job
from intelbench.orchestration.plan import PlannedRun, plan
from intelbench.orchestration.probe import Probe, ProbeError
from intelbench.orchestration.suite import run_planned
from intelbench.profiling.environment import read_environment
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.suites import load_suite, override
from intelbench.records.types import Environment, Execution, RunRecord

pytestmark = pytest.mark.usefixtures("own_registry")

CPU = Execution(device="cpu", threads=1, workers=0)
ENVIRONMENT = read_environment(CPU)


class Log:
    """Takes down what it is shown, and what was probed and executed meanwhile."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.probes: list[Probe] = []
        self.jobs: list[Job] = []

    def skipped(self, index: int, record: RunRecord) -> None:
        """A run that is recorded."""
        self.events.append(("skipped", index))

    def beat(self, index: int, beat: Beat) -> None:
        """A run that is alive."""
        self.events.append((beat.phase, index))

    def ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """A run that has ended."""
        self.events.append(("ended", index))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, failed_record: RunRecord) -> Log:
    """Probes find a profile of each network but `tiny_twin`, and every run diverges."""
    log = Log()

    def probe_in_process(probe: Probe, timeout: float | None) -> ArchitectureProfile:
        assert 60 == timeout
        log.probes.append(probe)
        if probe.architecture == "tiny_twin":
            raise ProbeError("tiny_twin cannot be profiled: status 7")
        assert failed_record.profile is not None
        return msgspec.structs.replace(failed_record.profile, architecture=probe.architecture)

    def isolate(job: Job, environment: Environment, timeout: float | None, watch: Callable[[Beat], None]) -> RunRecord:
        assert (ENVIRONMENT, 60) == (environment, timeout)
        log.jobs.append(job)
        watch(Beat(phase="training"))
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
    return plan(small, dataset, CPU, ENVIRONMENT, runs=tmp_path / "runs", plugins=(plugin,))


def test_each_architecture_is_profiled_before_its_first_run(log: Log, planned: list[PlannedRun], plugin: Path) -> None:
    """Under the conditions of its runs and at their batch size; all its runs are given the same profile, or reason."""
    assert 4 == len(run_planned(planned, ENVIRONMENT, log, timeout=60))
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
    runs = [PlannedRun(run.job, failed_record if run.job.spec.architecture == "tiny" else None) for run in planned]
    assert 4 == len(run_planned(runs, ENVIRONMENT, log, timeout=60))
    assert ["tiny_twin"] == [probe.architecture for probe in log.probes]
    assert 2 == len([event for event, _ in log.events if event == "skipped"])
