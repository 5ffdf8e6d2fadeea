"""The estimate that was published as the memory of three networks.

As in torchsummary 1.5.1 ("Estimated Total Size"): the outputs of all modules for one image, twice, plus parameters and
input, in float32. The outputs of containers are counted in addition to those of their parts, outputs of functions are
not counted, and the memory that training keeps or frees is unknown. So it is not the peak memory, nor proportional to
it.
"""

import math

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter

from intelbench.profiling.workload import Workload
from intelbench.records.profiles import TorchsummaryEstimate

_BATCH = 2
"""Batch norm needs two images; outputs are counted for one."""
_FLOAT32 = 4


def torchsummary_estimate(workload: Workload) -> TorchsummaryEstimate:
    """Summarise a network in training mode on the meta device, without memory or random numbers."""
    outputs = parameters = num_calls = 0
    size = workload.request.image_size

    def add(module: nn.Module, _: object, result: object) -> None:
        nonlocal outputs, parameters, num_calls
        num_calls += 1
        outputs += sum(math.prod(each.shape[1:]) for each in tree_iter(result) if isinstance(each, Tensor))
        parameters += sum(
            each.numel() for name in ("weight", "bias") if isinstance(each := getattr(module, name, None), Tensor)
        )

    model = workload.shapes()
    for module in model.modules():
        if module is not model and not isinstance(module, nn.Sequential | nn.ModuleList):
            module.register_forward_hook(add)
    with torch.device("meta"), torch.no_grad():
        model(torch.empty(_BATCH, 3, size, size))
    return TorchsummaryEstimate(
        activations_bytes=2 * _FLOAT32 * outputs,
        parameters_bytes=_FLOAT32 * parameters,
        input_bytes=_FLOAT32 * 3 * size**2,
        num_calls=num_calls,
    )
