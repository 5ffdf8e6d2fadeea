"""The clock books every second to one part of a step, or to the pause between two."""

import time
from collections.abc import Callable
from itertools import cycle, islice

import numpy as np
import pytest
import torch

from intelbench.profiling.steps import DATA_WAIT, PARTS, PAUSE, PREPARATION, STEP, LapClock, Stretch
from tests.fake_cuda import FakeCuda, FakeEvent

Tick = Callable[[float], None]
CPU = torch.device("cpu")


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Tick:
    """A clock that advances when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def steps(clock: LapClock, tick: Tick, laps: list[tuple[Stretch, float]]) -> None:
    """Let time pass and book it."""
    for part, seconds in laps:
        tick(seconds)
        clock.lap(part)


def test_laps_go_to_their_parts(tick: Tick) -> None:
    """Waiting, step and what is outside are told apart; the budget holds the first two."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), (PAUSE, 4)])
    steps(clock, tick, [("transfer", 8), ("optimizer", 16), (PAUSE, 32)])
    assert 27 == clock.budget_seconds
    assert 27 == clock.settle()
    assert [2, 16] == clock.seconds(*STEP).tolist()
    assert [1, 8] == clock.seconds(*DATA_WAIT).tolist()
    assert [4, 32] == clock.seconds("norm", "other", PAUSE).tolist()


def test_a_step_may_be_booked_in_pieces(tick: Tick) -> None:
    """What is measured between the pieces is outside the budget."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("backward", 2), ("norm", 100), ("optimizer", 4), (PAUSE, 100)])
    assert 7 == clock.settle() == clock.budget_seconds
    assert [6] == clock.seconds(*STEP).tolist()
    assert [1] == clock.seconds(*DATA_WAIT).tolist()
    assert [200] == clock.seconds("norm", "other", PAUSE).tolist()


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_preparation_is_no_part_of_its_step(tick: Tick, device: str, request: pytest.FixtureRequest) -> None:
    """And outside the budget, whatever the clock looks at."""
    if device == "gpu":
        request.getfixturevalue("fake_cuda")
    clock = LapClock(CPU)
    clock.start()
    laps: list[tuple[Stretch, float]] = [("transfer", 1), (PREPARATION, 100), ("backward", 2), (PAUSE, 100)]
    steps(clock, tick, [*laps, ("transfer", 1), ("backward", 2), (PAUSE, 100)])
    assert pytest.approx(6) == clock.settle() == clock.budget_seconds
    assert pytest.approx([2, 2]) == clock.seconds(*STEP).tolist()
    assert pytest.approx(6) == clock.table().sum()
    assert [100, 0] == clock.seconds(PREPARATION).tolist()


@pytest.mark.usefixtures("fake_cuda")
def test_on_a_gpu_a_runs_clock_looks_seldom(tick: Tick) -> None:
    """Time until the batch is there goes to its transfer, the forward pass to the backward pass, the rest to pauses."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("transfer", 2), ("forward", 4), ("backward", 8)])
    steps(clock, tick, [("norm", 16), ("optimizer", 32), ("other", 64), (PAUSE, 128)])
    assert pytest.approx(1 + 2 + 4 + 8 + 32) == clock.settle() == clock.budget_seconds
    assert [1 + 2] == clock.seconds(*DATA_WAIT).tolist()
    assert [4 + 8 + 32] == clock.seconds(*STEP).tolist()
    assert [16 + 64 + 128] == clock.seconds("norm", "other", PAUSE).tolist()
    assert [0] == clock.seconds("forward").tolist() == clock.seconds("other").tolist()
    assert not clock.has_every_part


@pytest.mark.usefixtures("fake_cuda")
def test_a_part_that_is_not_noticed_is_not_in_the_budget_yet(tick: Tick) -> None:
    """The one that is under way counts when it ends."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("data_wait", 1)])
    assert 0 == clock.budget_seconds
    steps(clock, tick, [("transfer", 2), ("forward", 4)])
    assert 3 == clock.budget_seconds


def test_on_a_cpu_every_part_is_told_apart(tick: Tick) -> None:
    """Together they are the time that has passed, step by step; norm, other and pauses are outside the budget."""
    clock = LapClock(CPU)
    before = time.perf_counter()
    clock.start()
    stretches = (*PARTS, PAUSE)
    lasting = [2.0**power for power in range(2 * len(stretches))]
    steps(clock, tick, list(zip(islice(cycle(stretches), len(lasting)), lasting, strict=True)))
    budget = clock.settle()
    expected = np.array(lasting).reshape(2, -1)
    np.testing.assert_array_equal(expected, np.stack([clock.seconds(each) for each in stretches], axis=1))
    np.testing.assert_array_equal(expected[:, : len(PARTS)], clock.table())
    np.testing.assert_array_equal(clock.table(), clock.table(by_host=True))
    passed = clock.seconds(*stretches).sum()
    assert time.perf_counter() - before == passed
    assert passed - clock.seconds("norm", "other", PAUSE).sum() == budget == clock.budget_seconds


def test_settling_again_books_nothing_twice(tick: Tick) -> None:
    """Also between the pieces of a step."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("backward", 2)])
    assert [3, 3] == [clock.settle(), clock.settle()]
    steps(clock, tick, [("optimizer", 4), (PAUSE, 50)])
    assert 7 == clock.settle()
    steps(clock, tick, [("transfer", 8), ("optimizer", 16)])
    assert 31 == clock.settle() == clock.settle() == clock.budget_seconds
    assert [6, 16] == clock.seconds(*STEP).tolist()
    assert [1, 8] == clock.seconds(*DATA_WAIT).tolist()


