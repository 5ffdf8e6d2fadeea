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
from intelbench.errors import UserError, few
from intelbench.training.ranks import ALONE, Ranks, unsynchronized

_MAX_NAMES = 5
"""Parameters that a message names."""

Part = tuple[Tensor, Tensor]
"""Inputs and labels of some images of a batch."""


class Parts:
    """Splits what this process trains of each batch."""

    def __init__(self, network: nn.Module, recipe: Recipe, seed: int, ranks: Ranks = ALONE) -> None:
        """Split the batches of a network; `seed` determines the random numbers of shards."""
        self.network = ranks.parallel(network)
        """The network, to be called with the inputs of each part."""
        self.are_whole = recipe.num_parts == 1
        """Whether batches are not split."""
        self._trained = [(name, each) for name, each in network.named_parameters() if each.requires_grad]
        self._ranks = ranks
        self._has_shards = recipe.shards > 1
        self._shards = ranks.own(recipe.shards)
        self._num_micro_batches = recipe.micro_batches
        self._seed = seed
        self._buffers = _Buffers(network)
        self.step = 0
        """Number of the step, counted from 1."""

    def __len__(self) -> int:
        """Return the number of parts that this process trains of a batch."""
        return len(self._shards) * self._num_micro_batches

    def __call__(self, inputs: Tensor, labels: Tensor) -> Iterator[Part]:
        """Yield the parts of this process, each when the network is ready for it.

        The first shard comes last, because its buffers are those that remain. Gradients are averaged over the processes
        in the backward pass of the last part.

        Raises:
            UserError: a parameter has no gradient, and the others wait for it to be averaged.
        """
        parts = list(zip(inputs.chunk(len(self)), labels.chunk(len(self)), strict=True))
        for shard in reversed(self._shards):
            is_last = shard == self._shards.start
            first = (shard - self._shards.start) * self._num_micro_batches
            *others, last = parts[first : first + self._num_micro_batches]
            with nullcontext() if is_last else self._buffers.restored():
                if self._has_shards:  # a batch without shards has the random numbers of the run
                    seed_generators(stream_seed(self._seed, "dropout", self.step, shard))
                with unsynchronized(self.network):
                    yield from others
                with nullcontext() if is_last else unsynchronized(self.network):
                    yield last
        if self._ranks.num > 1:
            self._require_gradients()

    def _require_gradients(self) -> None:
        without = [f"`{name}`" for name, parameter in self._trained if parameter.grad is None]
        if without:
            raise UserError(
                f"--gpus {self._ranks.num}: in step {self.step} these parameters got no gradient: "
                f"{few(without, _MAX_NAMES)}. Expected one for each. Try requires_grad = False for those "
                "that the network never uses, or --gpus 1"
            )


class _Buffers:
    """The buffers of a network, which a module may replace by new tensors."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        # Looked up once, because walking through the modules of a network takes 0.4 to 0.7 ms a step.
        self._of_modules = [module._buffers for module in network.modules() if module._buffers]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Run the block, then give the buffers the values that they have at the first forward pass in it.

        They may change before that: `DistributedDataParallel` copies those of rank 0 when it is called.
        """
        saved: list[tuple[dict[str, Tensor | None], str, Tensor, Tensor]] = []

        def save(*_: object) -> None:
            if not saved:
                saved.extend(
                    (buffers, name, value, value.clone())
                    for buffers in self._of_modules
                    for name, value in buffers.items()
                    if value is not None
                )

        with self._network.register_forward_pre_hook(save):
            yield
        with torch.no_grad():
            for buffers, name, value, content in saved:
                buffers[name] = value.copy_(content)
