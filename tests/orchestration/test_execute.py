"""A run from data to record in this process: on a fake GPU, and with the errors of full memory."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import prepare
from intelbench.errors import HostError
from intelbench.orchestration import execute as executing
from intelbench.orchestration.execute import execute
from intelbench.orchestration.forkserver import ForkServer
from intelbench.orchestration.job import REFUSED, Job, Progress
from intelbench.orchestration.plan import plan
from intelbench.orchestration.probe import Probe, measure_steps
from intelbench.orchestration.process import Limits, Process
from intelbench.orchestration.verify import Request, _as_executed, _job
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import choose_execution, read_environment
from intelbench.records.profiles import Preparation
from intelbench.records.store import StoredRun, write_run
from intelbench.records.types import Execution, RunRecord
from intelbench.records.workspace import Checkpoint
from tests.fake_cuda import NAME, FakeCuda
from tests.reading import read_runs
from tests.synthetic import Study, synthetic_run

CPU = Execution(device="cpu", threads=1, workers=0)
MakeJob = Callable[..., Job]
RECORD_WITH_STEPS, _ = synthetic_run("resnet101", 0, Study())


@pytest.fixture
def make_job(small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path) -> MakeJob:
    """The job of a small network, executed so."""
    load_plugin(plugin)

    def make(execution: Execution, name: str = "tiny", precision: str = "fp32", step: str = "eager") -> Job:
        suite = override(load_suite(str(small_suite)), architectures=(name,))
        suite = msgspec.structs.replace(suite, precision=precision, step=step)
        dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
        runs = tmp_path / f"runs-{execution.device}"
        (planned,) = plan(suite, dataset, execution, read_environment(execution), runs=runs)
        return planned.job

    return make


def finished(record: RunRecord) -> RunRecord:
    """A run that did not fail."""
    assert record.failure is None, record.failure
    assert record.measurements is not None
    return record


def test_a_machine_of_another_kind_records_nothing(make_job: MakeJob, server: ForkServer) -> None:
    """Whether the run was planned for another one, or has a checkpoint of another one: both are refused by name."""
    job = make_job(CPU)
    other = msgspec.structs.replace(job.environment, cpu="Z80")
    planned = msgspec.structs.replace(job, environment=other)
    with Process("intelbench.orchestration.child", planned, server, Limits()) as process:
        assert [] == list(process.answers())
    assert REFUSED == process.returncode
    assert f": cpu is {job.environment.cpu}, that of the study is Z80; " in process.last_words
    with job.workspace.lock():
        checkpoint = Checkpoint(step=3, done=0.5, spec=job.spec, environment=other)
        job.workspace.save(checkpoint, lambda file: file.write(b"state"))
    with pytest.raises(HostError, match=r"^host .*: checkpoint .*: environment.cpu was Z80, is "):
        execute(job, lambda _: None)
    assert not job.workspace.target.exists()


def test_code_that_was_edited_after_the_plan_records_nothing(make_job: MakeJob, server: ForkServer) -> None:
    """The record would say that the run is of the code that was planned."""
    job = make_job(CPU)
    planned = msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, provider="tiny.py sha256:0"))
    with Process("intelbench.orchestration.child", planned, server, Limits()) as process:
        assert [] == list(process.answers())
    assert REFUSED == process.returncode
    assert f"'tiny' is provided by {job.spec.provider}, that of the study by tiny.py sha256:0; " in process.last_words
    assert "a plug-in was edited after the run was planned; the same command again" in process.last_words
    assert not job.workspace.target.exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.usefixtures("little_work")
def test_a_run_on_the_fake_gpu_is_that_on_its_processor(
    make_job: MakeJob, precision: str, request: pytest.FixtureRequest
) -> None:
    """To the bit, from training to test; what a GPU alone tells is in the record."""
    reference, expected = execute(make_job(CPU, precision=precision), lambda _: None)
    finished(reference)
    fake = request.getfixturevalue("fake_cuda")
    fake.allocate(5000)
    chosen = choose_execution("cuda", 1, 2, cache=True, precision=precision)
    record, traces = execute(make_job(chosen, precision=precision), lambda _: None)
    measured = finished(record).measurements
    assert measured is not None
    for name in ("step_loss", "gradient_norm", "validation_logits", "test_logits"):
        np.testing.assert_array_equal(expected[name], traces[name])
    assert reference.stream_digests == record.stream_digests
    assert ("cuda", NAME) == (record.spec.execution.device, record.environment.device_name)
    assert measured.peak_memory.cuda_allocated_bytes == fake.peak
    assert measured.peak_memory.process_bytes is None
    assert "nvml" == measured.energy.source
    assert "step_breakdown_host_seconds" in traces
    assert fake.calls["synchronize"] > 0


@pytest.mark.usefixtures("little_work")
def test_a_run_records_how_its_steps_were_carried_out(make_job: MakeJob, request: pytest.FixtureRequest) -> None:
    """Another run than the eager one, with its bits; where there are no graphs, why, and the user is told."""
    updates: list[Progress] = []
    eager, expected = execute(make_job(CPU), lambda _: None)
    without, traces = execute(make_job(CPU, step="graph"), updates.append)
    assert finished(eager).measurements.preparation is None
    assert "a CUDA graph needs a CUDA device, and this one is cpu" == without.measurements.preparation.fallback
    note = "steps are eager, not graph: a CUDA graph needs a CUDA device, and this one is cpu"
    assert {note} == {progress.note for progress in updates if progress.phase == "training"}
    request.getfixturevalue("fake_cuda")
    job = make_job(choose_execution("cuda", 1, 2, cache=True), step="graph")
    graph, replayed = execute(job, lambda _: None)
    assert (1, None) == (graph.measurements.preparation.num_prepared, graph.measurements.preparation.fallback)
    assert 3 == len({record.run_id for record in (eager, without, graph)})
    for name in ("step_loss", "gradient_norm", "validation_logits", "test_logits"):
        np.testing.assert_array_equal(expected[name], traces[name])
        np.testing.assert_array_equal(expected[name], replayed[name])


@pytest.mark.usefixtures("little_work")
def test_a_diverged_run_records_how_its_steps_were_carried_out(make_job: MakeJob) -> None:
    """As a finished one: its steps were prepared before the loss was not finite."""
    job = make_job(CPU, step="graph")
    recipe = msgspec.structs.replace(job.spec.conditions.recipe, learning_rate=1e38)
    conditions = msgspec.structs.replace(job.spec.conditions, recipe=recipe)
    spec = msgspec.structs.replace(job.spec, conditions=conditions)
    failure = execute(msgspec.structs.replace(job, spec=spec), lambda _: None)[0].failure
    assert failure is not None
    assert "diverged" == failure.cause
    assert failure.preparation is not None
    assert "a CUDA graph needs a CUDA device, and this one is cpu" == failure.preparation.fallback


def test_steps_are_verified_as_they_were_carried_out(make_job: MakeJob) -> None:
    """Eager ones where the record has eager ones, whatever this machine could compile."""
    job = make_job(CPU, step="compile")
    record = RECORD_WITH_STEPS
    for preparation, step in (
        (None, "compile"),
        (Preparation(num_prepared=1, seconds=1.0), "compile"),
        (Preparation(num_prepared=1, seconds=1.0, fallback="no compiler"), "compile"),
        (Preparation(num_prepared=0, seconds=1.0, fallback="no compiler"), "eager"),
    ):
        measurements = msgspec.structs.replace(record.measurements, preparation=preparation)
        recorded = msgspec.structs.replace(record, measurements=measurements)
        assert step == _as_executed(job, recorded).spec.conditions.step


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "out_of_memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), "error"),
    ],
)
def test_a_full_gpu_is_out_of_memory_however_it_says_so(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str
) -> None:
    """By the words of the driver and of cuBLAS too."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(executing, "build_training_setup", fail)
    record, _ = execute(make_job(CPU), lambda _: None)
    assert record.failure is not None
    assert (cause, f"{type(error).__name__}: {error}") == (record.failure.cause, record.failure.message)


