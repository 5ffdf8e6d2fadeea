"""Training steps at 96 px and batch 32: the harness's own loop against the loop of a tutorial."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from bench.conftest import Comparison, Pair, pytorch_as_it_comes
from intelbench.architectures.reference import REFERENCE
from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.data.dataset import Split
from intelbench.data.pixels import Pixels
from intelbench.data.stream import StreamDigest, TrainingStream
from intelbench.orchestration.execute import _as_beats
from intelbench.orchestration.job import Beat
from intelbench.profiling.steps import LapClock
from intelbench.records.types import Budget, Conditions, Recipe
from intelbench.training.budget import Progress, learning_rate
from intelbench.training.evaluate import Evaluator
from intelbench.training.journal import Journal
from intelbench.training.loop import Step, train
from intelbench.training.optimizer import set_learning_rate

CPU = torch.device("cpu")
NUM_CLASSES = 6
CONDITIONS = Conditions(
    image_size=96, precision="bf16", evaluation_points=1, budget=Budget(steps=1), recipe=Recipe(batch_size=32)
)
REQUEST = ModelRequest(num_classes=NUM_CLASSES, image_size=CONDITIONS.image_size)
FASTEST = "inception_v3"
BLOCK = 4
"""Steps a side takes before the other's turn; the first finds the other's data in the caches and is left out."""
TIMED_BLOCKS = 2
"""After one block of warm-up."""
CALLS = 1000
"""Of the harness's own code, beside each training step."""


class RandomPixels:
    """A pixel source of noise, in the size of the Intel images."""

    def __init__(self, num_images: int) -> None:
        shape = (num_images, 150, 150, 3)
        self._pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def read(self, row: int) -> Pixels:
        """The image of that row."""
        pixels: Pixels = self._pixels[row]
        return pixels

    def release(self) -> None:
        """Nothing is held beyond the array itself."""


def split_of(num_images: int) -> Split:
    """As many images, of all classes in turn."""
    rows = tuple(range(num_images))
    return Split(tuple(f"train/{row:05d}.jpg" for row in rows), tuple(row % NUM_CLASSES for row in rows), rows)


def stream_of(num_batches: int) -> TrainingStream:
    """Training batches of noise."""
    num_images = num_batches * CONDITIONS.recipe.batch_size
    return TrainingStream(split_of(num_images), RandomPixels(num_images), CONDITIONS, seed=0)


def steps_beside(architecture: Architecture, other: Callable[[], float], num_blocks: int) -> list[Pair]:
    """Train with the harness, call `other` as often, in turn and outside its clock, and pair what both took."""
    model = architecture.build(REQUEST).to(memory_format=torch.channels_last)
    validation, num_steps = split_of(2), (1 + num_blocks) * BLOCK
    beside: list[float] = []

    def watch(step: Step) -> None:
        if step.number % BLOCK == 0:
            beside.extend(other() for _ in range(BLOCK))

    trained = train(
        model,
        architecture,
        stream_of(2),
        validation,
        Evaluator(model, RandomPixels(2), CONDITIONS, CPU),
        Progress(total_steps=num_steps, total_seconds=None),
        workers=0,
        watch=watch,
    )
    steps, waits = (trained.traces[name].tolist() for name in ("step_seconds", "data_wait_seconds"))
    pairs = [Pair(step + wait, seconds) for step, wait, seconds in zip(steps, waits, beside, strict=True)]
    return [pair for number, pair in enumerate(pairs) if number >= BLOCK and number % BLOCK]


def tutorial_step(architecture: Architecture) -> Callable[[], float]:
    """The step of a plain loop: float32, NCHW, Adam as it comes, on a batch that is already there; returns seconds."""
    model = architecture.build(REQUEST)
    model.train()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters())
    size = CONDITIONS.recipe.batch_size
    images = torch.randn(size, 3, CONDITIONS.image_size, CONDITIONS.image_size)
    labels = torch.randint(NUM_CLASSES, (size,))

    def step() -> float:
        with pytorch_as_it_comes():
            start = time.perf_counter()
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()
            return time.perf_counter() - start

    return step


def own_code() -> Callable[[], float]:
    """All that the harness does in a step beside training; returns seconds of one step's worth."""
    validation, stream, recipe = split_of(300), stream_of(1), CONDITIONS.recipe
    clock, digest, journal = LapClock(CPU), StreamDigest(), Journal(CPU, validation)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    batch, loss, norm = stream.batch(0), torch.tensor(1.5, requires_grad=True), torch.tensor(1.0)
    beats: list[Beat] = []
    watch = _as_beats(beats.append, recipe.batch_size)
    progress = Progress(total_steps=10**9, total_seconds=None)

    def code() -> float:
        beats.clear()
        start = time.perf_counter()
        for step in range(1, CALLS + 1):
            clock.lap("data_wait")
            rate = learning_rate(recipe, step / CALLS)
            set_learning_rate(optimizer, rate)
            clock.lap("step")
            clock.lap("outside")
            clock.lap("step")
            digest.update(batch)
            journal.write(loss, norm, rate)
            done = progress.done(step, clock.budget_seconds)
            watch(Step(step, done, clock.budget_seconds, journal.latest_loss, journal.latest_accuracy))
            clock.lap("outside")
        return (time.perf_counter() - start) / CALLS

    return code


def has_bf16_instructions() -> bool:
    """Whether this processor multiplies bfloat16, rather than emulating it in float32."""
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@pytest.mark.parametrize("name", REFERENCE)
def test_training_step(comparison: Comparison, name: str) -> None:
    """A step of the harness, data wait included, is at least 1.75 times as fast as that of a plain float32 loop."""
    if comparison.enabled and not has_bf16_instructions():
        pytest.skip("the 1.75 holds where the processor has bfloat16 instructions; this one has none")
    architecture, _ = find(name)
    step = tutorial_step(architecture)
    pairs = comparison.once(lambda: steps_beside(architecture, step, comparison.rounds(TIMED_BLOCKS)))
    comparison.speedup(pairs, at_least=1.75)


def test_harness_overhead(comparison: Comparison) -> None:
    """Clock, digest, journal, schedule and signs of life take less than 1 % of the cheapest network's step."""
    architecture, _ = find(FASTEST)
    code = own_code()
    pairs = comparison.once(lambda: steps_beside(architecture, code, comparison.rounds(TIMED_BLOCKS)))
    comparison.cost([Pair(harness=code, reference=step) for step, code in pairs], at_most=0.01)
