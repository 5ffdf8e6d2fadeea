"""Describe what is profiled: a network, its image size, and which part of it is trained."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from intelbench.architectures.generators import preserve_generators, seed_generators
from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.architectures.surgery import build_shapes, find_heads, freeze_backbone, replace_heads
from intelbench.config.recipe import ORIGINAL_HEAD, Head

MIN_BATCH = 2
"""Least number of images that batch norm can be trained on."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Training steps of one network on images of one size."""

    architecture: Architecture
    request: ModelRequest
    head: Head = ORIGINAL_HEAD
    frozen: bool = False
    """Whether all layers but the heads are frozen."""
    seed: int = 0
    """Seed of the random numbers with which the network is built."""
    num_parts: int = 1
    """Parts of a batch whose gradients are accumulated one after the other."""

    def build(self) -> nn.Module:
        """Build the network in training mode on the default device.

        The result is the same each time, and the state of all generators is preserved.
        """
        with preserve_generators():
            seed_generators(self.seed)
            return self._as_trained(self.architecture.network(self.request))

    def shapes(self) -> nn.Module:
        """Build the network in training mode on the meta device, without values and memory.

        Its random choices are those of `build`, and the state of all generators is preserved.
        """
        with preserve_generators():
            seed_generators(self.seed)
            model = build_shapes(self.architecture, self.request)
            with torch.device("meta"):
                return self._as_trained(model)

    def batch(self, batch_size: int = MIN_BATCH) -> tuple[Tensor, Tensor]:
        """Return black images (N x 3 x size x size, float32) and labels (N) on the default device."""
        size = self.request.image_size
        return torch.zeros(batch_size, 3, size, size), torch.zeros(batch_size, dtype=torch.long)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the architecture, with cross-entropy as criterion."""
        output: Any = model(images)
        return self.architecture.loss(output, labels, F.cross_entropy)

    def _as_trained(self, model: nn.Module) -> nn.Module:
        model.train()
        if self.frozen or self.head != ORIGINAL_HEAD:
            heads = find_heads(self.architecture, self.request, model)
            replace_heads(self.architecture, model, heads, self.head)
            if self.frozen:
                freeze_backbone(model, heads)
        return model