@pytest.mark.usefixtures("little_work")
def test_a_probe_measures_on_the_fake_gpu(make_job: MakeJob, fake_cuda: FakeCuda) -> None:
    """Its peak is the allocator's, and what it has cached is given back."""
    probe = Probe.of(make_job(choose_execution("cuda", 1, 0, cache=True)))
    (found,) = measure_steps(probe)
    assert found.peak is not None
    assert fake_cuda.peak == found.peak.cuda_allocated_bytes
    assert 1 == fake_cuda.calls["empty_cache"]


def test_a_probe_measures_the_share_of_one_gpu(make_job: MakeJob) -> None:
    """Of two GPUs, each has half of the images, in half of the parts."""
    job, replace = make_job(CPU), msgspec.structs.replace
    recipe = replace(job.spec.conditions.recipe, batch_size=16, shards=4, micro_batches=2)
    conditions = replace(job.spec.conditions, recipe=recipe)
    probe = Probe.of(replace(job, spec=replace(job.spec, conditions=conditions, execution=replace(CPU, gpus=2))))
    assert ((8,), 4) == (probe.batch_sizes, probe.workload.num_parts)


@pytest.mark.parametrize("message", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"])
@pytest.mark.usefixtures("little_work", "fake_cuda")
def test_a_batch_that_fills_the_gpu_does_not_fit(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    """Whatever the library says; another error is the probe's own."""

    def fail(*_: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr("intelbench.orchestration.probe._peak", fail)
    probe = Probe.of(make_job(choose_execution("cuda", 1, 0, cache=True)))
    assert ["does not fit"] == [found.failure for found in measure_steps(probe)]
    message = "an illegal memory access was encountered"
    with pytest.raises(RuntimeError, match="illegal"):
        list(measure_steps(probe))


@pytest.mark.usefixtures("little_work")
def test_a_gpus_run_is_verified_on_a_gpu_where_there_is_one(
    make_job: MakeJob, fake_cuda: FakeCuda, tmp_path: Path, small_folder: Path
) -> None:
    """And on the processor where there is none."""
    job = make_job(choose_execution("cuda", 1, 0, cache=True))
    record, traces = execute(job, lambda _: None)
    write_run(tmp_path / "runs-cuda", finished(record), traces)
    (stored,), _ = read_runs(tmp_path / "runs-cuda")
    assert isinstance(stored, StoredRun)
    request = Request(record=stored.path, steps=3, data=str(small_folder), plugins=(), cache_folder=tmp_path / "cache")
    assert "cuda" == _job(request, stored).spec.execution.device
    fake_cuda.num_devices = 0
    assert "cpu" == _job(request, stored).spec.execution.device
