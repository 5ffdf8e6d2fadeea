"""Changes to a built network that say how much they changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from intelbench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from intelbench.architectures.registry import Architecture, ModelRequest
    from intelbench.config.recipe import Head

    Old = TypeVar("Old", bound=nn.Module)


def build_shapes(architecture: Architecture, request: ModelRequest) -> nn.Module:
    """Build the network on the meta device, where a tensor has a shape and no values; draws no random number.

    A network that computes with values while it is built (RegNet works out its widths with tensors) is built on the CPU
    and its values are dropped.
    """
    import torch

    from intelbench.architectures.generators import undrawn

    with undrawn():
        try:
            with undrawn(), torch.device("meta"):
                return architecture.network(request)
        except Exception:  # noqa: BLE001 - what is not the meta device's fault is raised again on the CPU
            return architecture.network(request).to("meta")


@contextmanager
def settings_kept() -> Iterator[None]:
    """Run the block, then put back what decides how PyTorch computes: threads, default type, and whether gradients are
    recorded.
    """
    import torch

    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def materialize(model: nn.Module, image_size: int) -> None:
    """Give lazy layers their shapes, by a forward pass of two black images in evaluation mode.

    Their weights are drawn from PyTorch's global generator in the order in which the pass reaches them. A network
    without lazy layers is left alone.
    """
    import torch
    from torch.nn.parameter import is_lazy

    if not any(is_lazy(value) for value in (*model.parameters(), *model.buffers())):
        return
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        model(torch.zeros(2, 3, image_size, image_size))
    for module, training in modes:
        module.training = training


def require_trainable(model: nn.Module) -> None:
    """Raise a `UserError` if no parameter of the network trains."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(
            "the network has no parameter that trains; it needs a layer with weights that have `requires_grad=True`"
        )


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
