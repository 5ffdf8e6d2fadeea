"""The clock books every second to one account."""

import time
from collections.abc import Callable

import pytest
import torch

from intelbench.profiling.steps import LapClock

Tick = Callable[[float], None]


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Tick:
    """A clock that goes on when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def steps(clock: LapClock, tick: Tick, laps: list[tuple[str, float]]) -> None:
    """Let time pass and book it."""
    for account, seconds in laps:
        tick(seconds)
        clock.lap(account)  # type: ignore[arg-type]


def test_laps_go_to_their_accounts(tick: Tick) -> None:
    """Waiting, step and what is outside are told apart; the budget holds the first two."""
    clock = LapClock(torch.device("cpu"))
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("step", 2), ("outside", 4), ("data_wait", 8), ("step", 16), ("outside", 32)])
    assert 27 == clock.budget_seconds
    assert 27 == clock.settle()
    assert [2, 16] == clock.step_seconds().tolist()
    assert [1, 8] == clock.data_wait_seconds().tolist()


def test_a_step_may_be_booked_in_pieces(tick: Tick) -> None:
    """What is measured between the pieces is outside the budget."""
    clock = LapClock(torch.device("cpu"))
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("step", 2), ("outside", 100), ("step", 4), ("outside", 100), ("step", 8)])
    assert 15 == clock.settle() == clock.budget_seconds
    assert [14] == clock.step_seconds().tolist()
    assert [1] == clock.data_wait_seconds().tolist()


def test_settling_again_books_nothing_twice(tick: Tick) -> None:
    """Also between the pieces of a step."""
    clock = LapClock(torch.device("cpu"))
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("step", 2)])
    assert [3, 3] == [clock.settle(), clock.settle()]
    steps(clock, tick, [("step", 4), ("outside", 50)])
    assert 7 == clock.settle()
    steps(clock, tick, [("data_wait", 8), ("step", 16)])
    assert 31 == clock.settle() == clock.settle() == clock.budget_seconds
    assert [6, 16] == clock.step_seconds().tolist()
    assert [1, 8] == clock.data_wait_seconds().tolist()


def test_time_before_a_start_is_not_booked(tick: Tick) -> None:
    """Starting anew, as after an evaluation, forgets what has passed."""
    clock = LapClock(torch.device("cpu"))
    tick(5)
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("step", 2)])
    tick(500)
    clock.start()
    steps(clock, tick, [("data_wait", 4), ("step", 8)])
    assert 15 == clock.settle() == clock.budget_seconds


def test_a_clock_without_steps_is_at_zero() -> None:
    """Nothing booked, nothing there."""
    clock = LapClock(torch.device("cpu"))
    clock.start()
    assert 0 == clock.settle() == clock.budget_seconds
    assert [] == clock.step_seconds().tolist() == clock.data_wait_seconds().tolist()


@pytest.mark.gpu
def test_a_gpus_laps_are_its_own_time() -> None:
    """A step that keeps the GPU busy is booked in full, though the host ran ahead of it."""
    clock = LapClock(torch.device("cuda"))
    matrix = torch.randn(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    clock.start()
    before = time.perf_counter()
    clock.lap("data_wait")
    for _ in range(50):
        matrix = (matrix @ matrix) / 4096
    clock.lap("step")
    total = clock.settle()
    assert 0 < total <= time.perf_counter() - before
    assert clock.step_seconds()[0] > 10 * clock.data_wait_seconds()[0]
