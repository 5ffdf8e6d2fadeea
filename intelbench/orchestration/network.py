"""The network of a run: what its conditions ask for, built; what it is fed with, and what a step of it costs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from intelbench.architectures.generators import seed_generators
from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.architectures.surgery import find_heads, replace_heads
from intelbench.architectures.weights import load_weights
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.data.features import FeatureStore
from intelbench.data.seeds import stream_seed
from intelbench.data.stream import BatchSource, TrainingStream
from intelbench.orchestration.job import Job
from intelbench.profiling.complexity import training_flops_per_image
from intelbench.profiling.device import device_of
from intelbench.profiling.workload import Workload
from intelbench.records.types import Environment, RunSpec
from intelbench.training.backbone import Backbone
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import FeatureBank, FeatureStream, feature_bank
from intelbench.training.precision import MEMORY_FORMATS


@dataclass(frozen=True)
class Trainee:
    """What a run trains, on what, and how it is evaluated."""

    workload: Workload
    stream: TrainingStream
    """The images."""
    batches: BatchSource
    """The same, or features in their place."""
    evaluator: Evaluator
    backbone: Backbone


def set_up(
    job: Job, environment: Environment, device: torch.device, extracting: Callable[[], object] = lambda: None
) -> Trainee:
    """The untrained network of the run's seed, on the device, and all that it is trained with.

    `extracting` is called whenever features have to be computed.
    """
    spec, conditions = job.spec, job.spec.conditions
    workload = workload_of(find(spec.architecture)[0], len(spec.data.class_names), conditions, spec.seed)
    pixels = job.dataset.pixels()
    pins = device_of(device).pins_memory
    stream = TrainingStream(job.dataset.train, pixels, conditions, spec.seed, pin_memory=pins)
    model, heads = build_network(workload, job)
    model = model.to(device).to(memory_format=MEMORY_FORMATS[conditions.memory_format])
    backbone = Backbone.of(model, heads, conditions.recipe, stream.steps_per_epoch)
    evaluator = Evaluator(model, pixels, conditions, device, spec.normalization, spec.execution.workers)
    evaluator.require_logits(job.dataset.train, len(spec.data.class_names))
    bank = _bank(job, environment, evaluator, backbone, extracting)
    batches = FeatureStream(stream, bank, backbone) if bank and stream.num_views else stream
    if bank and backbone.always_frozen:
        evaluator = replace(evaluator, head=bank)
    return Trainee(workload, stream, batches, evaluator, backbone)


def workload_of(architecture: Architecture, num_classes: int, conditions: Conditions, seed: int) -> Workload:
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
        seed=stream_seed(seed, "init"),
    )


def build_network(workload: Workload, job: Job) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """The network with the weights of the seed's `init` stream, built on the CPU so that all devices start alike.

    Weights from a file replace them afterwards, so that what is new starts as it would without. Returns the names of
    its heads too, where the recipe tells them from the rest.
    """
    seed_generators(workload.seed)
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
    except Exception:  # noqa: BLE001 - code of others, which may train all the same
        return None


def flops_of_run(trainee: Trainee, of_step: float | None, num_steps: int) -> float | None:
    """FLOPs of an image in the mean step of a run, of which some may have been frozen.

    `of_step` is that of a step as the workload says. `None` where features were trained on: such a step costs next to
    nothing, and what it cost to compute them is not of steps.
    """
    frozen_share = trainee.backbone.frozen_share(num_steps)
    if trainee.batches is not trainee.stream:
        return None
    if of_step is None or trainee.workload.frozen or not frozen_share:
        return of_step
    frozen = flops_of_step(replace(trainee.workload, frozen=True))
    return None if frozen is None else frozen_share * frozen + (1 - frozen_share) * of_step


def _bank(
    job: Job, environment: Environment, evaluator: Evaluator, backbone: Backbone, extracting: Callable[[], object]
) -> FeatureBank | None:
    """Features, where the backbone is ever frozen and the network lets them be taken.

    Training is on them where views come again; evaluation, where the backbone never trains.
    """
    if job.spec.conditions.recipe.freeze_backbone == "never":
        return None
    store = FeatureStore(Path(job.dataset.cache).parents[1] / "features" if job.dataset.cache else None)
    return feature_bank(evaluator, backbone, store, _identity(job.spec, environment), extracting)


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
