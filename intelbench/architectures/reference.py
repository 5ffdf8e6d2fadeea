"""The five reference architectures: those of the published comparison, and the ReLU twin its LeakyReLU claim needs.

Every head is one linear layer. torchvision is imported when a network is built, because it costs seconds.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from intelbench.architectures.registry import FROM_MINUS_ONE, ModelRequest, PublishedFacts, architecture, main_loss
from intelbench.architectures.surgery import replace_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

REFERENCE = ("resnet152", "wide_resnet101_2", "inception_v3", "resnet101_leaky", "resnet101")

INCEPTION_AUX_MINIMUM_SIZE = 299
INCEPTION_AUX_WEIGHT = 0.4
LEAKY_SLOPE = 0.01
RESNET101_RELUS = 34
"""One in the stem and one in each of 33 bottleneck blocks, called three times there."""

_RESNET = "He et al., Deep Residual Learning for Image Recognition, 2016"


def _published(name: str) -> Mapping[str, str]:
    from intelbench.architectures.library import published_weights

    return published_weights(name)


@architecture(
    "resnet152",
    pretrained=partial(_published, "resnet152"),
    published=PublishedFacts(paper=_RESNET, num_parameters=60_192_808, imagenet_top1=0.78312, memory_mebibytes=1343.71),
)
def resnet152(request: ModelRequest) -> nn.Module:
    """ResNet-152, stride on the 3x3 convolution as in torchvision (v1.5)."""
    return _torchvision("resnet152", request, zero_init_residual=request.zero_init_residual)


@architecture(
    "wide_resnet101_2",
    aliases=("wrn",),
    pretrained=partial(_published, "wide_resnet101_2"),
    published=PublishedFacts(
        paper="Zagoruyko and Komodakis, Wide Residual Networks, 2016",
        num_parameters=126_886_696,
        imagenet_top1=0.78848,
        memory_mebibytes=1481.65,
    ),
)
def wide_resnet101_2(request: ModelRequest) -> nn.Module:
    """Wide ResNet-101-2: a ResNet-101 whose 3x3 convolutions are twice as wide."""
    return _torchvision("wide_resnet101_2", request, zero_init_residual=request.zero_init_residual)


def inception_loss(output: Any, target: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Main loss plus 0.4 x the auxiliary head's, where there is one: the weight of torchvision's training script."""
    if not isinstance(output, tuple):
        return main_loss(output, target, criterion)
    main, auxiliary = output
    return criterion(main, target) + INCEPTION_AUX_WEIGHT * criterion(auxiliary, target)


@architecture(
    "inception_v3",
    minimum_size=75,
    loss=inception_loss,
    pretrained=partial(_published, "inception_v3"),
    normalization=FROM_MINUS_ONE,  # they come from TensorFlow
    auxiliary=("AuxLogits",),
    published=PublishedFacts(
        paper="Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016",
        num_parameters=27_161_264,
        imagenet_top1=0.77294,
        memory_mebibytes=333.30,
    ),
)
def inception_v3(request: ModelRequest) -> nn.Module:
    """Inception-v3, with its auxiliary head from 299 px up: below, that head's 5x5 convolution has no room."""
    return _torchvision(
        "inception_v3",
        request,
        aux_logits=request.image_size >= INCEPTION_AUX_MINIMUM_SIZE,
        init_weights=request.init_weights,
    )


@architecture("resnet101_leaky", pretrained=partial(_published, "resnet101"))
def resnet101_leaky(request: ModelRequest) -> nn.Module:
    """ResNet-101 with LeakyReLU (slope 0.01) for every ReLU, in place as the original: else it would cost memory."""
    from torch import nn

    model = resnet101.build(request)
    replaced = replace_modules(model, nn.ReLU, lambda relu: nn.LeakyReLU(LEAKY_SLOPE, inplace=relu.inplace))
    if replaced != RESNET101_RELUS:
        raise RuntimeError(
            f"replaced {replaced} ReLU modules of ResNet-101 instead of {RESNET101_RELUS}: torchvision has changed it"
        )
    return model


@architecture(
    "resnet101",
    pretrained=partial(_published, "resnet101"),
    published=PublishedFacts(paper=_RESNET, num_parameters=44_549_160, imagenet_top1=0.77374),
)
def resnet101(request: ModelRequest) -> nn.Module:
    """ResNet-101, the ReLU twin of `resnet101_leaky`: from one seed both start with the same weights."""
    return _torchvision("resnet101", request, zero_init_residual=request.zero_init_residual)


def _torchvision(name: str, request: ModelRequest, **options: bool) -> nn.Module:
    from torchvision import models

    model: nn.Module = models.get_model(name, num_classes=request.num_classes, **options)
    return model
