"""The parts of a batch, whose gradients a step accumulates: shards, and the micro batches of each shard.

A shard is trained as if it was on a GPU of its own, as PyTorch's `DistributedDataParallel` has it: with its own random
numbers, and with the buffers that the first shard has left in the step before. Micro batches follow one another on one
GPU: each has the random numbers and the buffers after the one before it. Batch norm sees the images of one part.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from intelbench.architectures.generators import seed_generators
from intelbench.config.recipe import Recipe
from intelbench.data.seeds import stream_seed

Part = tuple[Tensor, Tensor]
"""Inputs and labels of some images of a batch."""


class Parts:
    """Splits the batches of a run."""

    def __init__(self, network: nn.Module, recipe: Recipe, seed: int) -> None:
        """Split the batches of a network; `seed` determines the random numbers of shards."""
        self._num_shards, self._num_micro_batches = recipe.shards, recipe.micro_batches
        self._seed = seed
        self._buffers = _Buffers(network)
        self.step = 0
        """Number of the step, counted from 1."""

    def __len__(self) -> int:
        """Return the number of parts of a batch."""
        return self._num_shards * self._num_micro_batches

    def __call__(self, inputs: Tensor, labels: Tensor) -> Iterator[Part]:
        """Yield the parts of a batch, each when the network is ready for it.

        The first shard comes last, because its buffers are those that remain.
        """
        parts = list(zip(inputs.chunk(len(self)), labels.chunk(len(self)), strict=True))
        for shard in reversed(range(self._num_shards)):
            first = shard * self._num_micro_batches
            with self._buffers.restored() if shard else nullcontext():
                if self._num_shards > 1:  # the random numbers of an undivided batch are those of the run
                    seed_generators(stream_seed(self._seed, "dropout", self.step, shard))
                yield from parts[first : first + self._num_micro_batches]


class _Buffers:
    """The buffers of a network, which a module may replace by new tensors."""

    def __init__(self, network: nn.Module) -> None:
        # Looked up once, because walking through the modules of a network takes 0.4 to 0.7 ms a step.
        self._of_modules = [module._buffers for module in network.modules() if module._buffers]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Run the block, then restore the buffers."""
        saved = [
            (buffers, name, value, value.clone())
            for buffers in self._of_modules
            for name, value in buffers.items()
            if value is not None
        ]
        yield
        with torch.no_grad():
            for buffers, name, value, content in saved:
                buffers[name] = value.copy_(content)
