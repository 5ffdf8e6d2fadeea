"""How large a network is and how much a training image costs, counted and not timed."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from intelbench.architectures.surgery import require_trainable
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
        Exception: whatever a network raises that asks for pixel values.
    """
    model = workload.shapes().eval()
    with torch.device("meta"), torch.no_grad(), _counter() as counter:
        model(_images(workload))
    return float(counter.get_total_flops()) / 2 / _BATCH


def training_flops_per_image(workload: Workload) -> float:
    """FLOPs of forward and backward for one image, as far as the network trains; 1 MAC = 2 FLOPs.

    Convolutions and matrix products are counted; normalisation, activations, pooling and the optimizer are not. Works
    on the meta device: touches neither memory nor random state.

    Raises:
        UserError: no parameter of the network trains.
        Exception: whatever a network raises that asks for pixel values.
    """
    model = workload.shapes()
    require_trainable(model)
    with torch.device("meta"), _counter() as counter:
        workload.loss(model, _images(workload), torch.zeros(_BATCH, dtype=torch.long)).backward()
    return float(counter.get_total_flops()) / _BATCH


def _counter() -> FlopCounterMode:
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward_flops}
    )


def _convolution_backward_flops(
    output: Sequence[int], images: Sequence[int], weight: Sequence[int], *settings: Any, **_: object
) -> int:
    """Return the FLOPs of a convolution's gradients, from the shapes of its output, input and weight.

    `settings` are the other arguments of `aten::convolution_backward`: bias, stride, padding, dilation, transposed,
    output padding, groups, and which gradients are computed (of input, weight and bias).

    The gradients of input and weight take the multiplications of the forward pass each: every weight meets each
    position of the output once (of the input, if the convolution is transposed). The shape of the weight has the
    channels of one group, so groups are accounted for; PyTorch's own formula multiplies the gradient of the weight by
    their number.
    """
    transposed, is_computed = settings[4], settings[7]
    positions = prod((images if transposed else output)[2:])
    num_gradients: int = sum(is_computed[:2])
    return num_gradients * 2 * images[0] * positions * prod(weight)


def _images(workload: Workload) -> Tensor:
    return torch.empty(_BATCH, 3, workload.request.image_size, workload.request.image_size)
