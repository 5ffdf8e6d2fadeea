"""Define the training loops whose speed is compared: the harness's own, a plain one, and one that is tuned for a GPU.

The harness's loop is `intelbench.training.loop.train` itself. The other loops are written as usual, and train on one
batch that is on the GPU.
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

from bench.gpu.results import SPEED, Figure
from bench.gpu.sizes import Sizes
from bench.steps import NUM_CLASSES, RandomPixels, plain_step, split_of, train_harness
from intelbench.architectures.registry import ModelRequest, find
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.fields import Precision, StepKind
from intelbench.config.recipe import Recipe
from intelbench.data.stream import Batch, TrainingStream
from intelbench.profiling.device import Device, Event
from intelbench.profiling.energy import EnergyCounter, find_counter
from intelbench.profiling.environment import choose_execution
from intelbench.profiling.workload import Workload
from intelbench.records.types import Execution
from intelbench.training.loop import Step

_GRAPH_WARM_STEPS = 3
"""Number of steps before a CUDA graph is captured, as in PyTorch's documentation."""
_MAX_AHEAD = 8
"""Number of steps that a loop may start before the GPU has finished the first of them. A CUDA graph is started within
microseconds: without a bound, a loop of two seconds would give the GPU work for minutes."""
TakeStep = Callable[[], object]


class _EnoughError(Exception):
    """Stops the harness's loop, which has an endless budget."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The network, the device and the conditions of a measurement."""

    device: Device
    sizes: Sizes
    architecture: str
    batch_size: int
    precision: Precision = "bf16"
    step: StepKind = "eager"
    """How the harness carries out a step."""
    workers: int | None = None
    """Threads that prepare batches; `None` for the harness's default."""
    threads: int | None = None
    """PyTorch's threads; `None` for the harness's default."""

    @cached_property
    def conditions(self) -> Conditions:
        """Return the conditions for the harness."""
        return Conditions(
            image_size=self.sizes.image_size,
            precision=self.precision,
            step=self.step,
            budget=Budget(steps=1),
            recipe=Recipe(batch_size=self.batch_size),
        )

    @cached_property
    def execution(self) -> Execution:
        """Return the execution for the harness."""
        index = self.device.torch_device.index
        name = self.device.kind if index is None else f"{self.device.kind}:{index}"
        return choose_execution(name, self.threads, self.workers, True, self.precision)

    @property
    def stream(self) -> TrainingStream:
        """Return training batches of noise, prepared as for a run."""
        num_images = max(self.sizes.num_images, 2 * self.batch_size)
        pixels, pins = RandomPixels(num_images), self.device.pins_memory
        return TrainingStream(split_of(num_images), pixels, self.conditions, seed=0, pin_memory=pins)

    @cached_property
    def workload(self) -> Workload:
        """Return the network with its image size."""
        request = ModelRequest(num_classes=NUM_CLASSES, image_size=self.sizes.image_size)
        return Workload(architecture=find(self.architecture)[0], request=request)

    def build(self) -> nn.Module:
        """Return the network in training mode on the device."""
        with self.device.torch_device:  # a GPU initialises 100 million weights in no time
            return self.workload.architecture.build(self.workload.request).train()

    def device_batch(self) -> tuple[Tensor, Tensor]:
        """Return normalised images and labels on the device."""
        shape = (self.batch_size, 3, self.sizes.image_size, self.sizes.image_size)
        labels = torch.arange(self.batch_size) % NUM_CLASSES
        return torch.randn(shape, device=self.device.torch_device), labels.to(self.device.torch_device)


class Meter:
    """Counts training steps for some seconds, after warm-up steps that are not counted."""

    def __init__(self, setting: Setting, warm_steps: int, seconds: float) -> None:
        self._device = setting.device
        self._batch_size = setting.batch_size
        self._warm_steps = warm_steps
        self._seconds = seconds
        self._steps = 0
        self._started = self._stopped = 0.0
        self._joules: list[float] = []
        """Values of the energy counter at the start and at the end."""
        self._events: deque[Event] = deque()
        """Events at the ends of the last steps."""
        self._counter: EnergyCounter | None = None
        self._no_counter: str | None = None
        try:
            self._counter = find_counter(self._device.torch_device)
        except OSError as error:
            self._no_counter = str(error)

    def step(self) -> bool:
        """Count a step that was started, and return whether the time is over; then the device has been synchronised."""
        self._steps += 1
        self._wait_if_ahead()
        if self._steps == self._warm_steps:
            self._device.synchronize()
            self._device.reset_peaks()
            self._read_counter()
            self._started = time.perf_counter()
        elif self._steps > self._warm_steps and time.perf_counter() - self._started >= self._seconds:
            self._device.synchronize()
            self._stopped = time.perf_counter()
            self._read_counter()
            return True
        return False

    def figures(self) -> tuple[Figure, ...]:
        """Return the speed, the energy and the memory of the counted steps."""
        num_images = (self._steps - self._warm_steps) * self._batch_size
        allocator = self._device.allocator_figures()
        joules = self._joules[1] - self._joules[0] if len(self._joules) > 1 else None
        return (
            Figure(name=SPEED, value=num_images / (self._stopped - self._started), unit="images/s"),
            Figure(
                name="energy",
                value=None if joules is None else joules / num_images,
                unit="J/image",
                absent=self._no_counter,
            ),
            Figure(name="peak allocated", value=allocator.allocated_bytes, unit="bytes"),
            Figure(name="peak reserved", value=allocator.reserved_bytes, unit="bytes"),
        )

    def _wait_if_ahead(self) -> None:
        """Wait until the GPU is at most `_MAX_AHEAD` steps behind."""
        if len(self._events) < _MAX_AHEAD:
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
    """A stream that repeats one batch, which is on the device."""

    steps_per_epoch = 1

    def __init__(self, batch: Batch, device: torch.device) -> None:
        self._batch = Batch(batch.inputs.to(device), batch.labels.to(device), batch.content)

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Yield the batch without end."""
        while True:
            yield self._batch


def time_harness(setting: Setting, meter: Meter, *, on_device: bool = False) -> str | None:
    """Train as the process of a run does until the time of the meter is over.

    With `on_device` all steps have one batch on the device, in place of the loader's batches.

    Returns:
        Why the harness took eager steps in place of those that the setting asks for; `None` if it did not.
    """
    fallback: str | None = None
    stream = setting.stream
    batches = OneBatch(stream.batch(0), setting.device.torch_device) if on_device else stream

    def on_step(step: Step) -> None:
        nonlocal fallback
        fallback = step.fallback
        if meter.step():
            raise _EnoughError

    with suppress(_EnoughError):
        train_harness(setting.workload, setting.conditions, setting.execution, batches, on_step)
    return fallback


def plain(setting: Setting) -> TakeStep:
    """Return a step in float32 and NCHW, with the defaults of Adam, that waits for its loss."""
    return plain_step(setting.workload, setting.build(), *setting.device_batch())


def tuned(setting: Setting, *, compiles: bool = False, capturable: bool = False) -> TakeStep:
    """Return a step with all that makes a GPU fast: bf16, channels_last, fused Adam, cuDNN's fastest kernels.

    Args:
        setting: The network, the device and the conditions.
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

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(images.device.type, dtype=torch.bfloat16):
            loss = setting.workload.loss(network, images, labels)
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
