"""Execute one run: the one place where data, network, training and profiling meet."""

import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from intelbench.architectures.generators import seed_generators
from intelbench.data.dataset import Split
from intelbench.data.seeds import stream_seed
from intelbench.data.split import stratified_subset
from intelbench.errors import UserError
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.network import Trainee, flops_of_run, flops_of_step, set_up
from intelbench.profiling.complexity import count_parameters
from intelbench.profiling.device import is_out_of_memory
from intelbench.profiling.environment import read_environment
from intelbench.profiling.meters import Meters
from intelbench.profiling.steps import LapClock
from intelbench.records.store import Traces
from intelbench.records.types import SCHEMA_VERSION, Failure, FailureCause, Measurements, RunRecord
from intelbench.records.workspace import Checkpoint, Workspace
from intelbench.training.anatomy import dissect
from intelbench.training.budget import TrainingBudget
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.evaluate import Evaluator
from intelbench.training.loop import Step, Trained, train
from intelbench.training.precision import compute_dtype, configure

_GRADIENT_IMAGES = 64
"""Validation images, at most, whose gradients are looked at: a backward pass costs twice as much as a forward pass.

Twice as many found 1 % fewer filters without a gradient in AlexNet, and as many in four other networks."""
_DETAILS = 4000
"""Characters of a traceback that a failure record keeps."""


def execute(job: Job, on_progress: Callable[[Progress], None]) -> tuple[RunRecord, Traces]:
    """Carry out the run and return its record and arrays; whatever goes wrong inside is a failure record."""
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=job.run_id,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        spec=job.spec,
        environment=read_environment(job.spec.execution),
        stream_digests={},
        profile=job.profile,
        profile_absent=job.profile_absent,
        failure=Failure(cause="error", message="the run has not ended", step=None),
    )
    last_step: int | None = None

    def follow(progress: Progress) -> None:
        nonlocal last_step
        last_step = progress.step if progress.phase == "training" else last_step
        on_progress(progress)

    try:
        return _run(job, record, follow)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a failure is a result, whatever it is
        failure = Failure(
            cause=_cause(error),
            message=str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}",
            step=last_step,
            details=traceback.format_exc()[-_DETAILS:],
        )
        return msgspec.structs.replace(record, failure=failure), {}


def _run(job: Job, record: RunRecord, on_progress: Callable[[Progress], None]) -> tuple[RunRecord, Traces]:
    started = time.perf_counter()
    spec, conditions = job.spec, job.spec.conditions
    on_progress(Progress(phase="building"))
    device = configure(conditions, spec.execution)
    meters = Meters(device, compute_dtype(conditions), started)
    trainee = set_up(job, record.environment, device, lambda: on_progress(Progress(phase="extracting features")))
    evaluator, backbone = trainee.evaluator, trainee.backbone
    flops = job.profile.training_flops_per_image if job.profile else flops_of_step(trainee.workload)
    budget = TrainingBudget.of(
        conditions.budget,
        batch_size=conditions.recipe.batch_size,
        steps_per_epoch=trainee.stream.steps_per_epoch,
        flops_per_image=flops,
    )
    about = Checkpoint(step=0, done=0.0, spec=spec, environment=record.environment)
    checkpoints = Checkpoints(Workspace(Path(job.runs), job.run_id), about, job.checkpoint, device)
    checkpoints.hold(meters=meters)
    updates = _progress_of_steps(conditions.recipe.batch_size)

    def observe(step: Step) -> None:
        meters.step(step.number, at_evaluation=step.at_evaluation)
        eager = f"its steps are eager, not of the kind {conditions.step}: {step.fallback}" if step.fallback else None
        on_progress(msgspec.structs.replace(updates(step), note=checkpoints.problem or eager))

    meters.start()
    seed_generators(stream_seed(spec.seed, "dropout"))
    trained = train(
        evaluator.model,
        trainee.workload.architecture,
        trainee.batches,
        job.dataset.validation,
        evaluator,
        budget,
        clock=LapClock(device),
        workers=spec.execution.workers,
        on_step=observe,
        backbone=backbone,
        checkpoints=checkpoints,
    )
    record = msgspec.structs.replace(record, stream_digests=trained.stream_digests)
    if trained.divergence:
        failure = Failure(cause="diverged", message=f"{trained.divergence}: not finite", step=trained.num_steps)
        return msgspec.structs.replace(record, failure=failure), trained.traces

    on_progress(Progress(phase="testing", step=trained.num_steps, done=1.0, seconds=trained.seconds))
    flops = flops_of_run(trainee, flops, trained.num_steps)
    measurements, traces = _conclude(job, trained, meters, evaluator, flops)
    if "anatomy_seconds" not in traces:
        traces = {**traces, **_breakdown_after(trainee, trained, spec.execution.workers)}
    return msgspec.structs.replace(record, measurements=measurements, failure=None), traces


