"""Change a built network: materialise lazy layers, find and replace heads, replace modules, freeze the backbone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from intelbench.architectures.generators import preserve_generators
from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.recipe import Head
from intelbench.config.validation import dotted
from intelbench.errors import UserError, kind_of

Old = TypeVar("Old", bound=nn.Module)
_INITIALISING = {
    Tensor.add_, Tensor.clamp_, Tensor.erfinv_, Tensor.fill_,
    Tensor.mul_, Tensor.normal_, Tensor.uniform_, Tensor.zero_,
}  # fmt: skip
"""What initialisations do to a parameter."""


class UnfitHeadError(UserError):
    """What a recipe asks of the head of a network cannot be done."""


class _WithoutInitialisation(TorchFunctionMode):
    """Skip in-place operations on values of tensors that have none.

    PyTorch computes shapes of the meta device in Python. Without these operations 18 networks were built in 1.5 instead
    of 2.1 s.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _INITIALISING and args[0].is_meta and not torch.is_grad_enabled():
            return args[0]
        return func(*args, **(kwargs or {}))


def build_shapes(architecture: Architecture, request: ModelRequest) -> nn.Module:
    """Build the network on the meta device, where tensors have shapes but no values, without drawing random numbers.

    A network that needs values while it is built (RegNet computes its widths with tensors) is built on the CPU and then
    moved to the meta device.
    """
    with preserve_generators():
        try:
            with preserve_generators(), torch.device("meta"), _WithoutInitialisation():
                return architecture.network(request)
        except Exception:  # noqa: BLE001 - an error with another cause recurs on the CPU
            return architecture.network(request).to("meta")


@contextmanager
def preserve_torch_settings() -> Iterator[None]:
    """Run the block, then restore PyTorch's settings: threads, default dtype, and gradient mode."""
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

    Their weights are drawn from PyTorch's global generator in the order of the pass. A network without lazy layers is
    not changed.
    """
    if not any(is_lazy(value) for value in (*model.parameters(), *model.buffers())):
        return
    with torch.no_grad(), evaluating(model):
        model(torch.zeros(2, 3, image_size, image_size))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode for the block, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def require_trainable(model: nn.Module) -> None:
    """Raise a `UserError` if no parameter of the network requires a gradient."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(
            "the network has no parameter that trains; it needs a layer with weights that have `requires_grad=True`"
        )


def find_heads(architecture: Architecture, request: ModelRequest, model: nn.Module) -> tuple[str, ...]:
    """Return the names of the head modules of `model`: those whose size depends on the number of classes.

    The network is built again with one more class to find them. An auxiliary head is a head too.

    Raises:
        UnfitHeadError: no module depends on the number of classes, or one that is no linear layer or 1x1 convolution
            does.
    """
    with_one_more = build_shapes(architecture, replace(request, num_classes=request.num_classes + 1))
    shapes = {name: parameter.shape for name, parameter in with_one_more.named_parameters()}
    changed = [name for name, parameter in model.named_parameters() if shapes.get(name) != parameter.shape]
    heads = tuple(dict.fromkeys(name.rpartition(".")[0] for name in changed))
    for name in heads:
        head = model.get_submodule(name)
        if not isinstance(head, nn.Linear) and not (isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1)):
            raise UnfitHeadError(
                f"architecture {architecture.name!r}: its head {name!r} is {kind_of(head)}; transfer "
                "learning needs a linear layer or a 1x1 convolution"
            )
    if not heads:
        raise UnfitHeadError(
            f"architecture {architecture.name!r}: no layer grows with the number of classes, so its head is not known"
        )
    return heads


def replace_modules(model: nn.Module, kind: type[Old], make: Callable[[Old], nn.Module]) -> int:
    """Replace every module of exactly the class `kind` in `model` by `make(module)`, and return how many were replaced.

    Callers must check the number: in a network that calls a function in place of the module (Inception calls `F.relu`)
    nothing is replaced.
    """
    matches = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is kind
    ]
    for parent, name, child in matches:
        setattr(parent, name, make(child))
    return len(matches)


def replace_heads(architecture: Architecture, model: nn.Module, heads: tuple[str, ...], head: Head) -> None:
    """Put hidden layers before each head of `model`, if the recipe has any, and replace its last layer.

    Raises:
        UnfitHeadError: a head is not a linear layer.
    """
    if head.kind == "linear":
        return
    activation = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}[head.activation]
    for name in heads:
        old = model.get_submodule(name)
        if not isinstance(old, nn.Linear):
            key = dotted(("overrides", architecture.name, "recipe", "head"))
            raise UnfitHeadError(
                f"architecture {architecture.name!r}: its head {name!r} is {kind_of(old)}, which cannot become the "
                f'`mlp` of `recipe.head`. Expected a linear layer. Try `{key} = {{ kind = "linear" }}` in the suite'
            )
        layers: list[nn.Module] = []
        for width, before in zip(head.widths, (old.in_features, *head.widths), strict=False):
            layers += [nn.Linear(before, width), activation(), nn.Dropout(head.dropout)]
        model.set_submodule(name, nn.Sequential(*layers, nn.Linear(width, old.out_features)))


def freeze_backbone(model: nn.Module, heads: tuple[str, ...]) -> None:
    """Freeze all layers but the heads: no gradients, and evaluation mode.

    Batch norm then uses its running averages and dropout is off, so the backbone is a fixed function of an image. The
    network itself stays in training mode, in which Inception uses its auxiliary head.
    """
    model.requires_grad_(False)
    model.train()
    for child in model.children():
        child.eval()
    for name in heads:
        model.get_submodule(name).requires_grad_(True).train()
