"""Execute one run: data, network, training and profiling come together here."""

import os
import threading
import time
import traceback
from collections.abc import Callable, Collection
from functools import reduce

import msgspec
import numpy as np
import torch

from intelbench.data.dataset import Split
from intelbench.data.split import stratified_subset
from intelbench.errors import HostError, UserError
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.keeping import keep_weights
from intelbench.plugins.guard import line_of
from intelbench.profiling.complexity import count_parameters
from intelbench.profiling.device import device_for, device_of, is_out_of_memory
from intelbench.profiling.environment import read_environment
from intelbench.profiling.memory import MemoryMeter
from intelbench.profiling.meters import Meters, largest
from intelbench.profiling.steps import LapClock
from intelbench.records.store import Traces
from intelbench.records.types import Environment, Failure, Measurements, RunRecord, utc_now
from intelbench.records.workspace import Checkpoint
from intelbench.training.budget import TrainingBudget
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.evaluate import Evaluator
from intelbench.training.loop import Step, Trained, train
from intelbench.training.precision import compute_dtype, configure
from intelbench.training.ranks import Ranks
from intelbench.training.setup import TrainingSetup, build_training_setup, flops_of_step
from intelbench.training.step_breakdown import measure_step_breakdown

_GRADIENT_IMAGES = 64
"""Largest number of validation images whose gradients are computed: a backward pass takes twice a forward pass.

After 30 and 200 steps at 64 px on the built-in images, four times as many images gave some more filters a gradient: 0.7
to 5 % of all filters of AlexNet, 0 to 4 % of SqueezeNet 1.1, at most 0.07 % of MobileNetV3 small, none of ResNet-18."""
_MAX_TRACEBACK_CHARACTERS = 4000


def execute(
    job: Job, on_progress: Callable[[Progress], None], stop: threading.Event | None = None
) -> tuple[RunRecord, Traces]:
    """Execute the run, and return its record and arrays; an error becomes a failure record.

    Raises:
        StopRequestedError: `stop` was set during training.
        HostError: the run has a checkpoint of another machine.
    """
    unfinished = Failure(cause="error", message="the run has not finished", step=None)
    record = job.failed(unfinished, read_environment(job.spec.execution), utc_now())
    last_step: int | None = None

    def follow(progress: Progress) -> None:
        nonlocal last_step
        last_step = progress.step if progress.phase == "training" else last_step
        on_progress(progress)

    try:
        return _run(job, record, follow, stop)
    except HostError:  # another host may execute the run
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - every failure is a result
        return msgspec.structs.replace(record, failure=failure_of(error, last_step, job.plugins)), {}


def _run(
    job: Job, record: RunRecord, on_progress: Callable[[Progress], None], stop: threading.Event | None
) -> tuple[RunRecord, Traces]:
    started = time.perf_counter()
    spec, conditions = job.spec, job.spec.conditions
    on_progress(Progress(phase="building"))
    device = configure(conditions, spec.execution.of_rank(0))
    ranks = Ranks.join(job.workspace.store, 0, spec.execution.gpus, device)
    meters = Meters(device, compute_dtype(conditions), started, slots=spec.execution.slots)
    setup, budget, flops = _prepare_training(
        job, record.environment, device, ranks, lambda: on_progress(Progress(phase="extracting features"))
    )
    about = Checkpoint(step=0, done=0.0, spec=spec, environment=record.environment)
    checkpoints = Checkpoints(job.workspace, about, job.checkpoint, device, stop)
    checkpoints.add(meters=meters)
    updates = _progress_of_steps(conditions.recipe.batch_size)

    def on_step(step: Step) -> None:
        # A head on features is trained in a second, and timing the reference kernels takes a third of one.
        machine_speed = step.done >= 1 or not setup.trains_head_on_features
        meters.step(step.number, at_evaluation=step.at_evaluation, machine_speed=machine_speed)
        eager = f"steps are eager, not {conditions.step}: {step.fallback}" if step.fallback else None
        on_progress(msgspec.structs.replace(updates(step), note=checkpoints.problem or eager))

    others = [device_for(spec.execution.of_rank(rank)).torch_device for rank in range(1, ranks.num)]
    meters.start(others, ranks.gather(os.getpid())[1:])
    trained = train(setup, budget, LapClock(device), on_step, checkpoints)
    record = msgspec.structs.replace(record, stream_digests=trained.stream_digests)
    if trained.divergence:
        failure = Failure(
            cause="diverged",
            message=f"{trained.divergence}: not finite",
            step=trained.num_steps,
            preparation=trained.preparation,
        )
        return msgspec.structs.replace(record, failure=failure), trained.traces

    on_progress(Progress(phase="testing", step=trained.num_steps, done=1.0, seconds=trained.seconds))
    flops = setup.flops_per_image(flops, trained.frozen_share)
    measurements, traces = _conclude(job, setup, trained, meters, flops)
    if problem := keep_weights(job, record, setup.evaluator, traces):
        on_progress(Progress(phase="keeping weights", note=problem))
    if "step_breakdown_seconds" not in traces:  # the run's clock did not measure the parts of a step
        traces = {**traces, **measure_step_breakdown(setup, trained.seconds / trained.num_steps)}
    return msgspec.structs.replace(record, measurements=measurements, failure=None), traces