@pytest.mark.parametrize("every_part", [False, True])
@pytest.mark.usefixtures("fake_cuda")
def test_time_before_a_start_is_outside_the_budget(tick: Tick, every_part: bool) -> None:
    """Starting anew, as after an evaluation, forgets what has passed."""
    clock = LapClock(CPU, every_part=every_part)
    tick(5)
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("transfer", 2), ("optimizer", 4)])
    tick(500)
    clock.start()
    steps(clock, tick, [("data_wait", 8), ("transfer", 16), ("optimizer", 32)])
    assert pytest.approx(63) == clock.settle() == clock.budget_seconds


def test_a_clock_without_steps_is_at_zero() -> None:
    """Nothing booked, nothing there."""
    clock = LapClock(CPU)
    clock.start()
    assert 0 == clock.settle() == clock.budget_seconds
    assert [] == clock.seconds(*STEP).tolist() == clock.table(by_host=True).tolist()


@pytest.mark.gpu
def test_a_gpus_laps_are_its_own_time() -> None:
    """A step that keeps the GPU busy is booked in full, though the host ran ahead of it and has an account of that."""
    clock = LapClock(torch.device("cuda"))
    matrix = torch.randn(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    clock.start()
    before = time.perf_counter()
    clock.lap("transfer")
    for _ in range(50):
        matrix = (matrix @ matrix) / 4096
    clock.lap("optimizer")
    total = clock.settle()
    assert 0 < total <= time.perf_counter() - before
    assert clock.seconds(*STEP)[0] > 10 * clock.seconds(*DATA_WAIT)[0]
    assert 0 < clock.table(by_host=True).sum() < clock.seconds(*STEP)[0]


def test_seconds_that_were_spared_can_be_charged(tick: Tick) -> None:
    """They count in the budget at once, as data wait of the step under way and of no other."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), (PAUSE, 4)])
    clock.settle()
    clock.add_seconds(100)
    assert 103 == clock.budget_seconds
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), (PAUSE, 4), ("transfer", 8), (PAUSE, 4)])
    assert 1 + 2 + 100 + 1 + 2 + 8 == clock.budget_seconds == clock.settle()
    assert [1, 101, 8] == clock.seconds(*DATA_WAIT).tolist()


def test_a_gpus_laps_are_those_of_its_events(tick: Tick, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """By event and not by the host's clock, in the sum of the budget too; the host has an account of its own."""
    monkeypatch.setattr(FakeEvent, "slowness", 3)
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), (PAUSE, 4)])
    assert 3 == clock.budget_seconds
    assert pytest.approx(9) == clock.settle()
    assert pytest.approx(9) == clock.budget_seconds
    assert pytest.approx([6]) == clock.seconds(*STEP).tolist()
    assert [[0, 1, 0, 0, 0, 2, 0]] == clock.table(by_host=True).tolist()
    assert 1 == fake_cuda.calls["synchronize"]


def test_a_budget_in_seconds_knows_what_the_gpu_took(
    tick: Tick, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for it: what laps have become replaces what the host had counted for them."""
    monkeypatch.setattr(FakeEvent, "slowness", 3)
    clock = LapClock(CPU, every_part=True)
    clock.start()
    for _ in range(100):
        steps(clock, tick, [("data_wait", 1), ("forward", 2), (PAUSE, 0.5)])
    assert 0 == fake_cuda.calls["synchronize"]
    assert 2 * 300 < clock.budget_seconds < 900
    assert pytest.approx(900) == clock.settle() == pytest.approx(clock.budget_seconds)


def test_a_gpus_events_are_used_again(fake_cuda: FakeCuda) -> None:
    """However many steps there are between two evaluations."""
    clock = LapClock(CPU)
    clock.start()
    for _ in range(1000):
        for part in ("transfer", "backward", "norm", "optimizer", PAUSE):
            clock.lap(part)
    assert FakeEvent.num_made < 100
    assert len(clock._laps) < 100
    clock.settle()
    assert 1000 == len(clock.seconds(*STEP))
    assert 0 == fake_cuda.calls["empty_cache"]
