"""The optimizer of a recipe, from `torch.optim` or a plug-in, and the norm of its gradients."""

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from intelbench.architectures.surgery import require_trainable
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.errors import UserError, kind_of, one_of
from intelbench.plugins.registry import Entry, Registry, takes_name

OptimizerFactory = Callable[..., Optimizer]
Factory = TypeVar("Factory", bound=OptimizerFactory)

_UNSUITABLE = {
    "lbfgs": "it evaluates the loss several times a step",
    "muon": "it trains matrices only, and networks have other parameters too",
    "sparseadam": "it takes sparse gradients, which no image classifier has",
}
"""Optimizers of PyTorch that cannot train the networks, and why."""
OPTIMIZERS: Registry[OptimizerFactory] = Registry(
    "optimizer",
    {
        name.lower(): kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, Optimizer) and name.lower() not in ("optimizer", *_UNSUITABLE)
    },
    provider="torch",
)
_RESERVED = ("lr", "fused")
"""Arguments that other keys of the suite determine: `recipe.learning_rate` and `fused_optimizer`."""
_SCALE = "scale"
"""Key of a parameter group: its learning rate divided by that of the schedule."""


@takes_name
def optimizer(name: str) -> Callable[[Factory], Factory]:
    """Register an optimizer under a name for `recipe.optimizer`.

    The decorated class or function is called as `factory(parameters, lr=..., **recipe.optimizer_arguments)` and returns
    a `torch.optim.Optimizer`. `parameters` is a list of parameter groups. If it has an argument `fused`, it gets the
    condition `fused_optimizer`.
    """
    return OPTIMIZERS.decorator(name)


def require_optimizer(recipe: Recipe) -> str:
    """Check that the optimizer of a recipe exists and takes its arguments, and return the provider of the optimizer.

    Raises:
        UserError: the optimizer is not known, an argument is not known, or the optimizer refuses its value.
    """
    weight = nn.Linear(2, 2, bias=False)
    _make(recipe, _groups(weight, (), recipe), is_fused=False)
    return _entry(recipe.optimizer).provider


def make_optimizer(model: nn.Module, conditions: Conditions, heads: tuple[str, ...] = ()) -> Optimizer:
    """Make the optimizer of the recipe for all trainable parameters of a model.

    All modules but the named heads are part of the backbone, which has its own learning rate. PyTorch's fused kernels
    take real numbers only, so complex weights are trained without them.

    Raises:
        UserError: no parameter is trainable, or for the reasons of `require_optimizer`.
    """
    require_trainable(model)
    groups = _groups(model, heads, conditions.recipe)
    is_complex = any(parameter.is_complex() for group in groups for parameter in group["params"])
    return _make(conditions.recipe, groups, is_fused=conditions.fused_optimizer and not is_complex)


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Use a learning rate, times the scale of each parameter group, from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = value * group[_SCALE]


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the 2-norm of all gradients together, a scalar on their device.

    The caller lists the parameters once, because walking through the modules of a network takes 0.4 to 0.7 ms a step.
    """
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def _make(recipe: Recipe, groups: list[dict[str, Any]], *, is_fused: bool) -> Optimizer:
    entry = _entry(recipe.optimizer)
    accepted = signature(entry.value).parameters
    arguments = _arguments(recipe, accepted)
    if not recipe.decay_norms_and_biases:
        _require_weight_decay(recipe, accepted)
    fused = {"fused": is_fused} if "fused" in accepted else {}
    try:
        with OPTIMIZERS.guarded(entry):
            made = entry.value(groups, lr=recipe.learning_rate, **arguments, **fused)
            if not isinstance(made, Optimizer):
                raise TypeError(f"returned {kind_of(made)}. Expected a torch.optim.Optimizer")
            if _contents(made.param_groups) != _contents(groups):
                raise ValueError("does not train the parameter groups that it was given")
    except UserError as error:
        raise UserError(
            f"{error} (with `recipe.optimizer_arguments` {arguments})" if arguments else str(error)
        ) from error
    if isinstance(made, SGD) and is_fused and arguments.get("momentum"):
        made.register_step_pre_hook(_begin_momentum)
    return made


def _contents(groups: list[dict[str, Any]]) -> list[tuple[float | None, list[int]]]:
    return [(group.get(_SCALE), list(map(id, group["params"]))) for group in groups]


def _entry(name: str) -> Entry[OptimizerFactory]:
    if name in _UNSUITABLE:
        raise UserError(f"recipe.optimizer: {name!r} is not accepted: {_UNSUITABLE[name]}. Try 'adamw'")
    return OPTIMIZERS.require(name, "recipe.optimizer")


def _arguments(recipe: Recipe, accepted: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the keyword arguments of the recipe after checking their names against a signature."""
    names = [name for name in list(accepted)[1:] if name not in _RESERVED]
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in accepted.values())
    for name in recipe.optimizer_arguments:
        if name in _RESERVED or not (takes_any or name in names):
            elsewhere = {"lr": "`recipe.learning_rate`", "fused": "`fused_optimizer`"}.get(name)
            advice = f"Use {elsewhere}" if elsewhere else one_of(name, names)
            raise UserError(f"recipe.optimizer_arguments.{name}: not an argument of {recipe.optimizer!r}. {advice}")
    return recipe.optimizer_arguments


def _begin_momentum(optimizer: Optimizer, _args: object, _kwargs: object) -> None:
    """Set the momentum of parameters with a first gradient to 0, which gives the same step as no momentum.

    PyTorch's fused kernel needs a group in which all parameters have a momentum or all have none. The parameters of an
    unfrozen backbone get their first gradients later than those of the head.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and not optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _require_weight_decay(recipe: Recipe, accepted: Mapping[str, Parameter]) -> None:
    """Check that the optimizer has a weight decay from which norms and biases can be excluded."""
    default = accepted["weight_decay"].default if "weight_decay" in accepted else None
    if not recipe.optimizer_arguments.get("weight_decay", default):
        reason = "has none" if default is None else "has a weight decay of 0"
        advice = "Try `adamw`" if default is None else "Set `recipe.optimizer_arguments.weight_decay`"
        raise UserError(
            f"recipe.decay_norms_and_biases: false excludes them from weight decay, and {recipe.optimizer!r} {reason}. "
            f"{advice}"
        )


def _groups(model: nn.Module, heads: tuple[str, ...], recipe: Recipe) -> list[dict[str, Any]]:
    """Return the trainable parameters: one group for each learning rate, and for each weight decay."""
    prefixes, scale = tuple(f"{head}." for head in heads), recipe.backbone_learning_rate
    scales = [1.0] if scale == 1 else [1.0, scale]
    parts: dict[tuple[float, bool], list[nn.Parameter]] = {
        (each, decays): [] for each in scales for decays in (True, False)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_weight = parameter.ndim > 1 and not name.endswith("bias")
            part = 1.0 if name.startswith(prefixes) else float(scale)
            parts[part, recipe.decay_norms_and_biases or is_weight].append(parameter)
    return [
        {"params": parameters, _SCALE: scale} | ({} if decays else {"weight_decay": 0.0})
        for (scale, decays), parameters in parts.items()
        if parameters
    ]
