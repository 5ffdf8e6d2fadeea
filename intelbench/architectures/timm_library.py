"""Build timm's networks, find their published weights, and fit these to an image size."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import timm
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import Tensor, nn

from intelbench.architectures.catalogue import Catalogue, Offer, installed_version
from intelbench.architectures.hub import SCHEME
from intelbench.architectures.registry import TIMM, Architecture, ModelRequest, PretrainedFile
from intelbench.records.types import Preprocessing


@cache
def networks() -> Collection[str]:
    """Return the names of timm's networks, without and with the tag of weights: `resnet50`, `resnet50.a1_in1k`."""
    return dict.fromkeys((*timm.list_models(), *timm.list_pretrained()))


@cache
def timm_architecture(name: str) -> Architecture:
    """Return a network of timm, whose weights are those of the tag in its name, or else timm's default."""
    config = configuration(name)
    mean, std = tuple(config.mean), tuple(config.std)
    return Architecture(
        name=TIMM + name,
        build=partial(_build, name),
        pretrained=partial(_published_weights, name),
        convert=partial(_converted, name),
        normalization=(mean, std) if len(mean) == len(std) == 3 else None,
    )


def configuration(name: str) -> PretrainedCfg:
    """Return what timm knows about the weights of a network: where they are, and how images are prepared for them."""
    return get_pretrained_cfg(name) or PretrainedCfg()


def pretrained_file(config: PretrainedCfg) -> PretrainedFile | None:
    """Return the published weights of a configuration; `None` if it has none that can be fetched."""
    if config.hf_hub_id:
        file = f"#{config.hf_hub_filename}" if config.hf_hub_filename else ""
        address = f"{SCHEME}{config.hf_hub_id}{file}"
    elif isinstance(config.url, str) and config.url:
        address = config.url
    else:
        return None
    return PretrainedFile(
        address=address,
        preprocessing=Preprocessing(
            image_size=max(config.input_size[1:]), crop_fraction=config.crop_pct, interpolation=config.interpolation
        ),
        licence=config.license,
    )


def catalogue() -> Catalogue:
    """Return timm's networks and their weights. timm states neither parameters nor accuracies."""
    return Catalogue(
        version=installed_version("timm"),
        networks=tuple(map(_offer, timm.list_models())),
        pretrained=tuple(map(_offer, timm.list_pretrained())),
    )


def _offer(name: str) -> Offer:
    config = configuration(name)
    file = pretrained_file(config)
    return Offer(
        name=TIMM + name,
        weights="imagenet" if file else None,
        image_size=max(config.input_size[1:]),
        licence=file.licence if file else None,
    )


def _published_weights(name: str) -> Mapping[str, PretrainedFile]:
    file = pretrained_file(configuration(name))
    return {"imagenet": file} if file else {}


def _build(name: str, request: ModelRequest) -> nn.Module:
    """Build a network with random weights, for images of the requested size where timm fixes the size."""
    network: nn.Module = timm.create_model(name, **_options(configuration(name), request))
    return network


def _options(config: PretrainedCfg, request: ModelRequest) -> dict[str, Any]:
    options: dict[str, Any] = {"num_classes": request.num_classes}
    if config.fixed_input_size:  # timm then builds the network for `img_size`
        options["img_size"] = request.image_size
    return options


def _converted(name: str, state: dict[str, Tensor], request: ModelRequest) -> dict[str, Tensor]:
    """Let timm load the weights into a network of the requested size, and return the state dict of that network.

    timm renames parameters of older files and resamples position embeddings and tables of relative positions. The
    network has the head of the file, so that timm requires every parameter to be there.

    Raises:
        RuntimeError: parameters are missing, unexpected or of another shape; timm raises other errors too.
    """
    config = configuration(name)
    num_classes = config.num_classes
    overlay: dict[str, Any] = {"state_dict": state}
    head = state.get(f"{config.classifier}.weight")
    if head is not None and len(head) != num_classes + (config.label_offset or 0):  # trained for other classes
        num_classes = len(head)
        overlay |= {"num_classes": num_classes, "label_offset": 0}
    options = _options(config, replace(request, num_classes=num_classes))
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    return model.state_dict()
