"""Architectures of torchvision: any of its classifiers, and what it publishes for them."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from torch import nn
from torchvision import models

from intelbench.architectures.registry import FROM_MINUS_ONE, TORCHVISION, Architecture, ModelRequest

_MINIMUM_SIZES = {"inception_v3": 75, "alexnet": 63}
"""Where torchvision's network needs more than 32 px."""
_WEIGHTS = {"imagenet": "IMAGENET1K_V1", "imagenet-v2": "IMAGENET1K_V2"}
_AUXILIARY = {"inception": ("AuxLogits",), "googlenet": ("aux1", "aux2")}
"""The families that come from TensorFlow. With their weights torchvision builds a network that turns ImageNet's
normalisation into theirs, from -1 to 1; here the images are normalised so from the start."""


@cache
def classifiers() -> Sequence[str]:
    """Names of torchvision's classifiers; its networks for other tasks are left out."""
    return tuple(models.list_models(module=models))


@cache
def torchvision_architecture(name: str) -> Architecture:
    """A classifier of torchvision with its own head for the given classes; auxiliary heads are left out."""

    def build(request: ModelRequest) -> nn.Module:
        model: nn.Module = models.get_model(name, num_classes=request.num_classes, **_options(name, request))
        return model

    return Architecture(
        name=TORCHVISION + name,
        build=build,
        minimum_size=_MINIMUM_SIZES.get(name, 32),
        pretrained=partial(published_weights, name),
        normalization=FROM_MINUS_ONE if _family(name) in _AUXILIARY else None,
        auxiliary=_AUXILIARY.get(_family(name), ()),
    )


def published_weights(name: str) -> Mapping[str, str]:
    """Addresses of torchvision's weights for ImageNet's classes, by the name that a recipe has for them."""
    members = models.get_model_weights(name).__members__
    return {choice: members[entry].url for choice, entry in _WEIGHTS.items() if entry in members}


def _family(name: str) -> str:
    """Torchvision's module, such as `resnet`."""
    module: str = models.get_model_builder(name).__module__
    return module.rpartition(".")[2]


def _options(name: str, request: ModelRequest) -> dict[str, Any]:
    """The settings of a request that this family of torchvision's constructors takes."""
    match _family(name):
        case "resnet":
            return {"zero_init_residual": request.zero_init_residual}
        case "inception" | "googlenet":
            return {"init_weights": request.own_initialization, "aux_logits": False}
        case "vgg":
            return {"init_weights": request.own_initialization}
        case "vision_transformer":
            return {"image_size": request.image_size}
        case "maxvit":
            return {"input_size": (request.image_size, request.image_size)}
        case _:
            return {}