def _breakdown_after(trainee: Trainee, trained: Trained, workers: int) -> Traces:
    """Take further steps for the parts of a step, where the clock of the run has not told them apart."""
    backbone = trainee.backbone
    return dissect(
        trainee.evaluator.model,
        trainee.workload.architecture,
        trainee.batches if backbone.always_frozen else trainee.stream,
        trainee.evaluator,
        workers=workers,
        step_seconds=trained.seconds / trained.num_steps,
        backbone=backbone.as_left(),
    )


def _conclude(
    job: Job, trained: Trained, meters: Meters, evaluator: Evaluator, flops: float | None
) -> tuple[Measurements, Traces]:
    """Evaluate what was trained, and put together all that was observed."""
    found = meters.read()
    conditions, dataset, model = job.spec.conditions, job.dataset, evaluator.model
    traces = {
        **trained.traces,
        **_outcome("train", evaluator, _evaluated_part(dataset.train, conditions.training_evaluation_images)),
        **_outcome("test", evaluator, dataset.test),
        **found.traces,
    }
    num_parameters, num_trainable = count_parameters(model)
    measurements = Measurements(
        num_parameters=num_parameters,
        num_trainable_parameters=num_trainable,
        training_flops_per_image=flops,
        num_steps=trained.num_steps,
        num_warmup_steps=min(conditions.warmup_steps, trained.num_steps),
        training_seconds=trained.seconds,
        total_seconds=meters.total_seconds,
        peak_memory=found.peak_memory,
        filter_gradients=evaluator.filter_gradients(_evaluated_part(dataset.validation, _GRADIENT_IMAGES)),
        first_step_seconds=found.first_step_seconds,
        calibration=found.calibration,
        contention=found.contention,
        energy=found.energy,
        preparation=trained.preparation,
        resumed_after=trained.resumed_after,
    )
    return measurements, traces


def _evaluated_part(split: Split, limit: int | None) -> Split:
    if limit is None or limit >= len(split):
        return split
    return split.subset(stratified_subset(split.labels, split.ids, limit))


def _outcome(name: str, evaluator: Evaluator, split: Split) -> dict[str, np.ndarray]:
    return {
        f"{name}_ids": np.array(split.ids),
        f"{name}_labels": np.array(split.labels, dtype=np.int16),
        f"{name}_logits": evaluator.logits(split),
    }


def _progress_of_steps(batch_size: int) -> Callable[[Step], Progress]:
    """What turns steps into signs of life with a speed."""
    before = Step(number=0, done=0.0, seconds=0.0, loss=None, validation_accuracy=None, at_evaluation=False)

    def follow(step: Step) -> Progress:
        nonlocal before
        elapsed = step.seconds - before.seconds
        progress = Progress(
            phase="training",
            step=step.number,
            done=step.done,
            seconds=step.seconds,
            images_per_second=(step.number - before.number) * batch_size / elapsed if elapsed > 0 else 0.0,
            loss=step.loss,
            validation_accuracy=step.validation_accuracy,
        )
        before = step
        return progress

    return follow


def _cause(error: BaseException) -> FailureCause:
    return "out_of_memory" if is_out_of_memory(error) else "error"
