"""The training loop, on one screen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from intelbench.architectures.generators import seed_generators
from intelbench.data.stream import StreamDigest
from intelbench.profiling.steps import LapClock
from intelbench.records.profiles import Preparation
from intelbench.records.store import Traces
from intelbench.training.budget import ROUNDING, TrainingBudget
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.evaluated import EvaluatedWeights
from intelbench.training.journal import Journal
from intelbench.training.optimizer import gradient_norm, make_optimizer, set_learning_rate
from intelbench.training.passes import Passes
from intelbench.training.setup import TrainingSetup


@dataclass(frozen=True)
class Step:
    """A finished step, for the callback `on_step`."""

    number: int
    """Counted from 1."""
    done: float
    """Share of the budget spent."""
    seconds: float
    """Seconds of the budget's clock."""
    loss: float | None
    """Last training loss that has arrived from the device; on a GPU it is about one step old."""
    validation_accuracy: float | None
    at_evaluation: bool
    """Whether the network was evaluated after this step."""
    fallback: str | None = None
    """Why steps are eager although the conditions ask for other ones."""


@dataclass(frozen=True)
class Trained:
    """The result of training, apart from the network."""

    traces: Traces
    stream_digests: dict[int, str]
    num_steps: int
    seconds: float
    divergence: str | None
    """What was not finite, if that stopped the run."""
    resumed_after: tuple[int, ...]
    """Steps after which another process resumed the run."""
    frozen_share: float
    """Share of the steps in which the backbone was frozen."""
    preparation: Preparation | None
    """Capturing or compiling the passes; `None` if the conditions ask for eager steps."""
    kept_step: int | None
    """Step of the best evaluation point, whose weights the network has; `None` if it has those of the last step."""


def train(
    setup: TrainingSetup,
    budget: TrainingBudget,
    clock: LapClock,
    on_step: Callable[[Step], None],
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train until the budget is spent or a loss is not finite; resume from a checkpoint if there is one.

    Time for `on_step` and for checkpoints is outside the budget. The clock decides which parts of a step it measures.
    The network has the weights that are to be evaluated afterwards: by the recipe, of which step, and averaged or not.
    """
    seed_generators(setup.dropout_seed)
    ranks, evaluator, parameters = setup.ranks, setup.evaluator, list(setup.evaluator.model.parameters())
    recipe, device = evaluator.conditions.recipe, evaluator.device
    first, state = _start(setup, clock, checkpoints)
    passes, digest, journal = state.passes, state.digest, state.journal
    done = budget.done(first, clock.budget_seconds)
    setup.backbone.set_step(first, done)
    batches = setup.batches.batches(evaluator.workers, first)
    clock.start()
    for step, batch in enumerate(batches, start=first + 1):
        clock.add_seconds(batch.cached_seconds)
        clock.lap("data_wait")
        inputs = evaluator.inputs(batch.inputs, batch.kind)
        labels = batch.labels.to(device, non_blocking=True)
        clock.lap("transfer")

        rate = budget.learning_rate(recipe, step, done)
        set_learning_rate(state.optimizer, rate)
        loss = ranks.mean(passes(step, inputs, labels, batch.kind))
        norm = _update(state, parameters, recipe.clip_grad_norm, clock)

        digest.update(batch)
        journal.add_step(loss, norm, rate, is_frozen=setup.backbone.frozen)
        done = budget.done(step, clock.budget_seconds)
        clock.lap("other")
        done = ranks.agree(done)
        evaluated = _evaluate_if_due(setup, step, done, clock, journal, state.weights)
        if evaluated or step & (step - 1) == 0:
            digest.keep(step)
        on_step(Step(step, done, clock.budget_seconds, *journal.latest, evaluated, passes.log.fallback))
        if checkpoints and done < 1 and checkpoints.due(at_evaluation=evaluated):
            _settle(clock, journal)
            if journal.divergence is None:
                checkpoints.save(step, done)
        ends = ranks.agree(done >= 1 or journal.divergence is not None)
        clock.lap("pause")
        if ends:
            break
        setup.backbone.set_step(step, done)
    batches.close()
    seconds = _settle(clock, journal)
    digest.keep(step)
    state.weights.install()
    return Trained(
        journal.traces(clock), digest.kept, journal.num_steps, seconds, journal.divergence, journal.resumed_after,
        journal.frozen_share, passes.preparation, journal.kept_step,
    )  # fmt: skip


class _State(NamedTuple):
    """What changes from step to step, apart from the network."""

    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    passes: Passes
    weights: EvaluatedWeights
    digest: StreamDigest
    journal: Journal


def _start(setup: TrainingSetup, clock: LapClock, checkpoints: Checkpoints | None) -> tuple[int, _State]:
    """Return the number of steps that a checkpoint has completed, and the state after them."""
    model, conditions, device = setup.evaluator.model, setup.evaluator.conditions, setup.evaluator.device
    scaler = torch.amp.GradScaler(device.type, enabled=conditions.precision == "fp16")
    state = _State(
        optimizer=make_optimizer(model, conditions, setup.backbone.heads),
        scaler=scaler,
        passes=Passes(setup, scaler, clock),
        weights=EvaluatedWeights(model, conditions.recipe),
        digest=StreamDigest(),
        journal=Journal(device, setup.validation, conditions.recipe.keep),
    )
    if checkpoints is None:
        setup.ranks.require_same(0)
        return 0, state
    checkpoints.add(model=model, optimizer=state.optimizer, scaler=scaler, digest=state.digest, journal=state.journal)
    checkpoints.add(clock=clock, preparation=state.passes, weights=state.weights)
    completed = checkpoints.resume()
    setup.ranks.require_same(completed)
    return completed, state


def _update(state: _State, parameters: Sequence[nn.Parameter], clip_grad_norm: float | None, clock: LapClock) -> Tensor:
    """Change the weights by the gradients of a step, and return the norm of the gradients before they are clipped."""
    state.scaler.unscale_(state.optimizer)
    clock.lap("backward")
    norm = gradient_norm(parameters)
    if clip_grad_norm is None:
        clock.lap("norm")  # which is only recorded, so its time is no part of the step
    else:
        nn.utils.clip_grads_with_norm_(parameters, clip_grad_norm, norm)  # the host does not wait for the norm
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad()
    state.weights.update()
    clock.lap("optimizer")
    return norm


def _evaluate_if_due(
    setup: TrainingSetup, step: int, done: float, clock: LapClock, journal: Journal, weights: EvaluatedWeights
) -> bool:
    """Evaluate the network if the run has reached its next evaluation point; return whether it has."""
    points = done * setup.evaluator.conditions.evaluation_points
    if setup.validation is None or points < journal.num_evaluations + 1 - ROUNDING:
        return False
    seconds = _settle(clock, journal)
    if journal.divergence is None:
        with weights.applied():
            if journal.add_evaluation(step, seconds, *setup.evaluator.logits_and_activations(setup.validation)):
                weights.keep_best()
    return True


def _settle(clock: LapClock, journal: Journal) -> float:
    """Wait for the device, and return the seconds of the budget's clock."""
    seconds = clock.settle()
    journal.settle()
    return seconds
