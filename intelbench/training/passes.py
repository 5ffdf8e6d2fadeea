"""The forward and the backward pass of a training step: eager, replayed from a CUDA graph, or compiled.

All of them set the gradients of a batch and return its loss. The loop computes the gradient norm and the optimizer's
step, which are eager in every run: a graph would need the learning rate as a tensor, which PyTorch's fused Adam reads
in float32 instead of float64, with other bits as a result.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from msgspec import structs
from torch import Tensor, nn

from intelbench.architectures.generators import host_generator_states
from intelbench.data.stream import InputKind
from intelbench.errors import printable
from intelbench.profiling.device import Graph, Stream, device_of, is_out_of_memory
from intelbench.profiling.steps import PREPARATION, LapClock, Part
from intelbench.records.profiles import Preparation
from intelbench.training.criterion import make_criterion
from intelbench.training.parts import Parts
from intelbench.training.precision import Autocast, autocast
from intelbench.training.rehearsal import Attributes, restored
from intelbench.training.setup import TrainingSetup

EAGER_STEPS = 3
"""Steps before a capture, in which CUDA's libraries are initialized and the optimizer creates its state."""
_MAX_REASON_CHARACTERS = 300

Loss = Callable[[Tensor, Tensor], Tensor]
"""Computes the loss of a batch from its inputs and labels."""


class UncapturableError(Exception):
    """The passes of a network differ when they are replayed."""


@dataclass(frozen=True)
class Eager:
    """Passes that PyTorch executes operation by operation, or whose loss is compiled."""

    loss: Loss
    cast: Autocast
    scaler: torch.amp.GradScaler
    lap: Callable[[Part], object]
    parts: Parts

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Set the gradients of the batch, and return its loss: the mean over the parts of the batch in this process.

        Gradients are the means over all processes.
        """
        if self.parts.are_whole:
            return self._pass(inputs, labels)
        losses = []
        for part in self.parts(inputs, labels):
            losses.append(self._pass(*part, share=1 / len(self.parts)))
            self.lap("backward")
        return torch.stack(losses).sum()

    def _pass(self, inputs: Tensor, labels: Tensor, share: float = 1) -> Tensor:
        """Add the gradients of the loss, times `share`, to those of the parameters; return that loss."""
        with self.cast():
            loss = self.loss(inputs, labels)
        if share != 1:
            loss = loss * share
        self.lap("forward")
        self.scaler.scale(loss).backward()
        return loss.detach()


@dataclass(frozen=True)
class Replayed:
    """Passes that were captured as a CUDA graph, which always reads and writes the same memory."""

    graph: Graph
    inputs: Tensor
    labels: Tensor
    loss: Tensor
    gradients: tuple[tuple[nn.Parameter, Tensor], ...]

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Set the gradients of the batch, and return its loss; the next call overwrites both."""
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.graph.replay()
        for parameter, gradient in self.gradients:  # the loop sets them to None after each step
            parameter.grad = gradient
        return self.loss


