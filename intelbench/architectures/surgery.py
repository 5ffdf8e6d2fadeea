"""Changes to a built network that say how much they changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from intelbench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from intelbench.architectures.registry import Architecture, ModelRequest
    from intelbench.records.types import Head

    Old = TypeVar("Old", bound=nn.Module)

UNTRACEABLE = (RuntimeError, NotImplementedError, TypeError)
"""What PyTorch raises where a network asks a tensor without contents for its values; TypeError is `images.numpy()`."""


def build_shapes(architecture: Architecture, request: ModelRequest) -> nn.Module:
    """The network for its shapes alone: on the meta device where it can be, and without drawing a random number."""
    import torch

    from intelbench.architectures.generators import undrawn

    with undrawn():
        try:
            with torch.device("meta"):
                return architecture.network(request)
        except UNTRACEABLE:
            return architecture.network(request)


def find_heads(architecture: Architecture, request: ModelRequest, model: nn.Module) -> tuple[str, ...]:
    """Names of the modules of `model` that yield the classes: those that grow with the number of classes.

    Found by building the network once more for one class more. An auxiliary head is a head too.

    Args:
        architecture: What the network is.
        request: What it was built for.
        model: The network.

    Raises:
        UserError: nothing grows, or something else than linear layers and 1x1 convolutions.
    """
    from torch import nn

    other = build_shapes(architecture, replace(request, num_classes=request.num_classes + 1))
    shapes = {name: parameter.shape for name, parameter in other.named_parameters()}
    grown = [name for name, parameter in model.named_parameters() if shapes.get(name) != parameter.shape]
    heads = tuple(dict.fromkeys(name.rpartition(".")[0] for name in grown))
    for name in heads:
        head = model.get_submodule(name)
        if not isinstance(head, nn.Linear) and not (isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1)):
            raise UserError(
                f"architecture {architecture.name!r}: its head {name!r} is a {type(head).__name__}; transfer "
                "learning needs a linear layer or a 1x1 convolution"
            )
    if not heads:
        raise UserError(
            f"architecture {architecture.name!r}: no layer grows with the number of classes, so its head is not known"
        )
    return heads


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


def replace_heads(model: nn.Module, heads: tuple[str, ...], head: Head) -> None:
    """Put hidden layers before each head, if the recipe has any; the layer of the classes is made anew with them.

    Raises:
        UserError: a head is no linear layer.
    """
    from torch import nn

    if head.kind == "linear":
        return
    activation = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}[head.activation]
    for name in heads:
        old = model.get_submodule(name)
        if not isinstance(old, nn.Linear):
            raise UserError(f"recipe.head: the head {name!r} is a {type(old).__name__}, so it cannot be an mlp")
        layers: list[nn.Module] = []
        for width, before in zip(head.widths, (old.in_features, *head.widths), strict=False):
            layers += [nn.Linear(before, width), activation(), nn.Dropout(head.dropout)]
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Sequential(*layers, nn.Linear(width, old.out_features)))


def freeze_backbone(model: nn.Module, heads: tuple[str, ...]) -> None:
    """Freeze all but the heads: without gradients, and in evaluation mode.

    Batch norm then normalises by its running averages and dropout lets everything through, so that the backbone is a
    fixed function of an image. The network itself stays in training mode, in which Inception uses its auxiliary head.
    """
    model.requires_grad_(False)
    model.train()
    for child in model.children():
        child.eval()
    for name in heads:
        model.get_submodule(name).requires_grad_(True).train()
