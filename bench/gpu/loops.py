"""Training loops whose speed is compared: the harness's own, a plain one, and one that is tuned for a GPU.

The harness's loop is `intelbench.training.loop.train` itself. The other two are loops as people write them, on a batch
that is on the GPU already.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from bench.gpu.results import Figure
from bench.steps import FOREVER, NUM_CLASSES, RandomPixels, split_of
from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.fields import Precision, StepKind
from intelbench.config.recipe import Recipe
from intelbench.data.stream import Batch, TrainingStream
from intelbench.profiling.device import Device, Event
from intelbench.profiling.energy import EnergyCounter, find_counter
from intelbench.profiling.environment import choose_execution
from intelbench.profiling.steps import LapClock
from intelbench.profiling.workload import Workload
from intelbench.records.types import Execution
from intelbench.training.backbone import Backbone
from intelbench.training.budget import TrainingBudget
from intelbench.training.evaluate import Evaluator
from intelbench.training.loop import Step, train
from intelbench.training.precision import configure
from intelbench.training.setup import TrainingSetup

SPEED = "speed"
"""Name of a figure, as is the next."""
ENERGY = "energy"
_GRAPH_WARM_STEPS = 3
"""Steps before a CUDA graph is captured, as PyTorch's documentation has it."""
_MOST_AHEAD = 8
"""Steps that a loop may ask for before the GPU has done the first of them. A CUDA graph is asked for within
microseconds: without a bound, a loop of two seconds would leave the GPU work for minutes."""
TakeStep = Callable[[], object]


class _EnoughError(Exception):
    """Ends the harness's loop, which has an endless budget."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is trained, and where."""

    device: Device
    architecture: Architecture
    image_size: int
    batch_size: int
    num_images: int
    precision: Precision = "bf16"
    step: StepKind = "eager"
    """How the harness carries out a step."""
    workers: int | None = None
    """Threads that prepare batches; `None` for the harness's default."""
    threads: int | None = None
    """PyTorch's threads; `None` for the harness's default."""

    @cached_property
    def conditions(self) -> Conditions:
        """Those of a run of the harness."""
        return Conditions(
            image_size=self.image_size,
            precision=self.precision,
            step=self.step,
            budget=Budget(steps=1),
            recipe=Recipe(batch_size=self.batch_size),
        )

    @cached_property
    def execution(self) -> Execution:
        """How the harness carries out a run here."""
        index = self.device.torch_device.index
        name = self.device.kind if index is None else f"{self.device.kind}:{index}"
        return choose_execution(name, self.threads, self.workers, True, self.precision)

    @property
    def stream(self) -> TrainingStream:
        """Training batches of noise, prepared as for a run."""
        num_images = max(self.num_images, 2 * self.batch_size)
        pixels, pins = RandomPixels(num_images), self.device.pins_memory
        return TrainingStream(split_of(num_images), pixels, self.conditions, seed=0, pin_memory=pins)

    @property
    def request(self) -> ModelRequest:
        """What the architecture is asked for."""
        return ModelRequest(num_classes=NUM_CLASSES, image_size=self.image_size)

    def build(self) -> nn.Module:
        """Return the network in training mode, on the device."""
        with self.device.torch_device:  # where drawing 100 million weights takes no time
            return self.architecture.build(self.request).train()

    def device_batch(self) -> tuple[Tensor, Tensor]:
        """Return normalised images and labels that are on the device."""
        shape = (self.batch_size, 3, self.image_size, self.image_size)
        labels = torch.arange(self.batch_size) % NUM_CLASSES
        return torch.randn(shape, device=self.device.torch_device), labels.to(self.device.torch_device)


