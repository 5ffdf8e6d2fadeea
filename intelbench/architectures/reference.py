"""Register the five reference architectures: those of the published comparison, and ResNet-101 with ReLU.

Every head is one linear layer. torchvision is imported only when a network is built, because that takes seconds.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from intelbench.architectures.registry import (
    FROM_MINUS_ONE,
    ModelRequest,
    PretrainedFile,
    PublishedFacts,
    architecture,
    main_loss,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

REFERENCE = ("resnet152", "wide_resnet101_2", "inception_v3", "resnet101_leaky", "resnet101")
LEAKY_SLOPE = 0.01
_MIN_AUXILIARY_SIZE = 299
"""Image size in pixels from which Inception-v3 has its auxiliary head; smaller maps have no room for its 5x5
convolution."""
_AUXILIARY_WEIGHT = 0.4
"""Weight of the auxiliary loss in torchvision's training script."""
_RESNET101_RELUS = 34
"""Number of ReLU modules: one in the stem and one in each of 33 bottleneck blocks, which call it three times."""
_RESNET = "He et al., Deep Residual Learning for Image Recognition, 2016"


def _published(name: str) -> Mapping[str, PretrainedFile]:
    from intelbench.architectures.library import published_weights

    return published_weights(name)


def _torchvision(name: str, request: ModelRequest, **options: bool) -> nn.Module:
    from intelbench.architectures.library import build_classifier

    return build_classifier(name, request, **options)


@architecture(
    "resnet152",
    pretrained=partial(_published, "resnet152"),
    published=PublishedFacts(paper=_RESNET, num_parameters=60_192_808, imagenet_top1=0.78312, memory_mebibytes=1343.71),
)
def resnet152(request: ModelRequest) -> nn.Module:
    """Build ResNet-152, with the stride on the 3x3 convolution as in torchvision (v1.5)."""
    return _torchvision("resnet152", request)


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
    """Build Wide ResNet-101-2, a ResNet-101 whose 3x3 convolutions are twice as wide."""
    return _torchvision("wide_resnet101_2", request)


def inception_loss(output: Any, target: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the main loss, plus 0.4 x the auxiliary loss if the network has the auxiliary head."""
    if not isinstance(output, tuple):
        return main_loss(output, target, criterion)
    main, auxiliary = output
    return criterion(main, target) + _AUXILIARY_WEIGHT * criterion(auxiliary, target)


@architecture(
    "inception_v3",
    minimum_size=75,
    loss=inception_loss,
    pretrained=partial(_published, "inception_v3"),
    normalization=FROM_MINUS_ONE,  # the weights come from TensorFlow
    auxiliary=("AuxLogits",),
    published=PublishedFacts(
        paper="Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016",
        num_parameters=27_161_264,
        imagenet_top1=0.77294,
        image_size=299,
        memory_mebibytes=333.30,
    ),
)
def inception_v3(request: ModelRequest) -> nn.Module:
    """Build Inception-v3, with its auxiliary head from 299 px on."""
    return _torchvision("inception_v3", request, aux_logits=request.image_size >= _MIN_AUXILIARY_SIZE)


@architecture("resnet101_leaky", pretrained=partial(_published, "resnet101"))
def resnet101_leaky(request: ModelRequest) -> nn.Module:
    """Build ResNet-101 with LeakyReLU (slope 0.01) for every ReLU, in place like the ReLU, which saves memory."""
    from torch import nn

    from intelbench.architectures.surgery import replace_modules

    model = resnet101.build(request)
    num = replace_modules(model, nn.ReLU, lambda relu: nn.LeakyReLU(LEAKY_SLOPE, inplace=relu.inplace))
    if num != _RESNET101_RELUS:
        raise RuntimeError(
            f"replaced {num} ReLU modules of ResNet-101 instead of {_RESNET101_RELUS}: torchvision has changed it"
        )
    return model


@architecture(
    "resnet101",
    pretrained=partial(_published, "resnet101"),
    published=PublishedFacts(paper=_RESNET, num_parameters=44_549_160, imagenet_top1=0.77374),
)
def resnet101(request: ModelRequest) -> nn.Module:
    """Build ResNet-101. From one seed it starts with the same weights as `resnet101_leaky`."""
    return _torchvision("resnet101", request)
