"""Architectures of other libraries, by prefix: `torchvision:NAME`."""

import difflib
from typing import Any

from torch import nn
from torchvision import models

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.errors import UserError

_PREFIX = "torchvision:"
_MINIMUM_SIZES = {"inception_v3": 75, "alexnet": 63}
"""Where torchvision's network needs more than 32 px."""


def torchvision_architecture(name: str) -> Architecture:
    """Any torchvision classifier with its own head for the given classes; auxiliary heads are left out.

    Raises:
        UserError: torchvision has no such classifier; the message offers the nearest names.
    """
    bare = name.removeprefix(_PREFIX)
    available = models.list_models(module=models)
    if bare not in available:
        near = difflib.get_close_matches(bare, available, n=3, cutoff=0.5)
        offered = " or ".join(_PREFIX + each for each in near) or ", ".join(available)
        raise UserError(f"architecture {name!r}: torchvision has no such classifier; it has {offered}")

    def build(request: ModelRequest) -> nn.Module:
        model: nn.Module = models.get_model(bare, num_classes=request.num_classes, **_options(bare, request))
        return model

    return Architecture(name=name, build=build, minimum_size=_MINIMUM_SIZES.get(bare, 32))


def _options(name: str, request: ModelRequest) -> dict[str, Any]:
    """The settings of a request that this family of torchvision's constructors takes."""
    family = models.get_model_builder(name).__module__.rpartition(".")[2]
    match family:
        case "resnet":
            return {"zero_init_residual": request.zero_init_residual}
        case "inception" | "googlenet":
            return {"init_weights": request.own_initialization, "aux_logits": False}
        case "vgg":
            return {"init_weights": request.own_initialization}
        case "vision_transformer":
            return {"image_size": request.image_size}
        case _:
            return {}
