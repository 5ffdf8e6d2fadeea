"""The budget of a run: its number of steps or seconds, the share that is spent, and the learning rate at that share."""

import math
from dataclasses import dataclass

from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.errors import UserError

ROUNDING = 1e-9
"""Tolerance of a share of the budget, because 29 / 100 x 100 is less than 29."""
_WARMUP_START = 1 / 25
"""Learning rate at the start of a warm-up, as a share of the peak (Smith and Topin, 2018)."""


@dataclass(frozen=True)
class TrainingBudget:
    """The budget of one run, in steps or in seconds."""

    total_steps: int | None
    """`None` for a budget of seconds."""
    total_seconds: float | None
    rates: tuple[float, ...] = ()
    """Learning rate of each step of a run that is replayed; they replace the schedule of the recipe."""

    @classmethod
    def of(
        cls, budget: Budget, *, batch_size: int, steps_per_epoch: int, flops_per_image: float | None
    ) -> "TrainingBudget":
        """Translate a budget into steps, or keep it in seconds.

        Raises:
            UserError: a budget in FLOPs is too small for one step, or the FLOPs of the network cannot be counted.
        """
        if budget.unit == "seconds":
            return cls(None, budget.amount)
        if budget.unit == "flops" and flops_per_image is None:
            raise UserError(
                "a budget in FLOPs needs a network whose FLOPs can be counted on the meta device; use another unit"
            )
        steps = {
            "steps": lambda: int(budget.amount),
            "epochs": lambda: max(1, round(budget.amount * steps_per_epoch)),
            "images": lambda: math.ceil(budget.amount / batch_size),
            "flops": lambda: int(budget.amount / (batch_size * (flops_per_image or math.inf))),
        }[budget.unit]()
        if steps == 0:
            raise UserError(
                f"the budget of {budget} buys no step of {batch_size} images at {flops_per_image:g} FLOPs an image"
            )
        return cls(steps, None)

    def done(self, steps: int, seconds: float) -> float:
        """Return the share of the budget that these steps and seconds have spent; 1 ends the run."""
        if self.total_steps is not None:
            return min(1.0, steps / self.total_steps)
        assert self.total_seconds is not None
        return min(1.0, seconds / self.total_seconds)

    def learning_rate(self, recipe: Recipe, step: int, done: float) -> float:
        """Return the learning rate of a step, counted from 1, that begins when `done` of the budget is spent."""
        return self.rates[step - 1] if self.rates else learning_rate(recipe, done)


def learning_rate(recipe: Recipe, done: float) -> float:
    """Return the learning rate of a step that begins when `done` of the budget is spent."""
    if done < recipe.warmup_fraction:
        return recipe.learning_rate * (_WARMUP_START + (1 - _WARMUP_START) * done / recipe.warmup_fraction)
    if recipe.schedule == "constant":
        return recipe.learning_rate
    decay_progress = (done - recipe.warmup_fraction) / (1 - recipe.warmup_fraction)
    return recipe.learning_rate * (1 + math.cos(math.pi * decay_progress)) / 2
