"""The training loop, on one screen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.optim import Optimizer

from intelbench.data.stream import StreamDigest
from intelbench.profiling.steps import LapClock
from intelbench.records.profiles import Preparation
from intelbench.records.store import Traces
from intelbench.training.budget import TrainingBudget
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.journal import Journal
from intelbench.training.optimizer import gradient_norm, make_optimizer, set_learning_rate
from intelbench.training.passes import Passes
from intelbench.training.setup import TrainingSetup

_ROUNDING = 1e-9
"""29 / 100 x 100 is less than 29."""


@dataclass(frozen=True)
class Step:
    """What `on_step` is told about a finished step."""

    number: int
    """Counted from 1."""
    done: float
    """Share of the budget spent."""
    seconds: float
    """The budget's clock."""
    loss: float | None
    """Latest training loss that is known; a GPU's arrives a step or so late."""
    validation_accuracy: float | None
    at_evaluation: bool
    """Whether a validation pass has just ended."""
    fallback: str | None = None
    """Why steps are eager, where the conditions ask for others."""


@dataclass(frozen=True)
class Trained:
    """What training leaves in addition to the network itself."""

    traces: Traces
    stream_digests: dict[int, str]
    num_steps: int
    seconds: float
    divergence: str | None
    """What was not finite, where that ended the run."""
    resumed_after: tuple[int, ...]
    """Steps after which the run was interrupted, and resumed in another process."""
    preparation: Preparation | None
    """What it took to capture or compile the passes; `None` where the conditions ask for eager steps."""


def train(
    setup: TrainingSetup,
    budget: TrainingBudget,
    clock: LapClock,
    on_step: Callable[[Step], None],
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train until the budget is spent or the loss is no longer finite; resume from a checkpoint if there is one.

    The clock decides which parts of a step it looks at. What `on_step` does is outside the budget, and so is saving.
    """
    evaluator, parameters = setup.evaluator, list(setup.evaluator.model.parameters())
    conditions, device = evaluator.conditions, evaluator.device
    first, (optimizer, scaler, passes, digest, journal) = _begin(setup, clock, checkpoints)
    done = budget.done(first, clock.budget_seconds)
    batches = setup.batches.batches(evaluator.workers, first)
    clock.start()
    for step, batch in enumerate(batches, start=first + 1):
        clock.add_seconds(batch.cached_seconds)
        clock.lap("data_wait")
        setup.backbone.begin(step - 1)
        inputs = evaluator.inputs(batch.inputs, batch.kind)
        labels = batch.labels.to(device, non_blocking=True)
        clock.lap("transfer")

        rate = budget.learning_rate(conditions.recipe, step, done)
        set_learning_rate(optimizer, rate)
        loss = passes(inputs, labels, batch.kind)
        scaler.unscale_(optimizer)
        clock.lap("backward")
        norm = gradient_norm(parameters)
        clock.lap("norm")
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        clock.lap("optimizer")

        digest.update(batch)
        journal.write(loss, norm, rate)
        done = budget.done(step, clock.budget_seconds)
        clock.lap("other")
        evaluated = _evaluate_if_due(setup, step, done, clock, journal)
        if evaluated or step & (step - 1) == 0:
            digest.keep(step)
        latest = journal.latest_loss, journal.latest_accuracy
        on_step(Step(step, done, clock.budget_seconds, *latest, evaluated, passes.fallback))
        if checkpoints and done < 1 and checkpoints.due(at_evaluation=evaluated):
            _settle(clock, journal)
            if journal.divergence is None:
                checkpoints.save(step, done)
        clock.lap("pause")
        if done >= 1 or journal.divergence:
            break
    batches.close()
    seconds = _settle(clock, journal)
    digest.keep(step)
    return Trained(
        journal.traces(clock), digest.kept, journal.num_steps, seconds, journal.divergence, journal.resumed_after,
        passes.preparation,
    )  # fmt: skip


class _Parts(NamedTuple):
    """What a run carries from step to step, apart from the network."""

    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    passes: Passes
    digest: StreamDigest
    journal: Journal


def _begin(setup: TrainingSetup, clock: LapClock, checkpoints: Checkpoints | None) -> tuple[int, _Parts]:
    """Return the number of steps that were completed before, and the parts as they were after them."""
    model, conditions, device = setup.evaluator.model, setup.evaluator.conditions, setup.evaluator.device
    scaler = torch.amp.GradScaler(device.type, enabled=conditions.precision == "fp16")
    parts = _Parts(
        optimizer=make_optimizer(model, conditions, setup.backbone.heads),
        scaler=scaler,
        passes=Passes(setup, scaler, clock),
        digest=StreamDigest(),
        journal=Journal(device, setup.validation),
    )
    if checkpoints is None:
        return 0, parts
    checkpoints.hold(model=model, optimizer=parts.optimizer, scaler=scaler, digest=parts.digest, journal=parts.journal)
    checkpoints.hold(clock=clock, preparation=parts.passes.log)
    return checkpoints.resume(), parts


def _evaluate_if_due(setup: TrainingSetup, step: int, done: float, clock: LapClock, journal: Journal) -> bool:
    """Evaluate the network if the run has reached its next evaluation point, and return whether it has."""
    points = done * setup.evaluator.conditions.evaluation_points
    if setup.validation is None or points < journal.num_evaluations + 1 - _ROUNDING:
        return False
    seconds = _settle(clock, journal)
    if journal.divergence is None:
        journal.evaluated(step, seconds, *setup.evaluator.logits_and_activations(setup.validation))
    return True


def _settle(clock: LapClock, journal: Journal) -> float:
    """Wait for everything that is under way on the device; return the seconds inside the budget."""
    seconds = clock.settle()
    journal.settle()
    return seconds
