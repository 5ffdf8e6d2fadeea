"""The training loop, on one screen."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from intelbench.architectures.registry import Architecture
from intelbench.data.dataset import Split
from intelbench.data.stream import BatchSource, StreamDigest
from intelbench.profiling.steps import LapClock
from intelbench.records.profiles import Preparation
from intelbench.records.store import Traces
from intelbench.training.backbone import Backbone
from intelbench.training.budget import TrainingBudget
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.evaluate import Evaluator
from intelbench.training.journal import Journal
from intelbench.training.optimizer import gradient_norm, make_optimizer, set_learning_rate
from intelbench.training.passes import Passes

_ROUNDING = 1e-9
"""29 / 100 x 100 is less than 29."""


@dataclass(frozen=True)
class Step:
    """What a finished step tells whoever watches."""

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
    """What training leaves, beside the network itself."""

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
    model: nn.Module,
    architecture: Architecture,
    stream: BatchSource,
    validation: Split,
    evaluator: Evaluator,
    budget: TrainingBudget,
    *,
    clock: LapClock,
    workers: int,
    on_step: Callable[[Step], None],
    backbone: Backbone | None = None,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train until the budget is spent or the loss is no longer finite; without validation images, without evaluation.

    The clock decides which parts of a step it looks at. What `on_step` does is outside the budget, and so is saving.
    Without a `backbone`, everything trains.
    """
    conditions, device = evaluator.conditions, evaluator.device
    backbone, parameters = backbone or Backbone(model), list(model.parameters())
    optimizer = make_optimizer(model, conditions, backbone.heads)
    scaler = torch.amp.GradScaler(device.type, enabled=conditions.precision == "fp16")
    passes = Passes(architecture, backbone, evaluator, scaler, clock)
    digest, journal = StreamDigest(), Journal(device, validation)
    first = 0
    if checkpoints:
        checkpoints.hold(model=model, optimizer=optimizer, scaler=scaler, digest=digest, journal=journal, clock=clock)
        checkpoints.hold(preparation=passes.log)
        first = checkpoints.resume()
    done = budget.done(first, clock.budget_seconds)
    batches = stream.batches(workers, first)
    clock.start()
    for step, batch in enumerate(batches, start=first + 1):
        clock.add_seconds(batch.cached_seconds)
        clock.lap("data_wait")
        backbone.begin(step - 1)
        images = evaluator.inputs(batch.images)
        labels = batch.labels.to(device, non_blocking=True)
        clock.lap("transfer")

        rate = budget.learning_rate(conditions.recipe, step, done)
        set_learning_rate(optimizer, rate)
        loss = passes(images, labels)
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
        due = len(validation) > 0 and done * conditions.evaluation_points >= journal.num_evaluations + 1 - _ROUNDING
        if due:
            seconds = clock.settle()
            journal.settle()
            if journal.divergence is None:
                journal.evaluated(step, seconds, *evaluator.logits_and_activations(validation))
        if due or step & (step - 1) == 0:
            digest.keep(step)
        on_step(
            Step(step, done, clock.budget_seconds, journal.latest_loss, journal.latest_accuracy, due, passes.fallback)
        )
        if checkpoints and done < 1 and checkpoints.due(at_evaluation=due):
            clock.settle()
            journal.settle()
            if journal.divergence is None:
                checkpoints.save(step, done)
        clock.lap("pause")
        if done >= 1 or journal.divergence:
            break
    batches.close()
    seconds = clock.settle()
    journal.settle()
    digest.keep(step)
    return Trained(
        journal.traces(clock), digest.kept, journal.num_steps, seconds, journal.divergence, journal.resumed_after,
        passes.preparation,
    )  # fmt: skip
