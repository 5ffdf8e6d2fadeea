"""Count the parameters of a network, and the operations for an image."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from intelbench.architectures.surgery import require_trainable
from intelbench.profiling.workload import MIN_BATCH, Workload


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return the number of parameters, and the number of trainable parameters."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def forward_macs_per_image(workload: Workload, model: nn.Module | None = None) -> float:
    """Return the multiply-accumulate operations of a forward pass in evaluation mode, for one image.

    `model` is what `workload.shapes()` has returned; it is changed. By default it is built.

    Raises:
        Exception: the network needs pixel values, which the meta device does not have.
    """
    model = (model or workload.shapes()).eval()
    model.requires_grad_(False)  # the counter fails on a parameter as argument of a module
    with torch.device("meta"), torch.no_grad(), _counter() as counter:
        model(workload.batch()[0])
    return float(counter.get_total_flops()) / 2 / MIN_BATCH


def training_flops_per_image(workload: Workload) -> float:
    """Return the FLOPs of the forward and backward passes for one image, without frozen gradients; 1 MAC = 2 FLOPs.

    Convolutions and matrix products are counted; normalisation, activations, pooling and the optimizer are not. The
    computation is on the meta device, so it takes no memory and no random numbers.

    Raises:
        UserError: no parameter of the network is trainable.
        Exception: the network needs pixel values, which the meta device does not have.
    """
    model = workload.shapes()
    require_trainable(model)
    with torch.device("meta"), _counter() as counter:
        workload.loss(model, *workload.batch()).backward()
    return float(counter.get_total_flops()) / MIN_BATCH


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

    The gradient of the input and that of the weight each take the multiplications of the forward pass: one for every
    weight at every position of the output (of the input, if the convolution is transposed). The shape of the weight has
    the channels of one group, so groups are accounted for. PyTorch's own formula multiplies the gradient of the weight
    by the number of groups.
    """
    transposed, is_computed = settings[4], settings[7]
    positions = prod((images if transposed else output)[2:])
    num_gradients: int = sum(is_computed[:2])
    return num_gradients * 2 * images[0] * positions * prod(weight)
