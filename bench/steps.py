"""Take training steps at 96 px and batch 32, by the harness's own loop or by the loop of a tutorial.

Each side has its own process, because the environment variables of a run must be set before PyTorch starts, and a
tutorial does not set them. `python -m bench.steps SIDE ARCHITECTURE` takes a step for every line that it reads, and
prints its seconds. The sides alternate step by step: parameters, optimizer state and activations of a step are larger
than the caches, so a step does not profit from the step before.
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
from torch import Tensor, nn

from bench.comparison import Turn
from intelbench.architectures.registry import ModelRequest, find
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Split
from intelbench.data.decoding import Pixels
from intelbench.data.stream import BatchSource, TrainingStream
from intelbench.profiling.environment import choose_execution
from intelbench.profiling.steps import LapClock
from intelbench.profiling.variables import process_variables
from intelbench.profiling.workload import Workload
from intelbench.records.types import Execution
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
    """A pixel source of noise with the size of the Intel images."""

    def __init__(self, num_images: int) -> None:
        shape = (num_images, 150, 150, 3)
        self._pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def read(self, row: int) -> Pixels:
        """Return the image of a row."""
        pixels: Pixels = self._pixels[row]
        return pixels

    def release(self) -> None:
        """Do nothing, because no memory is kept."""


def has_bf16_instructions() -> bool:
    """Return whether this CPU has bfloat16 instructions, so that PyTorch does not emulate them in float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def conditions_here() -> Conditions:
    """Return the conditions of the benchmarks, in float32 if bfloat16 is emulated and takes ten times as long."""
    return CONDITIONS if has_bf16_instructions() else msgspec.structs.replace(CONDITIONS, precision="fp32")


def checkpoints_of(workspace: Workspace) -> Checkpoints:
    """Return the checkpoints of an artificial run."""
    record, _ = synthetic_run("resnet152", 0, Study())
    return Checkpoints(workspace, Checkpoint(step=0, done=0.0, spec=record.spec, environment=record.environment), None)


def split_of(num_images: int) -> Split:
    """Return a split of `num_images` images, whose classes alternate."""
    rows = tuple(range(num_images))
    return Split(tuple(f"train/{row:05d}.jpg" for row in rows), tuple(row % NUM_CLASSES for row in rows), rows)


def stream_of(num_batches: int) -> TrainingStream:
    """Return training batches of noise, `num_batches` in an epoch."""
    num_images = num_batches * CONDITIONS.recipe.batch_size
    return TrainingStream(split_of(num_images), RandomPixels(num_images), CONDITIONS, seed=0)


def train_harness(
    workload: Workload,
    conditions: Conditions,
    execution: Execution,
    stream: BatchSource,
    on_step: Callable[[Step], None],
    budget: TrainingBudget = FOREVER,
) -> None:
    """Train as the process of a run does."""
    device = configure(conditions, execution)
    with device:  # a GPU initialises 100 million weights in no time
        model = workload.architecture.build(workload.request).train().to(memory_format=torch.channels_last)
    setup = TrainingSetup(
        workload=workload,
        evaluator=Evaluator(model, RandomPixels(1), conditions, device, workers=execution.workers),
        backbone=Backbone(model),
        stream=stream,
    )
    train(setup, budget, LapClock(device), on_step)


def plain_step(workload: Workload, model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], float]:
    """Return a training step as in a tutorial: float32, NCHW, Adam with its defaults, waiting for the loss."""
    optimizer = torch.optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad])

    def step() -> float:
        optimizer.zero_grad()
        loss = workload.loss(model, images, labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def random_batch() -> tuple[Tensor, Tensor]:
    """Return a batch of random images and labels."""
    size, pixels = CONDITIONS.recipe.batch_size, CONDITIONS.image_size
    return torch.randn(size, 3, pixels, pixels), torch.randint(NUM_CLASSES, (size,))


def harness(workload: Workload, report: Report) -> None:
    """Train as the process of a run does, and report the seconds of each step, data loading time included."""
    before = 0.0

    def on_step(step: Step) -> None:
        nonlocal before
        report(step.seconds - before)
        before = step.seconds

    train_harness(workload, conditions_here(), EXECUTION, stream_of(2), on_step)


def tutorial(workload: Workload, report: Report) -> None:
    """Train on one batch in memory as a tutorial does, and report the seconds of each step."""
    step = plain_step(workload, workload.architecture.build(REQUEST).train(), *random_batch())
    while True:
        start = time.perf_counter()
        step()
        report(time.perf_counter() - start)


SIDES = {side.__name__: side for side in (harness, tutorial)}


@contextmanager
def steps_of(side: Literal["harness", "tutorial"], architecture: str) -> Iterator[Turn]:
    """Start a process of a side, and yield a turn that takes a step there and returns its seconds."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, side, architecture],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=process_variables(EXECUTION.threads) if side == "harness" else one_thread,
    )
    requests, answers = process.stdin, process.stdout
    assert requests
    assert answers

    def step() -> float:
        requests.write(b"\n")
        requests.flush()
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
    SIDES[side](Workload(architecture=find(architecture)[0], request=REQUEST), report)


def wait_for_turn() -> None:
    """Read a line of the standard input, and exit at its end."""
    if not sys.stdin.readline():
        sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
