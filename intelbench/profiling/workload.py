"""What is profiled: a network, the images it sees, and how much of it trains."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.architectures.surgery import freeze_backbone

UNTRACEABLE = (RuntimeError, NotImplementedError, TypeError)
"""What PyTorch raises where a network asks a tensor without contents for its values; TypeError is `images.numpy()`."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Training steps of one network on images of one size."""

    architecture: Architecture
    request: ModelRequest
    frozen: bool = False
    """Whether all but the heads is frozen."""

    def build(self) -> nn.Module:
        """The network in training mode, on the current default device."""
        model = self.architecture.network(self.request).train()
        if self.frozen:
            freeze_backbone(model, self.request.num_classes)
        return model

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Forward pass and cross-entropy, the architecture's own way."""
        output: Any = model(images)
        return self.architecture.loss(output, labels, F.cross_entropy)
