"""Build torchvision's classifiers, and find their published weights."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum
from torchvision.models.vision_transformer import interpolate_embeddings

from intelbench.architectures.catalogue import Catalogue, Offer, installed_version
from intelbench.architectures.registry import (
    FROM_MINUS_ONE,
    TORCHVISION,
    Architecture,
    ModelRequest,
    PretrainedFile,
)
from intelbench.records.types import Preprocessing

_MINIMUM_SIZES = {"inception_v3": 75, "alexnet": 63}
"""Smallest input in pixels of networks that need more than 32 px."""
_WEIGHTS = {"imagenet": "IMAGENET1K_V1", "imagenet-v2": "IMAGENET1K_V2", "default": "DEFAULT"}
"""Torchvision's names of weights by their names in a recipe. `DEFAULT` is an alias of one of the others, or of weights
that have no other name here."""
_USUAL_RESIZE = 256
"""Shorter side in pixels to which torchvision resizes an image for weights that do not say otherwise."""
_DECIMALS = 5
"""Decimals of an accuracy as a fraction: torchvision states three of a percentage."""
_AUXILIARY = {"inception": ("AuxLogits",), "googlenet": ("aux1", "aux2")}
"""Auxiliary heads of families whose weights come from TensorFlow. With these weights torchvision's networks convert
ImageNet's normalisation to -1 to 1; here images are normalised to -1 to 1 directly."""


@cache
def classifiers() -> Sequence[str]:
    """Return the names of torchvision's classifiers."""
    return tuple(models.list_models(module=models))


@cache
def torchvision_architecture(name: str) -> Architecture:
    """Return a classifier of torchvision, without auxiliary heads."""
    return Architecture(
        name=TORCHVISION + name,
        build=partial(build_classifier, name),
        minimum_size=_MINIMUM_SIZES.get(name, 32),
        pretrained=partial(published_weights, name),
        convert=_resampled if _family(name) == "vision_transformer" else None,
        normalization=FROM_MINUS_ONE if _family(name) in _AUXILIARY else None,
        auxiliary=_AUXILIARY.get(_family(name), ()),
    )


def build_classifier(name: str, request: ModelRequest, **options: bool) -> nn.Module:
    """Build a classifier of torchvision; `options` override the arguments that follow from the request."""
    arguments = {"num_classes": request.num_classes, **_options(name, request), **options}
    model: nn.Module = models.get_model(name, **arguments)
    return model


def published_weights(name: str) -> Mapping[str, PretrainedFile]:
    """Return torchvision's ImageNet weights by their names in a recipe."""
    members = models.get_model_weights(name).__members__
    return {choice: pretrained_file(members[entry]) for choice, entry in _WEIGHTS.items() if entry in members}


def pretrained_file(weights: WeightsEnum) -> PretrainedFile:
    """Return the file of torchvision's weights, with the preprocessing that torchvision documents for it."""
    settings = weights.transforms.keywords  # of `torchvision.transforms._presets.ImageClassification`
    size = settings["crop_size"]
    interpolation = settings.get("interpolation")
    return PretrainedFile(
        address=weights.url,
        preprocessing=Preprocessing(
            image_size=size,
            crop_fraction=size / settings.get("resize_size", _USUAL_RESIZE),
            interpolation=interpolation.value if interpolation else "bilinear",
        ),
        licence=weights.meta.get("license"),
        num_bytes=round(weights.meta["_file_size"] * 2**20),  # torchvision states mebibytes
    )


def catalogue() -> Catalogue:
    """Return torchvision's classifiers and their weights, with the figures that torchvision states."""
    networks: list[Offer] = []
    pretrained: list[Offer] = []
    for name in classifiers():
        members = models.get_model_weights(name).__members__
        offers = {
            members[entry].url: _offer(name, choice, members[entry])
            for choice, entry in reversed(_WEIGHTS.items())
            if entry in members
        }  # of two names of one file, the first one of a recipe is kept
        pretrained += reversed(offers.values())
        if "DEFAULT" in members:
            networks.append(offers[members["DEFAULT"].url])
    return Catalogue(version=installed_version("torchvision"), networks=tuple(networks), pretrained=tuple(pretrained))


def _offer(name: str, choice: str, weights: WeightsEnum) -> Offer:
    file = pretrained_file(weights)
    return Offer(
        name=TORCHVISION + name,
        weights=choice,
        image_size=file.preprocessing.image_size if file.preprocessing else None,
        licence=file.licence,
        imagenet_top1=round(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100, _DECIMALS),
        num_parameters=weights.meta["num_params"],
        forward_macs=float(round(weights.meta["_ops"] * 1e9)),  # torchvision calls them GFLOPS, and counts 1 MAC as one
    )


def _resampled(state: dict[str, Tensor], request: ModelRequest) -> dict[str, Tensor]:
    """Resample the position embeddings of a vision transformer to the image size, as torchvision does."""
    if not {"conv_proj.weight", "encoder.pos_embedding"} <= state.keys():
        return state  # not such a network
    patch_size = state["conv_proj.weight"].shape[-1]
    resampled: dict[str, Tensor] = dict(interpolate_embeddings(request.image_size, patch_size, state.copy()))
    return resampled


def _family(name: str) -> str:
    """Return the name of torchvision's module, such as `resnet`."""
    module: str = models.get_model_builder(name).__module__
    return module.rpartition(".")[2]


def _options(name: str, request: ModelRequest) -> dict[str, Any]:
    """Return the arguments that follow from a request, as far as the constructor has them."""
    match _family(name):
        case "resnet":
            return {"zero_init_residual": request.zero_init_residual}
        case "inception" | "googlenet":
            return {"init_weights": request.init_weights, "aux_logits": False}
        case "vgg":
            return {"init_weights": request.init_weights}
        case "vision_transformer":
            return {"image_size": request.image_size}
        case "maxvit":
            return {"input_size": (request.image_size, request.image_size)}
        case _:
            return {}
