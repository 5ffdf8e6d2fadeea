"""Training steps at 96 px and batch 32: the harness's own loop against the loop of a tutorial."""

import time
from pathlib import Path

import pytest
import torch

from bench.conftest import Comparison, Times
from bench.quiet import undisturbed
from bench.steps import CONDITIONS, FOREVER, blocks_of, checkpoints_of, split_of, stream_of
from intelbench.architectures.reference import REFERENCE
from intelbench.data.stream import StreamDigest
from intelbench.orchestration.execute import _as_beats
from intelbench.orchestration.job import Beat
from intelbench.profiling.meters import Meters
from intelbench.profiling.steps import LapClock
from intelbench.records.workspace import Workspace
from intelbench.training.budget import learning_rate
from intelbench.training.journal import Journal
from intelbench.training.loop import Step
from intelbench.training.optimizer import make_optimizer, set_learning_rate

CPU = torch.device("cpu")
FASTEST = "inception_v3"
TIMED_SECONDS = 60
"""Undisturbed ones, for both sides of one architecture, after a block of each that is not counted."""
CALLS = 1000
"""Of the harness's own code, beside each training step."""


def own_code_seconds() -> float:
    """All that the harness does in a step beside training; seconds of one step's worth."""
    stream, recipe = stream_of(1), CONDITIONS.recipe
    clock, digest, journal = LapClock(CPU), StreamDigest(), Journal(CPU, split_of(300))
    optimizer = make_optimizer(torch.nn.Linear(1, 1), CONDITIONS)
    batch, loss, norm = stream.batch(0), torch.tensor(1.5, requires_grad=True), torch.tensor(1.0)
    beats: list[Beat] = []
    as_beat = _as_beats(recipe.batch_size)
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
        journal.write(loss, norm, rate)
        done = FOREVER.done(step, clock.budget_seconds)
        meters.step(step, at_evaluation=False)
        sign = Step(step, done, clock.budget_seconds, journal.latest_loss, journal.latest_accuracy, False)
        beats.append(as_beat(sign))
        assert not checkpoints.due(at_evaluation=False)
        clock.lap("other")
    return (time.perf_counter() - start) / CALLS


def has_bf16_instructions() -> bool:
    """Whether this processor multiplies bfloat16, rather than emulating it in float32."""
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@pytest.mark.parametrize("name", REFERENCE)
def test_training_step(comparison: Comparison, name: str) -> None:
    """A step of the harness, data wait included, is at least 1.75 times as fast as that of a plain float32 loop."""
    if comparison.enabled and not has_bf16_instructions():
        pytest.skip("the 1.75 holds where the processor has bfloat16 instructions; this one has none")

    def in_turn() -> Times:
        with blocks_of("tutorial", name) as tutorial, blocks_of("harness", name) as harness:

            def block() -> Times:
                reference = tutorial()
                return Times(harness(), reference)

            block()
            if not comparison.enabled:
                return block()
            times, comparison.note = undisturbed(block, TIMED_SECONDS)
        return times

    comparison.speedup(comparison.once(in_turn), at_least=1.75)


def test_harness_overhead(comparison: Comparison) -> None:
    """Clock, meters, digest, journal, schedule and signs of life take less than 1 % of the cheapest network's step."""

    def in_turn() -> Times:
        with blocks_of("harness", FASTEST) as harness:
            steps = harness() + harness()
        return Times([own_code_seconds() for _ in steps], steps)

    comparison.cost(comparison.once(in_turn), at_most=0.01)
