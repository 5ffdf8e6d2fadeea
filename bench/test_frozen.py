"""Ten epochs with a frozen backbone: the harness, with and without features, against a plain float32 loop."""

import dataclasses
import math
from collections.abc import Callable

import msgspec
import pytest
import torch
from torch import nn

from bench.conftest import Comparison
from bench.steps import CONDITIONS, NUM_CLASSES, REQUEST, RandomPixels, split_of
from intelbench.architectures.registry import Architecture, find
from intelbench.architectures.surgery import find_heads, freeze_backbone
from intelbench.data.dataset import Split
from intelbench.data.features import FeatureStore
from intelbench.data.stream import BatchSource, TrainingStream
from intelbench.profiling.steps import LapClock
from intelbench.training.backbone import Backbone
from intelbench.training.budget import Progress
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import FeatureStream, feature_bank
from intelbench.training.loop import train

EPOCHS = 10
ARCHITECTURE = "resnet101"


def harness(architecture: Architecture, augmentation: str | int, num_batches: int) -> Callable[[], object]:
    """Train as a run's process does, from the first image to the last step; nothing is left from an earlier time."""
    recipe = msgspec.structs.replace(CONDITIONS.recipe, augmentation=augmentation, freeze_backbone="always")
    conditions = msgspec.structs.replace(CONDITIONS, recipe=recipe)
    model = architecture.build(REQUEST).to(memory_format=torch.channels_last)
    heads = find_heads(architecture, REQUEST, model)
    num_images = num_batches * recipe.batch_size
    pixels, split = RandomPixels(num_images), split_of(num_images)
    progress = Progress(total_steps=EPOCHS * num_batches, total_seconds=None)

    def epochs() -> object:
        backbone = Backbone(model, heads, math.inf)
        stream = TrainingStream(split, pixels, conditions, seed=0)
        evaluator = Evaluator(model, pixels, conditions, torch.device("cpu"))
        batches: BatchSource = stream
        if stream.num_views:
            bank = feature_bank(evaluator, backbone, FeatureStore(None), "bench")
            assert bank is not None
            batches = FeatureStream(stream, bank, backbone)
            evaluator = dataclasses.replace(evaluator, head=bank)
        clock = LapClock(torch.device("cpu"))
        nothing = Split((), (), ())
        return train(
            model, architecture, batches, nothing, evaluator, progress,
            clock=clock, workers=0, watch=lambda _: None, backbone=backbone,
        )  # fmt: skip

    return epochs


def tutorial(architecture: Architecture, num_batches: int) -> Callable[[], object]:
    """Train the head in float32, NCHW, on batches that are already there, through the whole network at every step."""
    model = architecture.build(REQUEST)
    heads = find_heads(architecture, REQUEST, model)
    freeze_backbone(model, heads)
    optimizer = torch.optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad])
    size, pixels = CONDITIONS.recipe.batch_size, CONDITIONS.image_size
    batches = [(torch.randn(size, 3, pixels, pixels), torch.randint(NUM_CLASSES, (size,))) for _ in range(num_batches)]

    def epochs() -> None:
        for images, labels in batches * EPOCHS:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()

    return epochs


@pytest.mark.parametrize(("augmentation", "at_least"), [("none", 15), (2, 8), ("fresh", 2)])
def test_frozen_epochs(comparison: Comparison, augmentation: str | int, at_least: float) -> None:
    """With features computed once 15 times as fast, with two stored views 8 times, without any twice."""
    architecture, num_batches = find(ARCHITECTURE)[0], 3 if comparison.enabled else 1
    times = comparison.in_turn(
        harness(architecture, augmentation, num_batches), tutorial(architecture, num_batches), rounds=3
    )
    comparison.speedup(times, at_least=at_least)
