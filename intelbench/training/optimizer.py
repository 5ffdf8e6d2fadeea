"""The optimizer of a recipe, and the gradient norm it is about to act on."""

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from intelbench.records.types import Conditions


def make_optimizer(model: nn.Module, conditions: Conditions) -> Optimizer:
    """The recipe's optimizer over every parameter that trains."""
    recipe = conditions.recipe
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay, fused = recipe.learning_rate, recipe.weight_decay, conditions.fused_optimizer
    match recipe.optimizer:
        case "adam":
            return Adam(parameters, rate, recipe.betas, weight_decay=decay, fused=fused)
        case "adamw":
            return AdamW(parameters, rate, recipe.betas, weight_decay=decay, fused=fused)
        case "sgd":
            return SGD(parameters, rate, recipe.betas[0], weight_decay=decay, fused=fused)


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = value


def gradient_norm(model: nn.Module) -> Tensor:
    """2-norm over all gradients together, a scalar on their device."""
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
