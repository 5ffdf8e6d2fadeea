"""How large a network is and how much a training image costs, counted and not timed."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from intelbench.architectures.registry import Architecture, ModelRequest

_BATCH = 2
"""Batch norm needs two images to train on."""


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Parameters: all, and those that train."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def training_flops_per_image(architecture: Architecture, request: ModelRequest) -> float | None:
    """FLOPs of forward and backward for one image, 1 MAC = 2 FLOPs; `None` where the network cannot be traced.

    Convolutions and matrix products are counted; normalisation, activations, pooling and the optimizer are not. Works
    on the meta device: touches neither memory nor random state. A network whose control flow depends on pixel values
    has no such count.
    """
    try:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            model = architecture.build(request).train()
            images = torch.empty(_BATCH, 3, request.image_size, request.image_size)
            target = torch.zeros(_BATCH, dtype=torch.long)
            loss: Tensor = architecture.loss(model(images), target, F.cross_entropy)
            loss.backward()
    except (RuntimeError, NotImplementedError, TypeError):  # TypeError: `images.numpy()`
        return None
    return float(counter.get_total_flops()) / _BATCH
