"""The forward and the backward pass of a training step: eager, replayed from a CUDA graph, or compiled.

Each leaves the gradients of a batch and returns its loss. The gradient norm and the optimizer are the loop's, and eager
in every run: PyTorch's fused Adam reads a learning rate that is a tensor, as a graph needs it, in float32 and not in
float64, which gives other bits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from intelbench.data.stream import InputKind
from intelbench.errors import printable
from intelbench.profiling.device import Graph, Stream, device_of, is_out_of_memory
from intelbench.profiling.steps import PREPARATION, LapClock
from intelbench.records.profiles import Preparation
from intelbench.training.precision import Autocast, autocast
from intelbench.training.rehearsal import Attributes, drawn_on_the_host, unchanged
from intelbench.training.setup import TrainingSetup

EAGER_STEPS = 3
"""Steps before a capture. CUDA's libraries set themselves up in them, and an optimizer its state."""
_MOST_CHARACTERS = 300
"""Of an error that are kept as a reason."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""From a batch of inputs and labels to the loss that is minimised."""


class UncapturableError(Exception):
    """A network whose replayed passes would do something else than its eager ones."""


class PreparationLog:
    """What preparing the passes of a run took, and why it was not possible; saved with a checkpoint."""

    def __init__(self) -> None:
        self.num_prepared = 0
        self.seconds = 0.0
        self.fallback: str | None = None
        """Why all later steps are eager."""

    def read(self) -> Preparation:
        """Return the log as it is recorded."""
        return Preparation(num_prepared=self.num_prepared, seconds=self.seconds, fallback=self.fallback)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return dict(vars(self))

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Resume from a checkpoint. A run whose passes could not be prepared stays eager."""
        vars(self).update(state_dict)


@dataclass(frozen=True)
class Eager:
    """Passes that PyTorch carries out operation by operation, as the network asks for them."""

    loss: Loss
    cast: Autocast
    scaler: torch.amp.GradScaler
    after_forward: Callable[[], object]

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Leave the gradients of the batch, and return its loss."""
        with self.cast():
            loss = self.loss(inputs, labels)
        self.after_forward()
        self.scaler.scale(loss).backward()
        return loss.detach()


@dataclass(frozen=True)
class Replayed:
    """Passes that were captured as a CUDA graph, which reads and writes the memory that it was captured with."""

    graph: Graph
    inputs: Tensor
    labels: Tensor
    loss: Tensor
    gradients: tuple[tuple[nn.Parameter, Tensor], ...]

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Leave the gradients of the batch, and return its loss, until the next call."""
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.graph.replay()
        for parameter, gradient in self.gradients:  # the loop drops them after each step
            parameter.grad = gradient
        return self.loss


class Passes:
    """The passes of a run, as its conditions ask for them; eager ones where those are not possible.

    A graph is captured, and a network is compiled, for the batches of one shape and for a backbone that is frozen or
    not. Either changes neither the network nor the generators, and the clock books it outside the budget.
    """

    def __init__(self, setup: TrainingSetup, scaler: torch.amp.GradScaler, clock: LapClock) -> None:
        evaluator, backbone = setup.evaluator, setup.backbone
        conditions, cast = evaluator.conditions, autocast(evaluator.conditions, evaluator.device)
        kinds: tuple[InputKind, ...] = ("images", "features") if setup.features else ("images",)
        self._eager = {
            kind: Eager(_loss(setup, backbone.trained_on(kind)), cast, scaler, lambda: clock.lap("forward"))
            for kind in kinds
        }
        self._kind = conditions.step
        self._backbone, self._clock, self._device = backbone, clock, device_of(evaluator.device)
        self._stream: Stream | None = None
        self._prepared_for: object = None
        self._prepared: Eager | Replayed | None = None
        self._num_eager = 0
        """Steps since the kind of batch has changed."""
        self.log = PreparationLog()
        if self._kind == "graph" and not self._device.has_graphs:
            self.log.fallback = f"a CUDA graph needs a CUDA device, and this one is {self._device.kind}"
        elif self._kind == "graph":
            self._stream = self._device.new_stream()

    def __call__(self, inputs: Tensor, labels: Tensor, kind: InputKind) -> Tensor:
        """Leave the gradients of the batch, and return its loss, which may change with the next call."""
        eager = self._eager[kind]
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

    @property
    def fallback(self) -> str | None:
        """Why steps are eager, where the conditions ask for others."""
        return self.log.fallback

    @property
    def preparation(self) -> Preparation | None:
        """What preparing the passes took; `None` where eager ones were asked for."""
        return None if self._kind == "eager" else self.log.read()

    def _prepare(self, eager: Eager, inputs: Tensor, labels: Tensor) -> Eager | Replayed:
        """Capture or compile the passes for batches like this one; where that fails, take eager ones from now on."""
        self._device.synchronize()  # the steps before are no part of it
        started = time.perf_counter()
        prepared: Eager | Replayed = eager
        try:
            with unchanged(self._backbone.model, self._device):
                prepare = self._captured if self._stream else self._compiled
                prepared = prepare(eager, inputs, labels)
            self.log.num_prepared += 1
        except Exception as error:  # code of others, of which a run makes no more than its conditions ask
            if is_out_of_memory(error):
                raise
            self.log.fallback = _reason(error)
        self._device.synchronize()
        self.log.seconds += time.perf_counter() - started
        self._clock.lap(PREPARATION)
        return prepared

    def _captured(self, eager: Eager, inputs: Tensor, labels: Tensor) -> Replayed:
        """Capture the passes as a graph.

        Raises:
            UncapturableError: the forward pass does on the host what a graph would not do again.
            Exception: whatever else is in the way, as a value of a tensor that the host waits for.
        """
        assert self._stream
        model, passes = self._backbone.model, replace(eager, after_forward=lambda: None)
        inputs, labels = inputs.clone(), labels.clone()
        attributes, drawn = Attributes(model), drawn_on_the_host()
        graph, loss = self._device.capture(lambda: passes(inputs, labels), self._stream)
        if drawn != drawn_on_the_host():
            raise UncapturableError("the forward pass draws random numbers on the host, which a graph would draw once")
        if changed := attributes.changed():
            raise UncapturableError(f"the forward pass sets {changed[0]} of the network, which a graph would set once")
        gradients = tuple((each, each.grad) for each in model.parameters() if each.grad is not None)
        return Replayed(graph, inputs, labels, loss, gradients)

    def _compiled(self, eager: Eager, inputs: Tensor, labels: Tensor) -> Eager:
        """Compile the passes, which PyTorch does when they are carried out for the first time.

        Raises:
            Exception: whatever is in the way, as a compiler that is not there.
        """
        compiled = replace(eager, loss=torch.compile(eager.loss, dynamic=False))
        replace(compiled, after_forward=lambda: None)(inputs, labels)
        return compiled


def _loss(setup: TrainingSetup, network: nn.Module) -> Loss:
    architecture = setup.workload.architecture
    criterion = nn.CrossEntropyLoss(label_smoothing=setup.evaluator.conditions.recipe.label_smoothing)

    def loss(inputs: Tensor, labels: Tensor) -> Tensor:
        return architecture.loss(network(inputs), labels, criterion)

    return loss


def _reason(error: Exception) -> str:
    """An error on one line, for the record."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = " ".join(lines[: 2 if lines[0].endswith(":") else 1])  # "backend='inductor' raised:", and then what
    named = said if isinstance(error, UncapturableError) else f"{type(error).__name__}: {said}"
    return printable(named)[:_MOST_CHARACTERS]
