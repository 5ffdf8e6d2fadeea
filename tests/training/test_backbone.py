"""The backbone is frozen at the steps that the recipe says, with and without an interruption."""

import itertools
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.training.backbone import Backbone
from tests.training.conftest import Train

HEADS = ("6",)


def network() -> nn.Module:
    """Return a network of a convolution that a plug-in has frozen, batch norm, and a head."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def state(model: nn.Module) -> tuple[list[bool], list[bool]]:
    """Return which modules are in training mode, and which parameters have gradients."""
    return [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [("never", [False] * 4), ("always", [True] * 4), (1, [True, True, False, False]), (0.5, [True] + [False] * 3)],
)
def test_a_recipe_says_for_how_many_epochs(freeze: str | float, expected: list[bool]) -> None:
    """With two steps an epoch, a frozen backbone has neither gradients nor training mode."""
    model = network()
    backbone = Backbone.of(model, ("3",), Recipe(freeze_backbone=freeze), steps_per_epoch=2)  # type: ignore[arg-type]
    for step, frozen in enumerate(expected):
        backbone.set_step(step, step / 4)
        assert frozen == (not model[1].training)
        assert frozen == (not model[1].weight.requires_grad)
        assert model[3].training
        assert model[3].weight.requires_grad
        assert not model[0].weight.requires_grad


@pytest.mark.parametrize(
    "budget", [Budget(steps=10), Budget(images=80), Budget(epochs=2.5), Budget(seconds=60.0)], ids=str
)
def test_a_recipe_says_for_which_share_of_the_budget(
    run_training: Train, monkeypatch: pytest.MonkeyPatch, budget: Budget
) -> None:
    """The steps that begin in the first fifth of the budget are frozen, whatever its unit; two of ten are."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.5)
    trained = run_training(budget=budget, heads=HEADS, frozen_fraction=0.2).trained
    seconds = trained.traces["step_seconds"] + trained.traces["data_wait_seconds"]
    begin = np.cumsum(seconds) - seconds if budget.seconds else np.arange(10)
    expected = begin < 0.2 * (budget.seconds or 10)
    assert 1 < expected.sum() < len(expected)
    np.testing.assert_array_equal(expected, trained.traces["backbone_frozen"])
    assert expected.mean() == trained.frozen_share


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_run_that_goes_on_later_is_as_if_it_had_never_stopped(step: int) -> None:
    """A backbone that starts at any step is like one that has passed all earlier steps."""
    fresh, passed = network(), network()
    Backbone(fresh, ("3",), 2).set_step(step, 0.0)
    backbone = Backbone(passed, ("3",), 2)
    for each in range(step + 1):
        backbone.set_step(each, 0.0)
    assert state(passed) == state(fresh)


@pytest.mark.parametrize(
    ("frozen_steps", "num_steps", "stays"), [(0, 3, False), (math.inf, 3, True), (2, 2, True), (2, 3, False)]
)
def test_further_steps_are_as_the_last(frozen_steps: float, num_steps: int, stays: bool) -> None:
    """The steps of the step breakdown, after the run, are frozen if the last step of the run was."""
    model = network()
    backbone = Backbone(model, ("3",), frozen_steps)
    for step in range(num_steps):
        backbone.set_step(step, step / 4)
    after = backbone.after_training()
    for step in (0, 1000):
        after.set_step(step, 1.0)
        assert stays == (not model[1].weight.requires_grad)


def weights_after(run_training: Train, steps: int, frozen_steps: float, **changes: object) -> dict[str, torch.Tensor]:
    """Return the state of the tiny network after some steps."""
    run = run_training(budget=Budget(steps=steps), frozen_steps=frozen_steps, heads=HEADS, **changes)
    return run.model.state_dict()


def changed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    """Return the names of the values that differ."""
    return {name for name, value in one.items() if not torch.equal(value, other[name])}


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_frozen_backbone_does_not_move(run_training: Train, weight_decay: float) -> None:
    """Weight decay and evaluations change no weight and no running average of it; the head learns."""
    decay = {"weight_decay": weight_decay}
    recipe = Recipe(batch_size=8, learning_rate=0.01, optimizer="adamw", optimizer_arguments=decay)
    after = weights_after(run_training, 6, math.inf, recipe=recipe)
    start = weights_after(run_training, 1, math.inf, recipe=Recipe(batch_size=8, learning_rate=1e-30))
    assert {"6.weight", "6.bias"} == changed(start, after)


def test_after_its_epochs_everything_trains(run_training: Train) -> None:
    """After two frozen steps the backbone is unchanged, and the third step changes all of it."""
    start, two, three = (weights_after(run_training, steps, 2) for steps in (1, 2, 3))
    assert {"6.weight", "6.bias"} == changed(start, two)
    assert set(two) == changed(two, three)


def test_evaluation_leaves_a_frozen_backbone_frozen(run_training: Train) -> None:
    """The losses have the same bits however often the network is evaluated."""
    rarely, often = (
        run_training(frozen_steps=4, heads=HEADS, evaluation_points=points).trained.traces["step_loss"]
        for points in (1, 6)
    )
    assert rarely.tobytes() == often.tobytes()


def test_a_frozen_head_learns_the_colours(run_training: Train) -> None:
    """The loss of a head that is trained on random features falls."""
    recipe = Recipe(batch_size=8, learning_rate=0.05)
    run = run_training(budget=Budget(steps=60), frozen_steps=math.inf, heads=HEADS, recipe=recipe)
    losses = run.trained.traces["step_loss"]
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()
