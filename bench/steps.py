"""Training steps at 96 px and batch 32: the harness's own loop, and the loop of a tutorial.

Each runs in a process of its own, because a run's environment variables must stand before PyTorch starts, and a
tutorial's loop has none of them. `python -m bench.steps SIDE ARCHITECTURE` takes a step for every line that it reads,
and answers with its seconds; between its turns it does nothing. The sides alternate step by step: the parameters, the
optimizer's state and the activations of a step are larger than the caches, so that no step finds much from the last.
"""

import os
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

from bench.comparison import Turn
from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Split
from intelbench.data.decoding import Pixels
from intelbench.data.stream import TrainingStream
from intelbench.profiling.environment import choose_execution
from intelbench.profiling.steps import LapClock
from intelbench.profiling.variables import process_variables
from intelbench.profiling.workload import Workload
from intelbench.records.workspace import Checkpoint, Workspace
from intelbench.training.backbone import Backbone
from intelbench.training.budget import TrainingBudget
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.evaluate import Evaluator
from intelbench.training.loop import Step, train
from intelbench.training.precision import configure
from intelbench.training.setup import TrainingSetup
from tests.synthetic import Study, synthetic_run

NUM_CLASSES = 6
CONDITIONS = Conditions(
    image_size=96, precision="bf16", evaluation_points=1, budget=Budget(steps=1), recipe=Recipe(batch_size=32)
)
REQUEST = ModelRequest(num_classes=NUM_CLASSES, image_size=CONDITIONS.image_size)
EXECUTION = choose_execution("cpu", threads=1, workers=0, cache=True)
FOREVER = TrainingBudget(total_steps=10**9, total_seconds=None)
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


def has_bf16_instructions() -> bool:
    """Say whether this processor multiplies bfloat16, rather than emulating it in float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def conditions_here() -> Conditions:
    """Return the conditions of the benchmarks, in float32 where bfloat16 is emulated and takes ten times as long."""
    return CONDITIONS if has_bf16_instructions() else msgspec.structs.replace(CONDITIONS, precision="fp32")


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
    conditions = conditions_here()
    device = configure(conditions, EXECUTION)
    model = architecture.build(REQUEST).to(memory_format=torch.channels_last)
    setup = TrainingSetup(
        workload=Workload(architecture=architecture, request=REQUEST),
        evaluator=Evaluator(model, RandomPixels(1), conditions, device),
        backbone=Backbone(model),
        stream=stream_of(2),
        validation=split_of(1),
    )
    before = 0.0

    def on_step(step: Step) -> None:
        nonlocal before
        report(step.seconds - before)
        before = step.seconds

    train(setup, FOREVER, LapClock(device), on_step)


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
def steps_of(side: Literal["harness", "tutorial"], architecture: str) -> Iterator[Turn]:
    """Start a process of this side; each call of the turn takes a step there and returns its seconds."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, side, architecture],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=process_variables(EXECUTION.threads) if side == "harness" else one_thread,
    )
    asked, answers = process.stdin, process.stdout
    assert asked
    assert answers

    def step() -> float:
        asked.write(b"\n")
        asked.flush()
        return msgspec.json.decode(answers.readline(), type=float)

    try:
        yield step
    finally:
        process.kill()
        process.communicate()


def main(side: str, architecture: str) -> None:
    """Take a step for each line of the standard input."""

    def report(step_seconds: float) -> None:
        print(step_seconds, flush=True)
        wait_for_turn()

    wait_for_turn()
    SIDES[side](find(architecture)[0], report)


def wait_for_turn() -> None:
    """Read a line; at the end of the input, exit."""
    if not sys.stdin.readline():
        sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
