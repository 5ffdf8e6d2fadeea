"""Training steps at 96 px and batch 32: the harness's own loop, and the loop of a tutorial.

Each runs in a process of its own, because a run's environment variables must stand before PyTorch starts, and a
tutorial's loop has none of them. `python -m bench.steps SIDE ARCHITECTURE` takes a block of steps for every line that
it reads, and answers with their seconds; between its turns it does nothing.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import nn

from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.data.dataset import Split
from intelbench.data.decoding import Pixels
from intelbench.data.stream import TrainingStream
from intelbench.profiling.environment import choose_execution
from intelbench.profiling.steps import LapClock
from intelbench.profiling.variables import process_variables
from intelbench.records.types import Budget, Conditions, Recipe
from intelbench.records.workspace import Checkpoint, Workspace
from intelbench.training.budget import Progress
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.evaluate import Evaluator
from intelbench.training.loop import Step, train
from intelbench.training.precision import configure
from tests.reporting.synthetic import Study, synthetic_run

NUM_CLASSES = 6
CONDITIONS = Conditions(
    image_size=96, precision="bf16", evaluation_points=1, budget=Budget(steps=1), recipe=Recipe(batch_size=32)
)
REQUEST = ModelRequest(num_classes=NUM_CLASSES, image_size=CONDITIONS.image_size)
FOREVER = Progress(total_steps=10**9, total_seconds=None)
BLOCK = 4
"""Steps a side takes before the other's turn; the first finds the other's data in the caches."""

Report = Callable[[float], None]


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


def checkpoints_of(workspace: Workspace) -> Checkpoints:
    """Those of a run that was never made."""
    record, _ = synthetic_run("resnet152", 0, Study())
    return Checkpoints(workspace, Checkpoint(step=0, done=0.0, spec=record.spec, environment=record.environment), None)


def split_of(num_images: int) -> Split:
    """As many images, of all classes in turn."""
    rows = tuple(range(num_images))
    return Split(tuple(f"train/{row:05d}.jpg" for row in rows), tuple(row % NUM_CLASSES for row in rows), rows)


def stream_of(num_batches: int) -> TrainingStream:
    """Training batches of noise."""
    num_images = num_batches * CONDITIONS.recipe.batch_size
    return TrainingStream(split_of(num_images), RandomPixels(num_images), CONDITIONS, seed=0)


def harness(architecture: Architecture, report: Report) -> None:
    """Train as a run's process does, and report the seconds of each step, data wait included."""
    device = configure(CONDITIONS, choose_execution("cpu", threads=None, workers=0, cache=True))
    model = architecture.build(REQUEST).to(memory_format=torch.channels_last)
    evaluator = Evaluator(model, RandomPixels(1), CONDITIONS, device)
    before = 0.0

    def watch(step: Step) -> None:
        nonlocal before
        report(step.seconds - before)
        before = step.seconds

    clock = LapClock(device)
    train(model, architecture, stream_of(2), split_of(1), evaluator, FOREVER, clock=clock, workers=0, watch=watch)


def tutorial(architecture: Architecture, report: Report) -> None:
    """Train in float32, NCHW, with Adam as it comes, on a batch that is already there."""
    model = architecture.build(REQUEST)
    model.train()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters())
    size = CONDITIONS.recipe.batch_size
    images = torch.randn(size, 3, CONDITIONS.image_size, CONDITIONS.image_size)
    labels = torch.randint(NUM_CLASSES, (size,))
    while True:
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        report(time.perf_counter() - start)


SIDES = {side.__name__: side for side in (harness, tutorial)}


@contextmanager
def blocks_of(side: Literal["harness", "tutorial"], architecture: str) -> Iterator[Callable[[], list[float]]]:
    """A process of that side; each call takes a block of steps there and returns the seconds of all but its first."""
    execution = choose_execution("cpu", threads=None, workers=0, cache=True)
    with subprocess.Popen(
        [sys.executable, "-m", __name__, side, architecture],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=process_variables(execution.threads) if side == "harness" else None,
    ) as process:
        asked, answers = process.stdin, process.stdout
        assert asked
        assert answers

        def block() -> list[float]:
            asked.write(b"\n")
            asked.flush()
            return msgspec.json.decode(answers.readline(), type=list[float])[1:]

        yield block


def main(side: str, architecture: str) -> None:
    """Take steps while somebody asks for them."""
    seconds: list[float] = []

    def report(step_seconds: float) -> None:
        seconds.append(step_seconds)
        if len(seconds) == BLOCK:
            print(msgspec.json.encode(seconds).decode(), flush=True)
            seconds.clear()
            wait_for_turn()

    wait_for_turn()
    SIDES[side](find(architecture)[0], report)


def wait_for_turn() -> None:
    """Read a line; where there is none any more, nobody waits for this process."""
    if not sys.stdin.readline():
        sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
