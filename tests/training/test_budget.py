"""A budget becomes steps or seconds, and the share that is spent determines the learning rate."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.errors import UserError
from intelbench.training.budget import TrainingBudget, learning_rate


def progress(budget: Budget, flops_per_image: float | None = 1e9) -> TrainingBudget:
    """Return the budget of a run with batches of 8 and 10 steps an epoch."""
    return TrainingBudget.of(budget, batch_size=8, steps_per_epoch=10, flops_per_image=flops_per_image)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(steps=7), 7),
        (Budget(epochs=3), 30),
        (Budget(epochs=0.25), 2),
        (Budget(epochs=0.01), 1),
        (Budget(images=80), 10),
        (Budget(images=81), 11),
        (Budget(images=1), 1),
        (Budget(flops=8e9), 1),
        (Budget(flops=39e9), 4),
    ],
)
def test_budgets_in_steps(budget: Budget, steps: int) -> None:
    """Images are rounded up to a complete batch, FLOPs are rounded down, and part of an epoch is at least one step."""
    assert TrainingBudget(steps, None) == progress(budget)


def test_a_budget_in_seconds_stays_one() -> None:
    """A budget in seconds needs no FLOPs and has no number of steps."""
    assert TrainingBudget(None, 60) == progress(Budget(seconds=60), None)


def test_too_few_flops_are_refused() -> None:
    """The message gives the budget, the batch size and the FLOPs of an image."""
    with pytest.raises(UserError) as caught:
        progress(Budget(flops=7.9e9))
    assert "the budget of 7900000000 flops buys no step of 8 images at 1e+09 FLOPs an image" == str(caught.value)


def test_flops_need_a_network_that_can_be_counted() -> None:
    """The message suggests another unit."""
    with pytest.raises(UserError, match="use another unit"):
        progress(Budget(flops=1e15), None)


@pytest.mark.parametrize("budget", [Budget(steps=1), Budget(epochs=1), Budget(images=1)])
def test_other_budgets_need_no_flops(budget: Budget) -> None:
    """A network whose FLOPs cannot be counted can be trained with any other budget."""
    assert progress(budget, None).total_steps


@given(st.integers(1, 10**6), st.lists(st.integers(0, 2 * 10**6), min_size=2).map(sorted))
def test_done_rises_with_steps(total: int, steps: list[int]) -> None:
    """The share is from 0 to 1, never falls, and reaches 1 at the last step; seconds do not change it."""
    done = [TrainingBudget(total, None).done(step, 1e9) for step in steps]
    assert sorted(done) == done
    assert all(0 <= share <= 1 for share in done)
    assert [step >= total for step in steps] == [share == 1 for share in done]


@given(st.floats(1e-3, 1e6), st.lists(st.floats(0, 1e7), min_size=2).map(sorted))
def test_done_rises_with_seconds(total: float, seconds: list[float]) -> None:
    """The share is from 0 to 1, never falls, and reaches 1 at the end; steps do not change it."""
    done = [TrainingBudget(None, total).done(10**9, each) for each in seconds]
    assert sorted(done) == done
    assert all(0 <= share <= 1 for share in done)
    assert 1 == TrainingBudget(None, total).done(0, total)


def test_a_constant_rate() -> None:
    """Without a warm-up, all steps have the peak learning rate."""
    assert [0.5, 0.5, 0.5] == [learning_rate(Recipe(learning_rate=0.5), done) for done in (0, 0.3, 1)]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_rises_linearly_from_a_25th(schedule: str) -> None:
    """A warm-up ends at the peak learning rate."""
    recipe = Recipe(learning_rate=1, warmup_fraction=0.2, schedule=schedule)  # type: ignore[arg-type]
    rates = [learning_rate(recipe, done) for done in (0, 0.05, 0.1, 0.2)]
    assert pytest.approx([0.04, 0.28, 0.52, 1]) == rates


@pytest.mark.parametrize("warmup", [0, 0.2])
def test_a_cosine_falls_to_zero(warmup: float) -> None:
    """The learning rate is the peak after the warm-up, half of it in the middle, and 0 at the end."""
    recipe = Recipe(learning_rate=2, schedule="cosine", warmup_fraction=warmup)
    rates = [learning_rate(recipe, warmup + (1 - warmup) * share) for share in (0, 0.5, 1)]
    assert pytest.approx([2, 1, 0]) == rates


@given(st.floats(0, 1), st.floats(0, 0.99), st.sampled_from(["constant", "cosine"]))
def test_the_rate_stays_between_zero_and_its_peak(done: float, warmup: float, schedule: str) -> None:
    """This holds at every share of the budget."""
    recipe = Recipe(learning_rate=3, warmup_fraction=warmup, schedule=schedule)  # type: ignore[arg-type]
    assert 0 <= learning_rate(recipe, done) <= 3 + 1e-12


@given(st.floats(0, 0.99), st.lists(st.floats(0, 1), min_size=2).map(sorted))
def test_a_cosine_never_rises_after_the_warm_up(warmup: float, shares: list[float]) -> None:
    """A warm-up never falls either."""
    recipe = Recipe(learning_rate=1, schedule="cosine", warmup_fraction=warmup)
    falling = [learning_rate(recipe, done) for done in shares if done >= warmup]
    rising = [learning_rate(recipe, done) for done in shares if done < warmup]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(falling))
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(rising))
