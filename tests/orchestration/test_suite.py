"""Planned runs are executed by an engine, each architecture profiled before its first. No processes here."""

import heapq
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import Dataset, prepare
from intelbench.errors import HostError, UserError
from intelbench.orchestration import shared, suite
from intelbench.orchestration.engines import ENGINES
from intelbench.orchestration.isolate import Unit
from intelbench.orchestration.job import Progress
from intelbench.orchestration.plan import PlannedRun, PlanOptions, plan
from intelbench.orchestration.probe import Probe, ProbeError
from intelbench.orchestration.process import Limits, Starter
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import read_environment
from intelbench.records.profiles import ArchitectureProfile
from intelbench.records.store import write_run
from intelbench.records.types import Execution, RunRecord
from intelbench.records.workspace import Checkpoint
from tests.orchestration.fake_engine import LIMITS, STARTER, Fake, Log, execute

CPU = Execution(device="cpu", threads=1, workers=0)
ENVIRONMENT = read_environment(CPU)


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

    monkeypatch.setattr(shared, "probe_in_process", probe_in_process)
    return log


@pytest.fixture
def fake(log: Log, failed_record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The engine `fake`."""
    fake = Fake(log, failed_record)
    ENGINES.add(lambda: fake, "fake", function=Fake)
    monkeypatch.setattr(suite, "_BUSY_SECONDS", 0.0)
    return fake


@pytest.fixture
def planned(small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path) -> list[PlannedRun]:
    """Two networks, two seeds."""
    load_plugin(plugin)
    small = override(load_suite(str(small_suite)), seeds=(0, 1))
    dataset: Dataset = prepare(str(small_folder), small.conditions, tmp_path / "cache")
    return plan(small, dataset, CPU, ENVIRONMENT, runs=tmp_path / "runs", options=PlanOptions(limits=LIMITS))


def test_each_architecture_is_profiled_before_its_first_run(
    log: Log, fake: Fake, planned: list[PlannedRun], plugin: Path
) -> None:
    """Under the conditions of its runs and at their batch size; all its runs are given the same profile, or reason."""
    assert 4 == len(execute(planned, log))
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
        msgspec.structs.replace(job, profile=None, profile_absent=None, claim=b"") for job in log.jobs
    ]


def test_a_network_whose_runs_are_recorded_is_not_profiled(
    log: Log, fake: Fake, planned: list[PlannedRun], failed_record: RunRecord
) -> None:
    """Nor run."""
    for run in planned:
        if run.job.spec.architecture == "tiny":
            write_run(run.job.workspace.runs, msgspec.structs.replace(failed_record, run_id=run.job.run_id), {})
    assert 4 == len(execute(planned, log))
    assert ["tiny_twin"] == [probe.architecture for probe in log.probes]
    assert 2 == len([event for event, _ in log.events if event == "skipped"])


def test_a_run_that_another_process_has_begun_is_left_to_it(
    log: Log, fake: Fake, planned: list[PlannedRun], failed_record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are made first; then its record is waited for, and taken over."""
    theirs = planned[1]
    begun = ExitStack()
    begun.enter_context(theirs.job.workspace.lock())

    def end(_: float) -> None:
        assert [planned[index].job.spec for index in (0, 2, 3)] == [job.spec for job in log.jobs]
        write_run(theirs.job.workspace.runs, msgspec.structs.replace(failed_record, run_id=theirs.job.run_id), {})
        begun.close()

    monkeypatch.setattr(time, "sleep", end)
    records = execute(planned, log)
    assert theirs.job.run_id == records[1].run_id
    assert 3 == len(log.jobs)
    assert [1] == [index for event, index in log.events if event == "skipped"]


def test_a_run_that_another_process_gave_up_is_made(
    log: Log, fake: Fake, planned: list[PlannedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is free and there is no record."""
    begun = ExitStack()
    begun.enter_context(planned[1].job.workspace.lock())
    monkeypatch.setattr(time, "sleep", lambda _: begun.close())
    execute(planned, log)
    assert [planned[index].job.spec for index in (0, 2, 3, 1)] == [job.spec for job in log.jobs]


def test_a_record_that_was_made_since_the_runs_were_planned_stands(
    log: Log, fake: Fake, small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path, failed_record: RunRecord
) -> None:
    """Also where everything is to be made again: it has just been."""
    load_plugin(plugin)
    suite = load_suite(str(small_suite))
    dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
    planned = plan(
        suite, dataset, CPU, ENVIRONMENT, runs=tmp_path / "runs", options=PlanOptions(rerun="all", limits=LIMITS)
    )
    first = planned[0]
    write_run(first.job.workspace.runs, msgspec.structs.replace(failed_record, run_id=first.job.run_id), {})
    execute(planned, log)
    assert [planned[1].job.spec] == [job.spec for job in log.jobs]


def test_an_engine_with_slots_executes_several_runs_at_once(log: Log, fake: Fake, planned: list[PlannedRun]) -> None:
    """The next ones start when slots are free; records and events are of the right runs."""
    fake.slots = 2
    records = execute(planned, log)
    assert [run.job.run_id for run in planned] == [record.run_id for record in records]
    assert [("training", 0), ("training", 1), ("ended", 0), ("ended", 1)] == [
        (event, index) for event, index in log.events if index < 2 and event in ("training", "ended")
    ]
    assert not any(run.job.workspace.folder.exists() for run in planned)


def test_slots_are_busy_until_few_runs_are_left(
    log: Log, fake: Fake, small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """32 runs of about a second in 8 slots take at most 1.1 times as long as without a pause between them.

    The clock is that of the loop, which only waiting moves.
    """
    load_plugin(plugin)
    small = override(load_suite(str(small_suite)), architectures=("tiny",), seeds=tuple(range(32)))
    dataset = prepare(str(small_folder), small.conditions, tmp_path / "cache")
    planned = plan(small, dataset, CPU, ENVIRONMENT, runs=tmp_path / "runs", options=PlanOptions(limits=LIMITS))
    seconds = {run.job.run_id: 0.9 + 0.2 * (7 * index % 32) / 31 for index, run in enumerate(planned)}
    now, ends = 0.0, dict[str, float]()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def has_ended(unit: Unit) -> bool:
        if now < ends[unit.job.run_id]:
            return False
        fake.diverge(unit)
        return True

    fake.slots = 8
    fake.behave = lambda unit: ends.update({unit.job.run_id: now + seconds[unit.job.run_id]})
    monkeypatch.setattr(fake, "has_ended", has_ended)
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert 32 == len(execute(planned, log))
    slots = [0.0] * 8
    for run in planned:
        heapq.heapreplace(slots, slots[0] + seconds[run.job.run_id])
    assert 4 < max(slots) < now < 1.1 * max(slots)


def test_a_run_without_a_record_has_failed(log: Log, fake: Fake, planned: list[PlannedRun]) -> None:
    """If it is lost three times; the failure names the engine, and the other runs are executed."""
    lost = planned[0].job.run_id
    hosts = iter(range(1, 4))

    def behave(unit: Unit) -> None:
        if unit.job.run_id != lost:
            fake.diverge(unit)
        else:
            unit.ending = f"host {next(hosts)} is gone"

    fake.behave = behave
    records = execute(planned, log)
    said = "engine 'fake' has lost the run 3 times (host 1 is gone, host 2 is gone, host 3 is gone), the last one while"
    assert [("lost", f"{said} training"), *["diverged"] * 3] == [
        (failure.cause, failure.message) if failure.cause == "lost" else failure.cause
        for record in records
        if (failure := record.failure)
    ]


def stop(unit: Unit, step: int) -> None:
    """Stop a run as a scheduler does, after it has saved a checkpoint of a step; 0 saves none."""
    if step:
        about = Checkpoint(step=step, done=0.1, spec=unit.job.spec, environment=unit.job.environment)
        unit.job.workspace.save(about, lambda file: file.write(b"state"))
    unit.ending = "job 7: TIMEOUT"
    unit.report(Progress(phase="stopped"))


def test_a_run_whose_worker_was_stopped_is_started_again(log: Log, fake: Fake, planned: list[PlannedRun]) -> None:
    """As often as that happens after a newer checkpoint, as by preemption; no record says that it failed."""
    stops = 5

    def behave(unit: Unit) -> None:
        stop(unit, len(log.jobs)) if len(log.jobs) <= stops else fake.diverge(unit)

    fake.behave = behave
    records = execute(planned[:1], log)
    assert (["diverged"], stops + 1) == ([record.failure.cause for record in records], len(log.jobs))


def test_a_run_that_gets_nowhere_is_not_started_for_ever(log: Log, fake: Fake, planned: list[PlannedRun]) -> None:
    """A time limit that ends before each checkpoint; those that were saved before do not count again."""
    fake.behave = lambda unit: stop(unit, [0, 3, 3, 0][len(log.jobs) - 1])
    [record] = execute(planned[:1], log)
    assert 4 == len(log.jobs)
    assert record.failure is not None
    assert "lost" == record.failure.cause
    said = "TIMEOUT before a newer checkpoint"
    assert 3 == record.failure.message.count(said)
    checkpoint = planned[0].job.workspace.checkpoint()
    assert checkpoint is not None
    assert 3 == checkpoint.step


def test_a_run_whose_memory_was_full_has_failed(log: Log, fake: Fake, planned: list[PlannedRun]) -> None:
    """By itself: it is not started again, since it would fail again."""

    def behave(unit: Unit) -> None:
        unit.ending, unit.is_out_of_memory = "job 7: OUT_OF_MEMORY", True

    fake.behave = behave
    [record] = execute(planned[:1], log)
    assert 1 == len(log.jobs)
    assert record.failure is not None
    said = "job 7: OUT_OF_MEMORY: memory was full while training"
    assert ("out_of_memory", said) == (record.failure.cause, record.failure.message)


def test_a_run_that_somebody_cancels_is_left(log: Log, fake: Fake, planned: list[PlannedRun]) -> None:
    """It has no record and is not started again; the others are executed, and at last it is named."""
    cancelled = planned[0].job.run_id

    def behave(unit: Unit) -> None:
        if unit.job.run_id == cancelled:
            unit.ending, unit.is_cancelled = "job 7: CANCELLED", True
        else:
            fake.diverge(unit)

    fake.behave = behave
    with pytest.raises(HostError, match=r"^tiny, seed 0: job 7: CANCELLED; the same command again starts it$"):
        execute(planned, log)
    assert 4 == len(log.jobs)
    assert 3 == len(list(planned[0].job.workspace.runs.iterdir()))


def test_a_run_that_no_host_can_execute_has_no_record(log: Log, fake: Fake, planned: list[PlannedRun]) -> None:
    """It is tried three times, the others are executed, and at last the host and the reason are named."""
    refused = planned[1].job

    def behave(unit: Unit) -> None:
        if unit.job.run_id == refused.run_id:
            unit.report(Progress(phase="refused", note="host n7: cpu is A, that of the study is B"))
        else:
            fake.diverge(unit)

    fake.behave = behave
    with pytest.raises(HostError, match=r"^tiny_twin, seed 0: host n7: cpu is A, that of the study is B$"):
        execute(planned, log)
    assert 3 == [job.run_id for job in log.jobs].count(refused.run_id)
    assert [False, True] == [refused.workspace.target.exists(), planned[3].job.workspace.target.exists()]
    assert not refused.workspace.folder.exists()


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (ValueError("full"), UserError, r"engine 'fake': failed with ValueError: full \(fake_engine\.py:\d+\)"),
        (SystemExit(3), UserError, r"engine 'fake': failed with SystemExit: 3 \(fake_engine\.py:\d+\)"),
        (UserError("no such queue"), UserError, "no such queue"),
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
    ],
)
def test_an_error_of_the_engine_cancels_what_it_has_started(
    log: Log, fake: Fake, planned: list[PlannedRun], error: BaseException, raised: type[BaseException], says: str
) -> None:
    """So does Ctrl-C. The error names the engine, and no lock is held."""
    fake.slots = 3

    def behave(_: Unit) -> None:
        if len(log.jobs) == 2:
            raise error

    fake.behave = behave
    with pytest.raises(raised, match=f"^{says}$"):
        execute(planned, log)
    assert [planned[0].job.run_id] == fake.cancelled
    assert not any(run.job.workspace.folder.exists() for run in planned)
