"""The optimizer of a recipe, and the gradient norm it is about to act on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from intelbench.architectures.surgery import require_trainable
from intelbench.config.conditions import Conditions

_MULTIPLE = "multiple"
"""Key of a group: its learning rate over the schedule's."""


def make_optimizer(model: nn.Module, conditions: Conditions, heads: tuple[str, ...] = ()) -> Optimizer:
    """The recipe's optimizer over every parameter that trains; the backbone has a learning rate of its own, if any.

    PyTorch's fused kernels know real numbers alone, so a network with complex weights is trained without them.

    Raises:
        UserError: no parameter trains.
    """
    recipe = conditions.recipe
    require_trainable(model)
    groups = _groups(model, heads, recipe.backbone_learning_rate)
    rate, decay = recipe.learning_rate, recipe.weight_decay
    fused = conditions.fused_optimizer and not any(
        parameter.is_complex() for group in groups for parameter in group["params"]
    )
    match recipe.optimizer:
        case "adam":
            return Adam(groups, rate, recipe.betas, weight_decay=decay, fused=fused)
        case "adamw":
            return AdamW(groups, rate, recipe.betas, weight_decay=decay, fused=fused)
        case "sgd":
            optimizer = SGD(groups, rate, recipe.betas[0], weight_decay=decay, fused=fused)
            if fused and recipe.betas[0] > 0:
                optimizer.register_step_pre_hook(_begin_momentum)
            return optimizer


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Use this learning rate from the next step on, or each group's multiple of it."""
    for group in optimizer.param_groups:
        group["lr"] = value * group[_MULTIPLE]


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """2-norm over all gradients together, a scalar on their device.

    The parameters are listed by the caller, once: walking through the modules of a network takes 0.4 to 0.7 ms a step.
    """
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def _begin_momentum(optimizer: Optimizer, _args: object, _kwargs: object) -> None:
    """Give parameters with a first gradient a momentum of 0, with which they take the step that they would without one.

    PyTorch's fused kernel takes a group only if all of its gradients are first ones or none is. Those of a backbone
    that is unfrozen come later than those of the head.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and not optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _groups(model: nn.Module, heads: tuple[str, ...], multiple: float) -> list[dict[str, Any]]:
    """What trains: in one group if all of it learns at one rate, else the heads and the rest."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if multiple == 1:
        return [{"params": [parameter for _, parameter in named], _MULTIPLE: 1.0}]
    of_heads = tuple(f"{head}." for head in heads)
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in named:
        parts[name.startswith(of_heads)].append(parameter)
    groups = {1.0: parts[True], multiple: parts[False]}
    return [{"params": found, _MULTIPLE: each} for each, found in groups.items() if found]