def assist(job: Job) -> None:
    """Compute a run together with rank 0: train the shards of this process, and evaluate its part of the images.

    Raises:
        Exception: the run cannot go on; rank 0 may wait for this process.
    """
    spec = job.spec
    environment = read_environment(spec.execution)
    device = configure(spec.conditions, spec.execution.of_rank(job.rank))
    ranks = Ranks.join(job.workspace.store, job.rank, spec.execution.gpus, device)
    memory = MemoryMeter(device)
    setup, budget, _ = _prepare_training(job, environment, device, ranks, lambda: None)
    ranks.gather(os.getpid())
    about = Checkpoint(step=0, done=0.0, spec=spec, environment=environment)
    checkpoints = Checkpoints(job.workspace, about, "never", device)
    trained = train(setup, budget, LapClock(device), lambda _: None, checkpoints)
    if trained.divergence:
        return
    ranks.facts(device, memory.read())
    _evaluate_trained(job, setup.evaluator)
    if "step_breakdown_seconds" not in trained.traces:
        measure_step_breakdown(setup, trained.seconds / trained.num_steps)


def _prepare_training(
    job: Job, environment: Environment, device: torch.device, ranks: Ranks, on_extraction: Callable[[], object]
) -> tuple[TrainingSetup, TrainingBudget, float | None]:
    """Return the setup and the budget of a run, and the FLOPs of an image in a step, if they can be counted."""
    conditions = job.spec.conditions
    setup = build_training_setup(job, environment, device, ranks=ranks, on_extraction=on_extraction)
    flops = job.profile.training_flops_per_image if job.profile else flops_of_step(setup.workload)
    budget = TrainingBudget.of(
        conditions.budget,
        batch_size=conditions.recipe.batch_size,
        steps_per_epoch=setup.stream.steps_per_epoch,
        flops_per_image=flops,
    )
    return setup, budget, flops


def _conclude(
    job: Job, setup: TrainingSetup, trained: Trained, meters: Meters, flops_per_image: float | None
) -> tuple[Measurements, Traces]:
    """Evaluate the trained network, and return all that was observed."""
    readings = meters.read()
    conditions, evaluator = job.spec.conditions, setup.evaluator
    ranks = setup.ranks.facts(evaluator.device, readings.peak_memory)
    traces = {**trained.traces, **_evaluate_trained(job, evaluator), **readings.traces}
    num_parameters, num_trainable = count_parameters(evaluator.model)
    measurements = Measurements(
        num_parameters=num_parameters,
        num_trainable_parameters=num_trainable,
        training_flops_per_image=flops_per_image,
        num_steps=trained.num_steps,
        num_warmup_steps=min(conditions.warmup_steps, trained.num_steps),
        training_seconds=trained.seconds,
        total_seconds=meters.total_seconds,
        peak_memory=reduce(largest, (each.peak_memory for each in ranks)) if ranks else readings.peak_memory,
        filter_gradients=evaluator.filter_gradients(_evaluated_part(job.dataset.validation, _GRADIENT_IMAGES)),
        first_step_seconds=readings.first_step_seconds,
        reference_kernels=readings.reference_kernels,
        contention=readings.contention,
        energy=readings.energy,
        preparation=trained.preparation,
        features=setup.features.bank.extraction if setup.features else None,
        resumed_after=trained.resumed_after,
        kept_step=trained.kept_step,
        ranks=ranks,
        backend=device_of(evaluator.device).backend if ranks else None,
    )
    return measurements, traces


def _evaluate_trained(job: Job, evaluator: Evaluator) -> Traces:
    """Return ids, labels and logits of training and test images; all processes of a run call this."""
    dataset, num_train = job.dataset, job.spec.conditions.training_evaluation_images
    train = _outcome("train", evaluator, _evaluated_part(dataset.train, num_train))
    return {**train, **_outcome("test", evaluator, dataset.test)}


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
    """Return a function that turns training steps into progress, with the throughput since the last step."""
    before: Step | None = None

    def follow(step: Step) -> Progress:
        nonlocal before
        elapsed = step.seconds - before.seconds if before else 0.0
        progress = Progress(
            phase="training",
            step=step.number,
            done=step.done,
            seconds=step.seconds,
            images_per_second=(step.number - before.number) * batch_size / elapsed if before and elapsed > 0 else None,
            loss=step.loss,
            validation_accuracy=step.validation_accuracy,
        )
        before = step
        return progress

    return follow


def failure_of(error: BaseException, step: int | None, plugins: Collection[str]) -> Failure:
    """Return an error that is being handled as the failure of a run, after a step if that is known.

    The message of an error in a plug-in file ends with its line.
    """
    return Failure(
        cause="out_of_memory" if is_out_of_memory(error) else "error",
        message=str(error)
        if isinstance(error, UserError)
        else f"{type(error).__name__}: {error}{line_of(error, plugins)}",
        step=step,
        details=traceback.format_exc()[-_MAX_TRACEBACK_CHARACTERS:],
    )
