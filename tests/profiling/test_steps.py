"""The clock books every second to one account."""

import time
from collections.abc import Callable
from itertools import cycle, islice

import pytest
import torch

from intelbench.profiling.steps import ANATOMY, PARTS, TIMED, LapClock, Part
from tests.fake_cuda import FakeCuda, FakeEvent

Tick = Callable[[float], None]
CPU = torch.device("cpu")


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Tick:
    """A clock that goes on when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def steps(clock: LapClock, tick: Tick, laps: list[tuple[Part, float]]) -> None:
    """Let time pass and book it."""
    for part, seconds in laps:
        tick(seconds)
        clock.lap(part)


def test_laps_go_to_their_accounts(tick: Tick) -> None:
    """Waiting, step and what is outside are told apart; the budget holds the first two."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), ("other", 4)])
    steps(clock, tick, [("transfer", 8), ("optimizer", 16), ("other", 32)])
    assert 27 == clock.budget_seconds
    assert 27 == clock.settle()
    assert [2, 16] == clock.seconds("step").tolist()
    assert [1, 8] == clock.seconds("data_wait").tolist()
    assert [4, 32] == clock.seconds("outside").tolist()


def test_a_step_may_be_booked_in_pieces(tick: Tick) -> None:
    """What is measured between the pieces is outside the budget."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("backward", 2), ("norm", 100), ("optimizer", 4), ("other", 100)])
    assert 7 == clock.settle() == clock.budget_seconds
    assert [6] == clock.seconds("step").tolist()
    assert [1] == clock.seconds("data_wait").tolist()
    assert [200] == clock.seconds("outside").tolist()


def test_a_runs_clock_takes_no_notice_of_parts_within_an_account(tick: Tick) -> None:
    """Time until the batch is there goes to the account that ends with its transfer, the forward pass to the step."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("transfer", 2), ("forward", 4), ("backward", 8)])
    steps(clock, tick, [("norm", 16), ("optimizer", 32), ("other", 64)])
    assert 1 + 2 + 4 + 8 + 32 == clock.settle() == clock.budget_seconds
    assert [1 + 2] == clock.seconds("data_wait").tolist()
    assert [4 + 8 + 32] == clock.seconds("step").tolist()
    assert [16 + 64] == clock.seconds("outside").tolist()
    assert [0] == clock.seconds("forward").tolist()


def test_a_part_that_is_not_noticed_is_not_in_the_budget_yet(tick: Tick) -> None:
    """The account that is under way counts when it ends."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("data_wait", 1)])
    assert 0 == clock.budget_seconds
    steps(clock, tick, [("transfer", 2), ("forward", 4)])
    assert 3 == clock.budget_seconds


def test_an_anatomy_has_an_account_for_each_part(tick: Tick) -> None:
    """Together they are the time that has passed, step by step; norm and other are outside the budget."""
    clock = LapClock(CPU, ANATOMY)
    before = time.perf_counter()
    clock.start()
    lasting = [2.0**power for power in range(2 * len(PARTS))]
    steps(clock, tick, list(zip(islice(cycle(PARTS), len(lasting)), lasting, strict=True)))
    budget = clock.settle()
    assert dict(zip(PARTS, zip(lasting[: len(PARTS)], lasting[len(PARTS) :], strict=True), strict=True)) == {
        part: tuple(clock.seconds(part)) for part in PARTS
    }
    passed = sum(clock.seconds(part).sum() for part in PARTS)
    assert time.perf_counter() - before == passed
    assert passed - clock.seconds("norm").sum() - clock.seconds("other").sum() == budget == clock.budget_seconds


def test_a_processors_clock_is_the_hosts(tick: Tick) -> None:
    """Without a GPU nobody is asked for work that somebody else does."""
    clock = LapClock(CPU, ANATOMY)
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("forward", 2), ("data_wait", 4), ("forward", 8)])
    clock.settle()
    assert [2, 8] == clock.seconds("forward").tolist() == clock.host_seconds("forward").tolist()


@pytest.mark.parametrize("accounts", [TIMED, ANATOMY])
def test_accounts_are_those_of_parts(accounts: dict[Part, str]) -> None:
    """A step has every part that a clock books, and begins with the account that comes first."""
    assert set(accounts) <= set(PARTS)
    assert "data_wait" == next(iter(accounts.values()))


def test_settling_again_books_nothing_twice(tick: Tick) -> None:
    """Also between the pieces of a step."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("backward", 2)])
    assert [3, 3] == [clock.settle(), clock.settle()]
    steps(clock, tick, [("optimizer", 4), ("other", 50)])
    assert 7 == clock.settle()
    steps(clock, tick, [("transfer", 8), ("optimizer", 16)])
    assert 31 == clock.settle() == clock.settle() == clock.budget_seconds
    assert [6, 16] == clock.seconds("step").tolist()
    assert [1, 8] == clock.seconds("data_wait").tolist()


