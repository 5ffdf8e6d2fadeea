"""Evaluation: every image of a split once, in evaluation mode, without augmentation, outside the budget."""

import math
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from intelbench.architectures.generators import preserve_generators, seed_generators
from intelbench.architectures.surgery import evaluating
from intelbench.config.conditions import Conditions
from intelbench.data.dataset import Split
from intelbench.data.pixels import PixelSource
from intelbench.data.stream import InputKind, evaluation_batches
from intelbench.data.transforms import normalize
from intelbench.errors import UserError, kind_of
from intelbench.profiling.activations import ActivationProbe, Activations
from intelbench.profiling.device import device_of, is_out_of_memory
from intelbench.records.profiles import FilterGradients
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization
from intelbench.training.precision import autocast
from intelbench.training.ranks import ALONE, Ranks

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class HeadEvaluator(Protocol):
    """Computes logits from the stored features of images, without the backbone."""

    def of_split(self, split: Split) -> object:
        """Return the features of the split, which are computed or read once."""

    def logits(self, split: Split) -> Tensor:
        """Return the logits of every image, in the order of the split: images x classes."""


@dataclass(frozen=True)
class Evaluator:
    """Evaluates a network under the conditions of its run. Every module keeps its mode."""

    model: nn.Module
    pixels: PixelSource
    conditions: Conditions
    device: torch.device
    normalization: Normalization = IMAGENET_NORMALIZATION
    workers: int = 0
    """Threads that load data."""
    head: HeadEvaluator | None = None
    """Computes the logits from features if the backbone is always frozen."""
    ranks: Ranks = ALONE
    """This process among those of a run, of which each evaluates some of the batches."""

    @torch.no_grad()
    def require_logits(self, split: Split, num_classes: int) -> None:
        """Check with two images of the split that the network returns one logit for each class.

        Raises:
            UserError: the network returns something else, which training may not notice, or does not take images in the
                memory format of the conditions.
        """
        images, _ = next(evaluation_batches(split, self.pixels, self.conditions.image_size, batch_size=2))
        inputs = self.inputs(images)
        try:
            output = self._output(inputs)
        except RuntimeError as error:
            if is_out_of_memory(error) or not self._works_contiguous(inputs):
                raise
            raise UserError(
                f"the network does not take images in {self.conditions.memory_format} memory "
                f"({str(error).partition(chr(10))[0]}); write x.flatten(1) or x.reshape(...) in place of x.view(...), "
                'or set `memory_format = "contiguous"` in the suite, for all architectures alike'
            ) from error
        is_tensor = isinstance(output, Tensor)
        returned = f"{tuple(output.shape)} on {output.device.type}" if is_tensor else kind_of(output)
        expected = f"({len(images)}, {num_classes}) on {self.device.type}"
        if returned != expected:
            hint = "give its last layer `request.num_classes` outputs"
            if not is_tensor or output.ndim != 2:
                hint = "flatten its output" if is_tensor else "return that tensor alone"
            raise UserError(
                f"the network returns {returned} for {len(images)} images of {num_classes} classes; it must return "
                f"logits, {expected}; {hint}"
            )

    @torch.no_grad()
    def logits(self, split: Split) -> NDArray[np.float32]:
        """Return the logits of every image, in the order of the split: images x classes.

        All processes of a run call this, and get the logits of all of them. The batches are those of one process, and
        so are the bits. Logits from features are computed by rank 0.
        """
        if self.head:
            own = [self.head.logits(split).numpy()] if self.ranks.leads else []
        else:
            self.ranks.share(self.model.buffers())
            own = self._logits_of_own_batches(split)
        return np.concatenate(list(chain.from_iterable(self.ranks.gather(own))))

    def _logits_of_own_batches(self, split: Split) -> list[NDArray[np.float32]]:
        """Return the logits of the batches of this process, whose random numbers depend on the number of the batch."""
        size = self.conditions.recipe.evaluation_batch_size
        numbers = self.ranks.own(math.ceil(len(split) / size))
        own = split.subset(list(range(len(split)))[numbers.start * size : numbers.stop * size])
        logits = []
        # One context for all batches: it casts the weights once.
        with evaluation_mode(self.model, self.device), autocast(self.conditions, self.device)():
            for number, (images, _) in zip(numbers, self.batches(own, size), strict=True):
                inputs = self.inputs(images)
                seed_generators(number)
                logits.append(self.model(inputs).float().cpu().numpy())
        return logits

    def batches(self, split: Split, batch_size: int | None = None) -> Generator[tuple[Tensor, Tensor]]:
        """Yield the images of the split as evaluation sees them: uint8 images (N x size x size x 3) and labels (N).

        `batch_size` is that of training by default.
        """
        size, batch_size = self.conditions.image_size, batch_size or self.conditions.recipe.batch_size
        pins = device_of(self.device).pins_memory
        return evaluation_batches(split, self.pixels, size, batch_size, workers=self.workers, pin_memory=pins)

    def inputs(self, batch: Tensor, kind: InputKind = "images") -> Tensor:
        """Return a batch as an input of the network, on its device: normalized images, or features as they are."""
        on_device = batch.to(self.device, non_blocking=True)
        if kind == "features":
            return on_device
        return normalize(on_device, self.conditions.memory_format, self.normalization)

    def logits_and_activations(self, split: Split) -> tuple[NDArray[np.float32], Activations]:
        """Return the logits of the split, and the activations of the network, or of its head if it has features."""
        if self.head and self.ranks.leads:
            self.head.of_split(split)  # before the probe looks at what the network does
        with ActivationProbe(self.model) as probe:
            logits = self.logits(split)
        return logits, Activations.of(self.ranks.gather(probe.sites))

    def filter_gradients(self, split: Split) -> FilterGradients | None:
        """Count the convolution filters whose gradient is exactly 0 for every batch of the split, in evaluation mode.

        Such a filter feeds dead units only, and learns nothing any more. The network has no gradients afterwards.
        Returns `None` if no convolution is trained.
        """
        filters = [m.weight for m in self.model.modules() if isinstance(m, _CONVOLUTIONS) and m.weight.requires_grad]
        if not filters:
            return None
        learning = [torch.zeros(len(weight), dtype=torch.bool, device=self.device) for weight in filters]
        cast = autocast(self.conditions, self.device)
        with evaluation_mode(self.model, self.device):
            for images, labels in self.batches(split):
                inputs = self.inputs(images)
                with cast():
                    loss = F.cross_entropy(self.model(inputs), labels.to(self.device))
                loss.backward()
                for learns, weight in zip(learning, filters, strict=True):
                    if weight.grad is not None:
                        learns.logical_or_(weight.grad.flatten(1).ne(0).any(1))
                self.model.zero_grad()
                if all(learns.all() for learns in learning):
                    break  # more batches cannot change the counts
        return FilterGradients(
            num_filters=sum(map(len, learning)),
            num_without_gradient=int((~torch.cat(learning)).sum()),
            num_images=len(split),
        )

    def _output(self, inputs: Tensor) -> Any:
        with evaluation_mode(self.model, self.device), autocast(self.conditions, self.device)():
            return self.model(inputs)

    def _works_contiguous(self, inputs: Tensor) -> bool:
        """Return whether the network takes contiguous images only; its weights are contiguous afterwards."""
        if self.conditions.memory_format == "contiguous":
            return False
        self.model.to(memory_format=torch.contiguous_format)
        try:
            self._output(inputs.contiguous())
        except RuntimeError:
            return False
        return True


@contextmanager
def evaluation_mode(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the network into evaluation mode for the block, and restore the mode of each module afterwards.

    Random numbers that the network draws in the block do not change those of training.
    """
    with evaluating(model), preserve_generators(device_of(device)):
        yield


def mean_cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """Return the mean cross-entropy of the logits in nats, without label smoothing."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_likelihood = shifted[np.arange(len(labels)), labels] - np.log(np.exp(shifted).sum(axis=1))
    return float(-log_likelihood.mean())
