"""How large a network is and how much a training image costs, counted and not timed."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from intelbench.profiling.workload import Workload

_BATCH = 2
"""Batch norm needs two images to train on."""


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Parameters: all, and those that train."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def forward_macs_per_image(workload: Workload) -> float:
    """Multiply-accumulate operations of a forward pass in evaluation mode, for one image.

    Raises:
        RuntimeError: or another of `UNTRACEABLE`: the network asks for pixel values.
    """
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        workload.build().eval()(_images(workload))
    return float(counter.get_total_flops()) / 2 / _BATCH


def training_flops_per_image(workload: Workload) -> float:
    """FLOPs of forward and backward for one image, as far as the network trains; 1 MAC = 2 FLOPs.

    Convolutions and matrix products are counted; normalisation, activations, pooling and the optimizer are not. Works
    on the meta device: touches neither memory nor random state.

    Raises:
        RuntimeError: or another of `UNTRACEABLE`: the network asks for pixel values.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        workload.loss(workload.build(), _images(workload), torch.zeros(_BATCH, dtype=torch.long)).backward()
    return float(counter.get_total_flops()) / _BATCH


def _images(workload: Workload) -> Tensor:
    return torch.empty(_BATCH, 3, workload.request.image_size, workload.request.image_size)
