"""Evaluation: every image once, in evaluation mode, without augmentation, outside the clock."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from intelbench.architectures.generators import preserve_generators
from intelbench.config.conditions import Conditions
from intelbench.data.dataset import Split
from intelbench.data.pixels import PixelSource
from intelbench.data.stream import InputKind, evaluation_batches
from intelbench.data.transforms import normalize
from intelbench.errors import UserError
from intelbench.profiling.activations import ActivationProbe, Activations
from intelbench.profiling.device import device_of, is_out_of_memory
from intelbench.records.profiles import FilterGradients
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization
from intelbench.training.precision import autocast

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class HeadEvaluator(Protocol):
    """Whoever knows the features of a split's images."""

    def prepare(self, split: Split) -> None:
        """Have the features of the split at hand."""
        ...

    def logits(self, split: Split) -> Tensor:
        """Logits of every image, in the order of the split: images x classes."""
        ...


@dataclass(frozen=True)
class Evaluator:
    """Evaluates one network under the conditions of its run."""

    model: nn.Module
    pixels: PixelSource
    conditions: Conditions
    device: torch.device
    normalization: Normalization = IMAGENET_NORMALIZATION
    workers: int = 0
    """Threads that prepare images ahead."""
    head: HeadEvaluator | None = None
    """Of a network whose backbone is always frozen: what takes the logits from features."""

    @torch.no_grad()
    def require_logits(self, split: Split, num_classes: int) -> None:
        """Show the network two images of the split. Leaves every module in its mode.

        Raises:
            UserError: what comes back is not one logit a class; with too many, training would go through. Or the
                network cannot take images in the memory format of the conditions.
        """
        images, _ = next(evaluation_batches(split, self.pixels, self.conditions.image_size, batch_size=2))
        inputs = self.inputs(images)
        try:
            found = self._output(inputs)
        except RuntimeError as error:
            if is_out_of_memory(error) or not self._works_contiguous(inputs):
                raise
            raise UserError(
                f"the network does not take images in {self.conditions.memory_format} memory "
                f"({str(error).partition(chr(10))[0]}); write x.flatten(1) or x.reshape(...) in place of x.view(...), "
                'or set `memory_format = "contiguous"` in the suite, for all architectures alike'
            ) from error
        is_tensor = isinstance(found, Tensor)
        what = f"{tuple(found.shape)} on {found.device.type}" if is_tensor else f"a {type(found).__name__}"
        wanted = f"({len(images)}, {num_classes}) on {self.device.type}"
        if what != wanted:
            hint = "give its last layer `request.num_classes` outputs"
            if not is_tensor or found.ndim != 2:
                hint = "flatten its output" if is_tensor else "return that tensor alone"
            raise UserError(
                f"the network returns {what} for {len(images)} images of {num_classes} classes; it must return logits, "
                f"{wanted}; {hint}"
            )

    @torch.no_grad()
    def logits(self, split: Split) -> NDArray[np.float32]:
        """Logits of every image of the split, in its order: images x classes. Leaves every module in its mode."""
        if self.head:
            return self.head.logits(split).numpy()
        cast = autocast(self.conditions, self.device)
        found = []
        with evaluation_mode(self.model, self.device):
            for images, _ in self.batches(split):
                inputs = self.inputs(images)
                with cast():
                    found.append(self.model(inputs).float().cpu())
        return torch.cat(found).numpy()

    def batches(self, split: Split) -> Generator[tuple[Tensor, Tensor]]:
        """Every image of the split once, as evaluation sees it: uint8 images (N x size x size x 3) and labels (N)."""
        size, batch_size = self.conditions.image_size, self.conditions.recipe.batch_size
        pins = device_of(self.device).pins_memory
        return evaluation_batches(split, self.pixels, size, batch_size, workers=self.workers, pin_memory=pins)

    def inputs(self, batch: Tensor, kind: InputKind = "images") -> Tensor:
        """Return what the network is shown of a batch, on its device: images normalised, features as they are."""
        on_device = batch.to(self.device, non_blocking=True)
        if kind == "features":
            return on_device
        return normalize(on_device, self.conditions.memory_format, self.normalization)

    def logits_and_activations(self, split: Split) -> tuple[NDArray[np.float32], Activations]:
        """The same, and what the network's rectifiers did meanwhile; with features, those of the head."""
        if self.head:
            self.head.prepare(split)
        with ActivationProbe(self.model) as probe:
            logits = self.logits(split)
        return logits, probe.read()

    def filter_gradients(self, split: Split) -> FilterGradients | None:
        """Count the convolution filters whose gradient is exactly 0 for every batch of the split, in evaluation mode.

        A filter that feeds dead units alone learns nothing any more. Leaves every module in its mode, without
        gradients; `None` where no convolution trains.
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
                    break  # no further batch can make a filter that learns one that does not
        return FilterGradients(
            num_filters=sum(map(len, learning)),
            num_without_gradient=int((~torch.cat(learning)).sum()),
            num_images=len(split),
        )

    def _output(self, inputs: Tensor) -> Any:
        with evaluation_mode(self.model, self.device), autocast(self.conditions, self.device)():
            return self.model(inputs)

    def _works_contiguous(self, inputs: Tensor) -> bool:
        """Whether another memory format is all that the network needs; its weights are left in row-major order."""
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
    """Put the whole network into evaluation mode, and afterwards each module back into its own.

    Training draws the same random numbers as if the network had drawn none on the device in the block.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with preserve_generators(device_of(device)):
            yield
    finally:
        for module, training in modes:
            module.training = training


def mean_cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
    """Mean negative log-likelihood of the labels (natural logarithm), without label smoothing."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_likelihood = shifted[np.arange(len(labels)), labels] - np.log(np.exp(shifted).sum(axis=1))
    return float(-log_likelihood.mean())