class Passes:
    """The passes of a run: of the kind that its conditions ask for, or eager if that kind is not possible.

    A graph or a compiled network is for batches of one shape, and for a backbone that is frozen or not. Capturing and
    compiling changes neither the network nor the random numbers, and its time is outside the budget.
    """

    def __init__(self, setup: TrainingSetup, scaler: torch.amp.GradScaler, clock: LapClock) -> None:
        conditions = setup.evaluator.conditions
        self._setup, self._scaler = setup, scaler
        self._eager: Eager | None = None
        self._eager_for: tuple[InputKind, bool] | None = None
        """What the eager passes are for: a kind of batch, and a backbone that is frozen or not."""
        self._kind = conditions.step
        self._backbone, self._clock, self._device = setup.backbone, clock, device_of(setup.evaluator.device)
        self._stream: Stream | None = None
        self._prepared_for: object = None
        self._prepared: Eager | Replayed | None = None
        self._num_eager = 0
        """Eager steps since the shape of the batches or the backbone changed."""
        self.log = Preparation(num_prepared=0, seconds=0.0)
        """Captures and compilations of the run so far. With a fallback all later steps are eager."""
        if self._kind == "graph" and not self._device.has_graphs:
            self._note(fallback=f"a CUDA graph needs a CUDA device, and this one is {self._device.kind}")
        elif self._kind == "graph":
            self._stream = self._device.new_stream()

    def __call__(self, step: int, inputs: Tensor, labels: Tensor, kind: InputKind) -> Tensor:
        """Set the gradients of the batch of a step, and return its loss, which the next call may overwrite."""
        eager = self._eager_passes(kind)
        eager.parts.step = step
        if self._kind == "eager" or self.log.fallback:
            return eager(inputs, labels)
        batch = (kind, inputs.shape, inputs.dtype, labels.shape, self._backbone.frozen)
        if batch != self._prepared_for:
            self._prepared_for, self._prepared, self._num_eager = batch, None, 0
        if self._prepared is None and self._stream and self._num_eager < EAGER_STEPS:
            self._num_eager += 1
            with self._device.working_in(self._stream):
                return eager(inputs, labels)
        if self._prepared is None:
            self._prepared = self._prepare(eager, inputs, labels)
        return self._prepared(inputs, labels)

    def _eager_passes(self, kind: InputKind) -> Eager:
        """Return the eager passes for a kind of batch.

        They are made again where the backbone is frozen or unfrozen, because `DistributedDataParallel` averages the
        gradients of the parameters that are trained when it is created.
        """
        wanted = kind, self._backbone.frozen
        if self._eager is None or wanted != self._eager_for:
            setup, network = self._setup, self._backbone.network_for(kind)
            conditions, device = setup.evaluator.conditions, setup.evaluator.device
            parts = Parts(network, conditions.recipe, setup.dropout_seed, setup.ranks)
            loss, cast = _loss(setup, parts.network), autocast(conditions, device)
            self._eager_for, self._eager = wanted, Eager(loss, cast, self._scaler, self._clock.lap, parts)
        return self._eager

    @property
    def preparation(self) -> Preparation | None:
        """Return the captures or compilations of the run; `None` if its conditions ask for eager steps."""
        return None if self._kind == "eager" else self.log

    def state_dict(self) -> dict[str, Any]:
        """Return the captures and compilations for a checkpoint."""
        return structs.asdict(self.log)

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore them from a checkpoint. A run that has a reason for eager steps keeps it."""
        self.log = Preparation(**state_dict)

    def _note(self, **changes: object) -> None:
        self.log = structs.replace(self.log, **changes)

    def _prepare(self, eager: Eager, inputs: Tensor, labels: Tensor) -> Eager | Replayed:
        """Capture or compile the passes for batches of this shape; if that fails, all later steps are eager."""
        self._device.synchronize()  # so that the time of earlier steps is not counted
        started = time.perf_counter()
        prepared: Eager | Replayed = eager
        try:
            with restored(self._backbone.model, self._device):
                prepare = self._captured if self._stream else self._compiled
                prepared = prepare(eager, inputs, labels)
            self._note(num_prepared=self.log.num_prepared + 1)
        except Exception as error:  # a plug-in or a compiler may raise anything
            if is_out_of_memory(error):
                raise
            self._note(fallback=_reason(error))
        self._device.synchronize()
        self._note(seconds=self.log.seconds + time.perf_counter() - started)
        self._clock.lap(PREPARATION)
        return prepared

    def _captured(self, eager: Eager, inputs: Tensor, labels: Tensor) -> Replayed:
        """Capture the passes as a graph.

        Raises:
            UncapturableError: the forward pass does something on the host that a graph would not repeat.
            Exception: the passes cannot be captured for another reason: the host waits for a value, for example.
        """
        assert self._stream
        model, passes = self._backbone.model, replace(eager, lap=lambda _: None)
        inputs, labels = inputs.clone(), labels.clone()
        attributes, generators = Attributes(model), host_generator_states()
        graph, loss = self._device.capture(lambda: passes(inputs, labels), self._stream)
        if generators != host_generator_states():
            raise UncapturableError("the forward pass draws random numbers on the host, which a graph would draw once")
        if changed := attributes.changed():
            raise UncapturableError(f"the forward pass sets {changed[0]} of the network, which a graph would set once")
        gradients = tuple((weight, weight.grad) for weight in model.parameters() if weight.grad is not None)
        return Replayed(graph, inputs, labels, loss, gradients)

    def _compiled(self, eager: Eager, inputs: Tensor, labels: Tensor) -> Eager:
        """Compile the passes, which PyTorch does when they are executed for the first time, if there is a compiler."""
        compiled = replace(eager, loss=torch.compile(eager.loss, dynamic=False))
        replace(compiled, lap=lambda _: None)(inputs, labels)
        return compiled


def _loss(setup: TrainingSetup, network: nn.Module) -> Loss:
    architecture, evaluator = setup.workload.architecture, setup.evaluator
    criterion = make_criterion(evaluator.conditions.recipe, setup.class_weights, evaluator.device)

    def loss(inputs: Tensor, labels: Tensor) -> Tensor:
        return architecture.loss(network(inputs), labels, criterion)

    return loss


def _reason(error: Exception) -> str:
    """Return the error as one line for the record."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    message = " ".join(lines[: 2 if lines[0].endswith(":") else 1])  # "backend='inductor' raised:", then the reason
    reason = message if isinstance(error, UncapturableError) else f"{type(error).__name__}: {message}"
    return printable(reason)[:_MAX_REASON_CHARACTERS]
