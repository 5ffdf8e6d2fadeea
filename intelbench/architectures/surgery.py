"""Changes to a built network that say how much they changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

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
