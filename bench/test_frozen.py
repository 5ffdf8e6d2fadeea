"""Epochs with a frozen backbone: the harness, with and without features, against a plain float32 loop."""

import dataclasses
import math
from collections.abc import Callable

import msgspec
import pytest
import torch
from torch import nn

from bench.comparison import Comparison, timed
from bench.steps import CONDITIONS, NUM_CLASSES, REQUEST, RandomPixels, split_of
from intelbench.architectures.registry import Architecture, find
from intelbench.architectures.surgery import find_heads, freeze_backbone
from intelbench.data.features import FeatureStore
from intelbench.data.stream import TrainingStream
from intelbench.profiling.steps import LapClock
from intelbench.profiling.workload import Workload
from intelbench.training.backbone import Backbone
from intelbench.training.budget import TrainingBudget
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import FeatureStream, feature_bank
from intelbench.training.loop import train
from intelbench.training.setup import TrainingSetup

ARCHITECTURE = "resnet101"


def harness(
    architecture: Architecture, augmentation: str | int, num_batches: int, num_epochs: int
) -> Callable[[], object]:
    """Train as a run's process does, from the first image to the last step; nothing is left from an earlier time."""
    recipe = msgspec.structs.replace(CONDITIONS.recipe, augmentation=augmentation, freeze_backbone="always")
    conditions = msgspec.structs.replace(CONDITIONS, recipe=recipe)
    model = architecture.build(REQUEST).to(memory_format=torch.channels_last)
    heads = find_heads(architecture, REQUEST, model)
    num_images = num_batches * recipe.batch_size
    pixels, split = RandomPixels(num_images), split_of(num_images)
    budget = TrainingBudget(total_steps=num_epochs * num_batches, total_seconds=None)

    def epochs() -> object:
        backbone = Backbone(model, heads, math.inf)
        stream = TrainingStream(split, pixels, conditions, seed=0)
        evaluator = Evaluator(model, pixels, conditions, torch.device("cpu"))
        features: FeatureStream | None = None
        if stream.num_views:
            bank = feature_bank(evaluator, backbone, FeatureStore(None), "bench")
            assert bank is not None
            features = FeatureStream(stream, bank, backbone)
            evaluator = dataclasses.replace(evaluator, head=bank)
        setup = TrainingSetup(
            workload=Workload(architecture=architecture, request=REQUEST),
            evaluator=evaluator,
            backbone=backbone,
            stream=stream,
            features=features,
        )
        return train(setup, budget, LapClock(torch.device("cpu")), on_step=lambda _: None)

    return epochs


def tutorial(architecture: Architecture) -> Callable[[], object]:
    """Train the head for a step in float32, NCHW, on a batch that is already there, through the backbone too."""
    model = architecture.build(REQUEST)
    heads = find_heads(architecture, REQUEST, model)
    freeze_backbone(model, heads)
    optimizer = torch.optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad])
    size, pixels = CONDITIONS.recipe.batch_size, CONDITIONS.image_size
    images, labels = torch.randn(size, 3, pixels, pixels), torch.randint(NUM_CLASSES, (size,))

    def step() -> None:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


@pytest.mark.bf16
@pytest.mark.parametrize(
    ("augmentation", "at_least", "num_epochs"),
    [
        pytest.param("none", 15, 10, id="none-15", marks=pytest.mark.allowance(seconds=35)),
        pytest.param(2, 8, 10, id="2-8", marks=pytest.mark.allowance(seconds=35)),
        pytest.param("fresh", 2, 1, id="fresh-2", marks=pytest.mark.allowance(seconds=20)),
    ],
)
def test_frozen_epochs(comparison: Comparison, augmentation: str | int, at_least: float, num_epochs: int) -> None:
    """With features computed once 15 times as fast, with two stored views 8 times, without any twice.

    Ten epochs of three batches, and one without features, whose epochs are all alike. The reference does the same work
    at every step: one in a pair counts as all of them.
    """
    architecture, num_batches = find(ARCHITECTURE)[0], comparison.size(3)
    epochs = harness(architecture, augmentation, num_batches, num_epochs)
    step = timed(tutorial(architecture), times=num_epochs * num_batches)
    comparison.speedup(timed(epochs), step, at_least=at_least)