@pytest.mark.parametrize("accounts", [TIMED, ANATOMY])
def test_time_before_a_start_is_outside_the_budget(tick: Tick, accounts: dict[Part, str]) -> None:
    """Starting anew, as after an evaluation, forgets what has passed."""
    clock = LapClock(CPU, accounts)
    tick(5)
    clock.start()
    steps(clock, tick, [("data_wait", 1), ("transfer", 2), ("optimizer", 4)])
    tick(500)
    clock.start()
    steps(clock, tick, [("data_wait", 8), ("transfer", 16), ("optimizer", 32)])
    assert 63 == clock.settle() == clock.budget_seconds


def test_a_clock_without_steps_is_at_zero() -> None:
    """Nothing booked, nothing there."""
    clock = LapClock(CPU)
    clock.start()
    assert 0 == clock.settle() == clock.budget_seconds
    assert [] == clock.seconds("step").tolist() == clock.host_seconds("data_wait").tolist()


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
    assert clock.seconds("step")[0] > 10 * clock.seconds("data_wait")[0]
    assert 0 < clock.host_seconds("step")[0] < clock.seconds("step")[0]


def test_seconds_that_were_spared_can_be_charged(tick: Tick) -> None:
    """They count in the budget at once, as data wait of the step under way and of no other."""
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), ("other", 4)])
    clock.settle()
    clock.charge(100)
    assert 103 == clock.budget_seconds
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), ("other", 4), ("transfer", 8), ("other", 4)])
    assert 1 + 2 + 100 + 1 + 2 + 8 == clock.budget_seconds == clock.settle()
    assert [1, 101, 8] == clock.seconds("data_wait").tolist()


def test_a_gpus_laps_are_those_of_its_events(tick: Tick, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """By event and not by the host's clock, in the sum of the budget too; the host has an account of its own."""
    monkeypatch.setattr(FakeEvent, "slowness", 3)
    clock = LapClock(CPU)
    clock.start()
    steps(clock, tick, [("transfer", 1), ("optimizer", 2), ("other", 4)])
    assert 3 == clock.budget_seconds
    assert pytest.approx(9) == clock.settle()
    assert pytest.approx(9) == clock.budget_seconds
    assert pytest.approx([6]) == clock.seconds("step").tolist()
    assert [2] == clock.host_seconds("step").tolist()
    assert 1 == fake_cuda.calls["synchronize"]


def test_a_budget_in_seconds_knows_what_the_gpu_took(
    tick: Tick, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without waiting for it: what laps have become replaces what the host had counted for them."""
    monkeypatch.setattr(FakeEvent, "slowness", 3)
    clock = LapClock(CPU, ANATOMY)
    clock.start()
    for _ in range(100):
        steps(clock, tick, [("data_wait", 1), ("forward", 2), ("other", 0.5)])
    assert 0 == fake_cuda.calls["synchronize"]
    assert 2 * 300 < clock.budget_seconds < 900
    assert pytest.approx(900) == clock.settle() == pytest.approx(clock.budget_seconds)


def test_a_gpus_events_are_used_again(fake_cuda: FakeCuda) -> None:
    """However many steps there are between two evaluations."""
    clock = LapClock(CPU)
    clock.start()
    for _ in range(1000):
        for part in ("transfer", "backward", "norm", "optimizer", "other"):
            clock.lap(part)
    assert FakeEvent.num_made < 100
    assert len(clock._laps) < 100
    clock.settle()
    assert 1000 == len(clock.seconds("step"))
    assert 0 == fake_cuda.calls["empty_cache"]
