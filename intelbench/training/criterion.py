"""The training loss of logits and targets: cross-entropy with label smoothing and class weights."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from intelbench.config.recipe import Recipe

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Returns a scalar from logits (N x classes) and targets: classes (N), or the share of each class (N x classes)."""


def class_weights(recipe: Recipe, labels: Sequence[int]) -> tuple[float, ...] | None:
    """Return the weight of each class in the training loss; `None` if the recipe has none. Each class has an image.

    With n images of K classes, of which n_k are of class k, `balanced` is n / (K n_k), as scikit-learn's
    `compute_class_weight` has it, and `sqrt` is proportional to 1 / sqrt(n_k). The mean of the weights over all
    training images is 1.
    """
    if recipe.class_weights == "none":
        return None
    num = torch.bincount(torch.tensor(labels)).double()
    weights = 1 / num if recipe.class_weights == "balanced" else num.rsqrt()
    return tuple((weights * len(labels) / (weights * num).sum()).tolist())


def make_criterion(recipe: Recipe, weights: tuple[float, ...] | None, device: torch.device) -> Criterion:
    """Return the training loss of a recipe.

    A weighted loss is the sum over the images, divided by the number of images and not by the sum of their weights, as
    `nn.CrossEntropyLoss` divides it for classes. Its mean over micro batches is therefore that of the batch, and mixed
    images are weighted as other images are.
    """
    smoothing = recipe.label_smoothing
    if weights is None:
        return nn.CrossEntropyLoss(label_smoothing=smoothing)
    summed = nn.CrossEntropyLoss(torch.tensor(weights, device=device), reduction="sum", label_smoothing=smoothing)
    return lambda logits, targets: summed(logits, targets) / len(targets)
