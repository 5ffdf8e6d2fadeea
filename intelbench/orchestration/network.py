"""The network of a run: what its conditions ask for, built, and what a step of it costs."""

from dataclasses import replace
from pathlib import Path

import torch

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.architectures.surgery import find_heads, replace_heads
from intelbench.architectures.weights import load_weights
from intelbench.data.seeds import stream_seed
from intelbench.orchestration.job import Job
from intelbench.profiling.complexity import training_flops_per_image
from intelbench.profiling.workload import UNTRACEABLE, Workload
from intelbench.records.types import Conditions, Recipe


def workload_of(architecture: Architecture, num_classes: int, conditions: Conditions) -> Workload:
    """What is built and trained under these conditions; frozen if it always is."""
    recipe = conditions.recipe
    return Workload(
        architecture=architecture,
        request=ModelRequest(
            num_classes=num_classes,
            image_size=conditions.image_size,
            zero_init_residual=recipe.zero_init_residual,
            own_initialization=recipe.own_initialization,
        ),
        head=recipe.head,
        frozen=recipe.freeze_backbone == "always",
    )


def build_network(workload: Workload, job: Job) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """The network with the weights of the seed's `init` stream, built on the CPU so that all devices start alike.

    Weights from a file replace them afterwards, so that what is new starts as it would without. Returns the names of
    its heads too, where the recipe tells them from the rest.
    """
    torch.manual_seed(stream_seed(job.spec.seed, "init"))
    model = workload.architecture.network(workload.request)
    if not _tells_heads(job.spec.conditions.recipe):
        return model, ()
    heads = find_heads(workload.architecture, workload.request, model)
    replace_heads(model, heads, workload.head)
    if job.weights:
        load_weights(model, workload.architecture, heads, Path(job.weights))
    return model, heads


def flops_of_step(workload: Workload) -> float | None:
    """FLOPs of an image in a training step; `None` where the network cannot be traced."""
    try:
        return training_flops_per_image(workload)
    except UNTRACEABLE:
        return None


def flops_of_run(workload: Workload, whole: float | None, frozen_share: float) -> float | None:
    """FLOPs of an image in the mean step of a run; `whole` is that of a step as the workload says.

    `frozen_share` is the share of steps with a frozen backbone, of a run that had others too.
    """
    if whole is None or workload.frozen or not frozen_share:
        return whole
    frozen = flops_of_step(replace(workload, frozen=True))
    return None if frozen is None else frozen_share * frozen + (1 - frozen_share) * whole


def _tells_heads(recipe: Recipe) -> bool:
    default = Recipe()
    names = ("weights", "head", "freeze_backbone", "backbone_learning_rate")
    return any(getattr(recipe, name) != getattr(default, name) for name in names)
