"""The weights with which a network is evaluated: its own or their moving average, of the last step or the best one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.training.optimizer import make_optimizer

Weights = dict[str, Tensor]
"""The parameters that are trained and all buffers, by name."""


class EvaluatedWeights:
    """Keeps the moving average and the best weights of a network, as its recipe says; by default it keeps nothing.

    The average after step t is decay * average + (1 - decay) * weights, where the decay is at most (1 + t) / (10 + t),
    so that it forgets the initial weights (the rule of TensorFlow's `ExponentialMovingAverage`). Running averages of
    batch norm are averaged too, and integers are copied.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self._places = _places(model)
        self._decay, self._keeps_best = recipe.ema_decay, recipe.keep == "best"
        self._average: Weights = {name: value.clone() for name, value in self._now()} if recipe.ema_decay else {}
        self._num_steps = 0
        self._best: Weights = {}
        """Copies on the CPU; empty before the first evaluation point."""

    @torch.no_grad()
    def update(self) -> None:
        """Average the weights after a step."""
        if not self._average:
            return
        self._num_steps += 1
        decay = min(self._decay, (1 + self._num_steps) / (10 + self._num_steps))
        averages, values = [], []
        for name, value in self._now():
            if value.is_floating_point() or value.is_complex():
                averages.append(self._average[name])
                values.append(value)
            else:
                self._average[name].copy_(value)
        get_ema_multi_avg_fn(decay)(averages, values, None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the network for the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def keep_best(self) -> None:
        """Keep the weights of the network as the best ones, if the recipe asks for the best."""
        if self._keeps_best:
            self._best = {name: value.to("cpu", copy=True) for name, value in self._now()}

    @torch.no_grad()
    def install(self) -> None:
        """Put the weights that are evaluated into the network, at the end of training."""
        weights = self._best or self._average
        if weights:
            for name, value in self._now():
                value.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"average": self._average, "num_steps": self._num_steps, "best": self._best}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore the state from a checkpoint."""
        for name, value in state_dict["average"].items():
            self._average[name].copy_(value)
        self._num_steps, self._best = state_dict["num_steps"], state_dict["best"]

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange the weights of the network with their averages, in the same memory: a CUDA graph reads that."""
        if self._average:
            for name, value in self._now():
                kept = value.clone()
                value.copy_(self._average[name])
                self._average[name].copy_(kept)

    def _now(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the names and the present tensors of the parameters that are trained, and of all buffers."""
        for name, tensors, key in self._places:
            value = tensors[key]
            if value is not None:
                yield name, value.detach()


def make_averaging_optimizer(model: nn.Module, conditions: Conditions) -> Optimizer:
    """Return the optimizer of a network, whose steps average the weights too if the recipe says so."""
    optimizer, weights = make_optimizer(model, conditions), EvaluatedWeights(model, conditions.recipe)
    optimizer.register_step_post_hook(lambda *_: weights.update())
    return optimizer


def _places(model: nn.Module) -> list[tuple[str, dict[str, Any], str]]:
    """Return where the network has its trained parameters and its buffers: names, dictionaries and keys.

    They are looked up once, because walking through the modules of a network takes 0.4 to 0.7 ms a step. A module may
    replace its buffers later.
    """
    names = {id(value): name for name, value in model.named_parameters() if value.requires_grad}
    names |= {id(value): name for name, value in model.named_buffers()}
    return [
        (names.pop(id(value)), tensors, key)
        for module in model.modules()
        for tensors in (module._parameters, module._buffers)
        for key, value in tensors.items()
        if id(value) in names
    ]
