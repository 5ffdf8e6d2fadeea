"""Compute the estimate that was published as the memory of three networks: torchsummary's "Estimated Total Size".

As torchsummary 1.5.1 does, it adds twice the outputs of all modules for one image, the parameters and the input, in
float32. Outputs of containers are counted in addition to those of their parts, outputs of functions are not counted,
and what training keeps or frees is unknown. So the estimate is neither the peak memory nor proportional to it.
"""

import math

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_iter

from intelbench.profiling.workload import Workload
from intelbench.records.profiles import TorchsummaryEstimate

_FLOAT32 = 4
"""Bytes."""


def torchsummary_estimate(workload: Workload) -> TorchsummaryEstimate:
    """Summarise a network in training mode on the meta device, which takes no memory and no random numbers."""
    outputs = parameters = num_calls = 0

    def add(module: nn.Module, _: object, result: object) -> None:
        nonlocal outputs, parameters, num_calls
        num_calls += 1
        outputs += sum(math.prod(tensor.shape[1:]) for tensor in tree_iter(result) if isinstance(tensor, Tensor))
        tensors = (getattr(module, name, None) for name in ("weight", "bias"))
        parameters += sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))

    model = workload.shapes()
    for module in model.modules():
        if module is not model and not isinstance(module, nn.Sequential | nn.ModuleList):
            module.register_forward_hook(add)
    with torch.device("meta"), torch.no_grad():
        model(workload.batch()[0])
    return TorchsummaryEstimate(
        activations_bytes=2 * _FLOAT32 * outputs,
        parameters_bytes=_FLOAT32 * parameters,
        input_bytes=_FLOAT32 * 3 * workload.request.image_size**2,
        num_calls=num_calls,
    )
