"""Lion (Chen et al., 2023) in one plug-in file."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer

import intelbench


@intelbench.optimizer("lion")
class Lion(Optimizer):
    """Steps of one size for all weights, in the direction of the sign of the momentum."""

    def __init__(
        self, params: Iterable[Any], lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(momentum.lerp(parameter.grad, 1 - beta1).sign_(), alpha=-group["lr"])
                momentum.lerp_(parameter.grad, 1 - beta2)
