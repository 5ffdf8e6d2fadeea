"""Set up a training run: build its network, its batches and its evaluation."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

from intelbench.architectures.generators import seed_generators
from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.architectures.surgery import find_heads, replace_heads
from intelbench.architectures.weights import load_weights
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset, Split
from intelbench.data.features import FeatureStore
from intelbench.data.seeds import stream_seed
from intelbench.data.stream import BatchSource, TrainingStream
from intelbench.profiling.complexity import training_flops_per_image
from intelbench.profiling.device import device_of
from intelbench.profiling.workload import Workload
from intelbench.records.types import Environment, RunSpec
from intelbench.training.backbone import Backbone
from intelbench.training.criterion import class_weights
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import FeatureStream, feature_bank
from intelbench.training.precision import MEMORY_FORMATS
from intelbench.training.ranks import ALONE, Ranks


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """The network of a run, the batches that it is trained on, and its evaluation."""

    workload: Workload
    evaluator: Evaluator
    """Has the network and its device."""
    backbone: Backbone
    stream: BatchSource
    features: FeatureStream | None = None
    """Batches of features while the backbone is frozen, and of images afterwards; `None` to train on images only."""
    validation: Split | None = None
    """`None` if the network is not evaluated."""
    class_weights: tuple[float, ...] | None = None
    dropout_seed: int = 0
    """Seed of the random numbers that the network draws."""
    ranks: Ranks = ALONE

    @property
    def batches(self) -> BatchSource:
        """Return the batches that the network is trained on."""
        return self.features or self.stream

    @property
    def trains_head_on_features(self) -> bool:
        """Return whether every step trains the head alone, on features."""
        return self.features is not None and self.backbone.always_frozen

    def after_training(self) -> "TrainingSetup":
        """Return the setup for more steps like the last one of the run, without evaluation."""
        features = self.features if self.backbone.always_frozen else None
        return replace(self, features=features, backbone=self.backbone.after_training(), validation=None)

    def flops_per_image(self, flops_of_workload: float | None, frozen_share: float) -> float | None:
        """Return the FLOPs of an image in a step, averaged over the steps with and without a frozen backbone.

        `frozen_share` of the steps had a frozen backbone. Returns `None` if the network was trained on features:
        computing them is not part of a step.
        """
        if self.features:
            return None
        if flops_of_workload is None or self.workload.frozen or not frozen_share:
            return flops_of_workload
        frozen = flops_of_step(replace(self.workload, frozen=True))
        return None if frozen is None else frozen_share * frozen + (1 - frozen_share) * flops_of_workload


class PlannedRun(Protocol):
    """What a run is made from."""

    @property
    def spec(self) -> RunSpec:
        """Return what determines the run."""

    @property
    def dataset(self) -> Dataset:
        """Return its images."""

    @property
    def weights(self) -> str | None:
        """Return the file of `spec.weights`, if there are any."""


def build_training_setup(
    run: PlannedRun,
    environment: Environment,
    device: torch.device,
    *,
    ranks: Ranks = ALONE,
    on_extraction: Callable[[], object] = lambda: None,
) -> TrainingSetup:
    """Build the network of a run with the initial weights of its seed, and everything for training it.

    The environment determines the bits of features; `on_extraction` is called before they are computed.
    """
    spec, dataset = run.spec, run.dataset
    conditions, num_classes = spec.conditions, len(spec.data.class_names)
    workload = workload_of(find(spec.architecture)[0], num_classes, conditions, spec.seed_of("init"))
    pixels = dataset.pixels()
    pins = device_of(device).pins_memory
    order, augment = spec.seed_of("order"), spec.seed_of("augment")
    stream = TrainingStream(dataset.train, pixels, conditions, order, augment_seed=augment, pin_memory=pins)
    stream = stream.only(ranks.own(conditions.recipe.batch_size))
    model, heads = build_network(workload, conditions.recipe, run.weights)
    model = model.to(device).to(memory_format=MEMORY_FORMATS[conditions.memory_format])
    backbone = Backbone.of(model, heads, conditions.recipe, stream.steps_per_epoch)
    evaluator = Evaluator(model, pixels, conditions, device, spec.normalization, spec.execution.workers, ranks=ranks)
    evaluator.require_logits(dataset.train, num_classes)
    features: FeatureStream | None = None
    if conditions.recipe.freezes:
        store = FeatureStore(Path(dataset.cache).parents[1] / "features" if dataset.cache else None)
        bank = feature_bank(evaluator, backbone, store, _identity(spec, environment), on_extraction)
        if bank and stream.num_views and not conditions.recipe.mixes:  # else every epoch has new images
            features = FeatureStream(stream, bank, backbone, ranks)
        if bank and backbone.always_frozen:
            evaluator = replace(evaluator, head=bank)
    return TrainingSetup(
        workload=workload,
        evaluator=evaluator,
        backbone=backbone,
        stream=stream,
        features=features,
        validation=dataset.validation,
        class_weights=class_weights(conditions.recipe, dataset.train.labels),
        dropout_seed=stream_seed(spec.seed_of("dropout"), "dropout"),
        ranks=ranks,
    )


def workload_of(architecture: Architecture, num_classes: int, conditions: Conditions, seed: int) -> Workload:
    """Return the workload of an architecture under these conditions, frozen if the backbone is always frozen."""
    recipe = conditions.recipe
    return Workload(
        architecture=architecture,
        request=ModelRequest(
            num_classes=num_classes,
            image_size=conditions.image_size,
            zero_init_residual=recipe.zero_init_residual,
            init_weights=recipe.init_weights,
        ),
        head=recipe.head,
        frozen=recipe.freeze_backbone == "always",
        seed=stream_seed(seed, "init"),
    )


def build_network(
    workload: Workload, recipe: Recipe, weights: str | None = None
) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """Build the network and initialize it from the seed, on the CPU so that all devices start with equal weights.

    Weights from a file replace the initial ones afterwards, so new layers have the same initial weights with and
    without the file. Also returns the names of the heads if the recipe treats them differently from the backbone.
    """
    seed_generators(workload.seed)
    model = workload.architecture.network(workload.request)
    if not treats_heads_differently(recipe):
        return model, ()
    heads = find_heads(workload.architecture, workload.request, model)
    replace_heads(workload.architecture, model, heads, workload.head)
    if weights:
        load_weights(model, workload.architecture, workload.request, heads, Path(weights))
    return model, heads


def flops_of_step(workload: Workload) -> float | None:
    """Return the FLOPs of an image in a training step; `None` if the network cannot be traced."""
    try:
        return training_flops_per_image(workload)
    except Exception:  # noqa: BLE001 - a plug-in may raise anything when it is traced, and still be trained
        return None


def _identity(spec: RunSpec, environment: Environment) -> tuple[object, ...]:
    """Return what determines the bits of features, apart from the weights of the backbone and the view."""
    conditions = spec.conditions
    return (
        spec.architecture, spec.provider, spec.data.digest, spec.normalization, conditions.image_size,
        conditions.precision, conditions.memory_format, conditions.deterministic, conditions.recipe.batch_size,
        spec.execution.device, spec.execution.threads, environment.fingerprint, *spec.transform_providers,
    )  # fmt: skip


def treats_heads_differently(recipe: Recipe) -> bool:
    """Return whether a recipe trains heads in another way than the backbone, so that they have to be found."""
    default = Recipe()
    names = ("weights", "head", "freeze_backbone", "frozen_fraction", "backbone_learning_rate")
    return any(getattr(recipe, name) != getattr(default, name) for name in names)
