"""Time epochs with a frozen backbone: the harness, with and without features, against a plain float32 loop."""

import dataclasses
import math
from collections.abc import Callable

import msgspec
import pytest
import torch

from bench.comparison import Comparison, timed
from bench.steps import CONDITIONS, REQUEST, RandomPixels, plain_step, random_batch, split_of
from intelbench.architectures.registry import find
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


def harness(workload: Workload, augmentation: str | int, num_batches: int, num_epochs: int) -> Callable[[], object]:
    """Return a function that trains as the process of a run does, without features of an earlier call."""
    architecture = workload.architecture
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
            workload=workload,
            evaluator=evaluator,
            backbone=backbone,
            stream=stream,
            features=features,
        )
        return train(setup, budget, LapClock(torch.device("cpu")), on_step=lambda _: None)

    return epochs


def tutorial(workload: Workload) -> Callable[[], object]:
    """Return a step that trains the head in float32 and NCHW on a batch in memory, with a pass through the backbone."""
    model = workload.architecture.build(REQUEST)
    freeze_backbone(model, find_heads(workload.architecture, REQUEST, model))
    return plain_step(workload, model, *random_batch())


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
    """The harness is 15 times as fast with features of one view, 8 times with two views, and twice without features.

    With features there are ten epochs of three batches; without them one epoch, because all epochs are alike. The steps
    of the reference are alike too, so one step stands for all of them.
    """
    workload, num_batches = Workload(architecture=find(ARCHITECTURE)[0], request=REQUEST), comparison.size(3)
    epochs = harness(workload, augmentation, num_batches, num_epochs)
    step = timed(tutorial(workload), times=num_epochs * num_batches)
    comparison.speedup(timed(epochs), step, at_least=at_least)