class Meter:
    """Counts the training steps of some seconds, after steps that do not count."""

    def __init__(self, setting: Setting, warm_steps: int, seconds: float) -> None:
        self._device = setting.device
        self._batch_size = setting.batch_size
        self._warm_steps = warm_steps
        self._seconds = seconds
        self._steps = 0
        self._begun = self._ended = 0.0
        self._joules: list[float] = []
        """The counter at the begin and at the end."""
        self._events: deque[Event] = deque()
        """Of the last steps."""
        self._counter: EnergyCounter | None = None
        self._no_counter: str | None = None
        try:
            self._counter = find_counter(self._device.torch_device)
        except OSError as error:
            self._no_counter = str(error)

    def step(self) -> bool:
        """Count a step that has been asked for; return whether there were enough, once the device has done them."""
        self._steps += 1
        self._bound()
        if self._steps == self._warm_steps:
            self._device.synchronize()
            self._device.reset_peaks()
            self._read_counter()
            self._begun = time.perf_counter()
        elif self._steps > self._warm_steps and time.perf_counter() - self._begun >= self._seconds:
            self._device.synchronize()
            self._ended = time.perf_counter()
            self._read_counter()
            return True
        return False

    def figures(self) -> tuple[Figure, ...]:
        """Return the speed, the energy and the memory of the steps that count."""
        num_images = (self._steps - self._warm_steps) * self._batch_size
        allocator = self._device.allocator_figures()
        joules = self._joules[1] - self._joules[0] if len(self._joules) > 1 else None
        return (
            Figure(name=SPEED, value=num_images / (self._ended - self._begun), unit="images/s"),
            Figure(
                name=ENERGY,
                value=None if joules is None else joules / num_images,
                unit="J/image",
                absent=self._no_counter,
            ),
            Figure(name="peak allocated", value=allocator.allocated_bytes, unit="bytes"),
            Figure(name="peak reserved", value=allocator.reserved_bytes, unit="bytes"),
        )

    def _bound(self) -> None:
        """Wait until the GPU is not too many steps behind."""
        if len(self._events) < _MOST_AHEAD:
            event = self._device.event()
            assert event is not None
        else:
            event = self._events.popleft()
            event.synchronize()
        event.record()
        self._events.append(event)

    def _read_counter(self) -> None:
        try:
            if self._counter:
                self._joules.append(self._counter.joules())
        except OSError as error:
            self._counter, self._no_counter = None, str(error)


class OneBatch:
    """The same batch at every step, on the device."""

    steps_per_epoch = 1

    def __init__(self, batch: Batch, device: torch.device) -> None:
        self._batch = Batch(batch.inputs.to(device), batch.labels.to(device), batch.content)

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Batches without end."""
        while True:
            yield self._batch


def train_harness(
    setting: Setting,
    on_step: Callable[[Step], None],
    *,
    budget: TrainingBudget = FOREVER,
    on_device: bool = False,
) -> None:
    """Train as the process of a run does.

    Args:
        setting: What is trained, and where.
        on_step: Called after every step.
        budget: How long to train.
        on_device: Whether every step has the same batch, which is on the device, in place of the loader's.
    """
    device = configure(setting.conditions, setting.execution)
    stream = setting.stream
    model = setting.build().to(memory_format=torch.channels_last)
    workers = setting.execution.workers
    setup = TrainingSetup(
        workload=Workload(architecture=setting.architecture, request=setting.request),
        evaluator=Evaluator(model, RandomPixels(1), setting.conditions, device, workers=workers),
        backbone=Backbone(model),
        stream=OneBatch(stream.batch(0), device) if on_device else stream,
    )
    train(setup, budget, LapClock(device), on_step)


def time_harness(setting: Setting, meter: Meter, *, on_device: bool = False) -> str | None:
    """Train as the process of a run does until the meter has enough; return why steps were eager that should not be."""
    fallback: str | None = None

    def on_step(step: Step) -> None:
        nonlocal fallback
        fallback = step.fallback
        if meter.step():
            raise _EnoughError

    with suppress(_EnoughError):
        train_harness(setting, on_step, on_device=on_device)
    return fallback


def plain(setting: Setting) -> TakeStep:
    """Return a step in float32 and NCHW, with Adam as it comes, that waits for its loss."""
    model = setting.build()
    optimizer = Adam(model.parameters())
    images, labels = setting.device_batch()
    criterion = nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad()
        loss = setting.architecture.loss(model(images), labels, criterion)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def tuned(setting: Setting, *, compiles: bool = False, capturable: bool = False) -> TakeStep:
    """Return a step with all that makes a GPU fast: bf16, channels_last, fused Adam, cuDNN's quickest kernels.

    Args:
        setting: What is trained, and where.
        compiles: Whether `torch.compile` compiles the network.
        capturable: Whether the optimizer can be part of a CUDA graph.
    """
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True
    model = setting.build().to(memory_format=torch.channels_last)
    optimizer = Adam(model.parameters(), fused=True, capturable=capturable)
    network: Any = torch.compile(model) if compiles else model
    images, labels = setting.device_batch()
    images = images.to(memory_format=torch.channels_last)
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(images.device.type, dtype=torch.bfloat16):
            loss = setting.architecture.loss(network(images), labels, criterion)
        loss.backward()
        optimizer.step()

    return step


def captured(setting: Setting) -> TakeStep:
    """Return a tuned step as a CUDA graph, which starts all of its kernels in one call.

    Raises:
        Exception: the step cannot be captured.
    """
    step = tuned(setting, capturable=True)
    side_stream = torch.cuda.Stream()
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(_GRAPH_WARM_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
