"""Changes to a built network that say how much they changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from intelbench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    Old = TypeVar("Old", bound=nn.Module)


def replace_modules(model: nn.Module, kind: type[Old], make: Callable[[Old], nn.Module]) -> int:
    """Replace every module of exactly `kind` below `model` by `make(module)` and return how many were replaced.

    A network that calls the function instead of the module (Inception calls `F.relu`) has nothing to replace: the
    count is 0, and it is the caller's to check.
    """
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is kind
    ]
    for parent, name, child in found:
        setattr(parent, name, make(child))
    return len(found)


def freeze_backbone(model: nn.Module, num_classes: int) -> int:
    """Freeze all but the heads, which are the linear layers with an output for each class; return how many there are.

    Frozen batch norm normalises by its running averages, so that the backbone is a fixed function of an image.

    Raises:
        UserError: no such layer is there to be trained.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm

    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == num_classes]
    if not heads:
        raise UserError(f"cannot freeze: the network has no linear layer with {num_classes} outputs to train")
    model.requires_grad_(False)
    for head in heads:
        head.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    return len(heads)
