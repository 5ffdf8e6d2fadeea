"""Time training steps at 96 px and batch 32: the harness's own loop against the loop of a tutorial."""

import time
from pathlib import Path

import pytest
import torch

from bench.comparison import Comparison
from bench.steps import (
    CONDITIONS,
    FOREVER,
    checkpoints_of,
    split_of,
    steps_of,
    stream_of,
)
from intelbench.architectures.reference import REFERENCE
from intelbench.data.stream import StreamDigest
from intelbench.orchestration.execute import _progress_of_steps
from intelbench.orchestration.job import Progress
from intelbench.profiling.meters import Meters
from intelbench.profiling.steps import LapClock
from intelbench.records.workspace import Workspace
from intelbench.training.budget import learning_rate
from intelbench.training.journal import Journal
from intelbench.training.loop import Step
from intelbench.training.optimizer import make_optimizer, set_learning_rate
from intelbench.training.ranks import ALONE

CPU = torch.device("cpu")
FASTEST = "inception_v3"
ALLOWANCES = {
    "inception_v3": 30,
    "resnet101": 40,
    "resnet101_leaky": 40,
    "resnet152": 55,
    "wide_resnet101_2": 90,
}
"""Seconds for the benchmark of each architecture, set-up included."""
CALLS = 1000
"""Number of steps for which the harness's own code runs in a pair."""


def own_code_seconds() -> float:
    """Return the seconds that the harness spends in a step in addition to training."""
    stream, recipe = stream_of(1), CONDITIONS.recipe
    clock, digest, journal = LapClock(CPU), StreamDigest(), Journal(CPU, split_of(300))
    optimizer = make_optimizer(torch.nn.Linear(1, 1), CONDITIONS)
    batch, loss, norm = stream.batch(0), torch.tensor(1.5, requires_grad=True), torch.tensor(1.0)
    updates: list[Progress] = []
    as_progress = _progress_of_steps(recipe.batch_size)
    meters = Meters(CPU, torch.float32)
    checkpoints = checkpoints_of(Workspace(Path(), "bench"))
    meters.start()
    start = time.perf_counter()
    for step in range(1, CALLS + 1):
        clock.lap("data_wait")
        clock.lap("transfer")
        rate = learning_rate(recipe, step / CALLS)
        set_learning_rate(optimizer, rate)
        clock.lap("forward")
        clock.lap("backward")
        clock.lap("norm")
        clock.lap("optimizer")
        digest.update(batch)
        journal.add_step(ALONE.mean(loss), norm, rate)
        done = FOREVER.done(step, clock.budget_seconds)
        clock.lap("other")
        done = ALONE.agree(done)
        meters.step(step, at_evaluation=False)
        sign = Step(step, done, clock.budget_seconds, *journal.latest, False)
        updates.append(as_progress(sign))
        assert not checkpoints.due(at_evaluation=False)
        assert not ALONE.agree(done >= 1 or journal.divergence is not None)
        clock.lap("pause")
    return (time.perf_counter() - start) / CALLS


@pytest.mark.bf16
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.allowance(seconds=ALLOWANCES[name])) for name in REFERENCE]
)
def test_training_step(comparison: Comparison, name: str) -> None:
    """A step of the harness, data loading time included, is at least 1.75 times as fast as a plain float32 step."""
    with steps_of("tutorial", name) as tutorial, steps_of("harness", name) as harness:
        comparison.speedup(harness, tutorial, at_least=1.75)


@pytest.mark.allowance(seconds=25)
def test_harness_overhead(comparison: Comparison) -> None:
    """Clock, meters, digest, journal, schedule, ranks and progress take less than 1 % of the cheapest step."""
    with steps_of("harness", FASTEST) as harness:
        comparison.cost(own_code_seconds, harness, at_most=0.01)
