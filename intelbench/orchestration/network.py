"""The network of a run: what its conditions ask for, built; what it is fed with, and what a step of it costs."""

from dataclasses import replace
from pathlib import Path

import torch

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.architectures.surgery import find_heads, replace_heads
from intelbench.architectures.weights import load_weights
from intelbench.data.features import FeatureStore
from intelbench.data.seeds import stream_seed
from intelbench.data.stream import BatchSource, TrainingStream
from intelbench.orchestration.job import Job
from intelbench.profiling.complexity import training_flops_per_image
from intelbench.profiling.workload import UNTRACEABLE, Workload
from intelbench.records.types import Conditions, Environment, Recipe, RunSpec
from intelbench.training.backbone import Backbone
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import FeatureStream, feature_bank


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
    model = workload.architecture.build(workload.request)
    if not _tells_heads(job.spec.conditions.recipe):
        return model, ()
    heads = find_heads(workload.architecture, workload.request, model)
    replace_heads(model, heads, workload.head)
    if job.weights:
        load_weights(model, workload.architecture, heads, Path(job.weights))
    return model, heads


def with_features(
    job: Job, environment: Environment, stream: TrainingStream, evaluator: Evaluator, backbone: Backbone
) -> tuple[Evaluator, BatchSource]:
    """Evaluator and batches of a run, on features where the backbone is frozen and the network lets them be taken.

    Training batches are, where views come again; evaluation is, where the backbone never trains.
    """
    recipe = job.spec.conditions.recipe
    if recipe.freeze_backbone == "never":
        return evaluator, stream
    store = FeatureStore(Path(job.dataset.cache).parents[1] / "features" if job.dataset.cache else None)
    bank = feature_bank(evaluator, backbone, store, _identity(job.spec, environment))
    if bank is None:
        return evaluator, stream
    batches = FeatureStream(stream, bank, backbone) if stream.num_views else stream
    return (replace(evaluator, head=bank) if backbone.always_frozen else evaluator), batches


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


def _identity(spec: RunSpec, environment: Environment) -> tuple[object, ...]:
    """What decides features to the bit, beside the weights of the backbone and the view."""
    conditions = spec.conditions
    return (
        spec.architecture, spec.provider, spec.data.digest, spec.normalization, conditions.image_size,
        conditions.precision, conditions.memory_format, conditions.deterministic, conditions.recipe.batch_size,
        spec.execution.device, spec.execution.threads, environment.fingerprint,
    )  # fmt: skip


def _tells_heads(recipe: Recipe) -> bool:
    default = Recipe()
    names = ("weights", "head", "freeze_backbone", "backbone_learning_rate")
    return any(getattr(recipe, name) != getattr(default, name) for name in names)
