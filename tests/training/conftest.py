"""A tiny network, and a function that trains it on a few images."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.fields import CheckpointTime
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset, prepare
from intelbench.data.features import FeatureStore
from intelbench.data.stream import TrainingStream
from intelbench.profiling.steps import LapClock
from intelbench.profiling.workload import Workload
from intelbench.records.profiles import FeatureExtraction
from intelbench.records.workspace import Checkpoint, Workspace
from intelbench.training.backbone import Backbone
from intelbench.training.budget import TrainingBudget
from intelbench.training.checkpoint import Checkpoints
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import FeatureStream, feature_bank
from intelbench.training.loop import Step, Trained, train
from intelbench.training.setup import TrainingSetup
from tests.synthetic import Study, synthetic_run

CONDITIONS = Conditions(
    image_size=16,
    validation_fraction=0.2,
    evaluation_points=2,
    budget=Budget(steps=6),
    recipe=Recipe(batch_size=8, learning_rate=0.01),
)


def tiny_network(request: ModelRequest) -> nn.Module:
    """Return a network with convolution, batch norm and dropout, which differ between training and evaluation."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(8, request.num_classes),
    )  # fmt: skip


TINY = Architecture(name="tiny", build=tiny_network, minimum_size=16)
REQUEST = ModelRequest(num_classes=2, image_size=16)


class Run(NamedTuple):
    """The result of training, the network, and its steps."""

    trained: Trained
    model: nn.Module
    steps: list[Step]
    features: FeatureExtraction | None = None


Train = Callable[..., Run]
Make = Callable[..., Checkpoints]

RECORD, _ = synthetic_run("resnet101", 0, Study())
ABOUT = Checkpoint(step=0, done=0.0, spec=RECORD.spec, environment=RECORD.environment)


@pytest.fixture(scope="session")
def loaded(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a data set with 38 training images and 10 validation images."""
    return prepare(str(small_folder), CONDITIONS, tmp_path_factory.mktemp("training-cache"))


@pytest.fixture
def make_evaluator(loaded: Dataset) -> Callable[..., Evaluator]:
    """Return a function that makes the evaluator of a network under changed conditions."""

    def make(model: nn.Module, device: str = "cpu", workers: int = 0, **changes: object) -> Evaluator:
        conditions = msgspec.structs.replace(CONDITIONS, **changes)
        return Evaluator(model, loaded.pixels(), conditions, torch.device(device), workers=workers)

    return make


@pytest.fixture
def run_training(loaded: Dataset, make_evaluator: Callable[..., Evaluator]) -> Train:
    """Return a function that trains the tiny network, or another one, under changed conditions."""

    def run(
        architecture: Architecture = TINY,
        seed: int = 0,
        workers: int = 0,
        device: str = "cpu",
        every_part: bool = False,
        evaluated: bool = True,
        frozen_steps: float = 0,
        frozen_fraction: float = 0.0,
        heads: tuple[str, ...] = (),
        store: FeatureStore | None = None,
        class_weights: tuple[float, ...] | None = None,
        checkpoints: Checkpoints | None = None,
        on_step: Callable[[int], None] = lambda _: None,
        **changes: object,
    ) -> Run:
        torch.manual_seed(seed)
        model = architecture.build(REQUEST).to(device)
        evaluator = make_evaluator(model, device, workers, **changes)
        conditions = evaluator.conditions
        stream = TrainingStream(loaded.train, evaluator.pixels, conditions, seed)
        progress = TrainingBudget.of(
            conditions.budget,
            batch_size=conditions.recipe.batch_size,
            steps_per_epoch=stream.steps_per_epoch,
            flops_per_image=1e6,
        )
        steps: list[Step] = []
        backbone = Backbone(model, heads, frozen_steps, frozen_fraction)
        features: FeatureStream | None = None
        if store:
            bank = feature_bank(evaluator, backbone, store, "tiny")
            assert bank is not None
            features = FeatureStream(stream, bank, backbone)
            evaluator = dataclasses.replace(evaluator, head=bank if backbone.always_frozen else None)

        def observe(step: Step) -> None:
            steps.append(step)
            on_step(step.number)

        setup = TrainingSetup(
            workload=Workload(architecture=architecture, request=REQUEST),
            evaluator=evaluator,
            backbone=backbone,
            stream=stream,
            features=features,
            validation=loaded.validation if evaluated else None,
            class_weights=class_weights,
        )
        trained = train(setup, progress, LapClock(evaluator.device, every_part=every_part), observe, checkpoints)
        return Run(trained, model, steps, features.bank.extraction if features else None)

    return run


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that advances the clock of steps by some seconds without waiting."""
    passed, perf_counter = 0.0, time.perf_counter

    def pass_time(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: perf_counter() + passed)
    return pass_time


class PowerCutError(Exception):
    """Simulates that the process is killed."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return the folder of an unfinished run."""
    workspace = Workspace(tmp_path, "a")
    workspace.folder.mkdir()
    return workspace


@pytest.fixture
def make(workspace: Workspace) -> Make:
    """Return a function that makes the checkpoints of one process of the run."""

    def make(when: CheckpointTime | None = 0.0) -> Checkpoints:
        return Checkpoints(workspace, ABOUT, when, torch.device("cpu"))

    return make


@pytest.fixture
def interrupted(run_training: Train, make: Make) -> Callable[..., Run]:
    """Return a function that trains with an interruption right after each of the given steps."""

    def run(*cuts: int, when: CheckpointTime = 0.0, **conditions: object) -> Run:
        for cut in cuts:

            def on_step(number: int, cut: int = cut) -> None:
                if number == cut:
                    raise PowerCutError

            with pytest.raises(PowerCutError):
                run_training(checkpoints=make(when), on_step=on_step, **conditions)
            torch.rand(7)  # the next process has drawn other numbers
        return run_training(checkpoints=make(when), **conditions)

    return run


def assert_same(one: Run, other: Run) -> None:
    """Assert that two runs have equal weights and equal observations, except for times."""
    assert one.trained.stream_digests == other.trained.stream_digests
    assert set(one.trained.traces) == set(other.trained.traces)
    for name, array in one.trained.traces.items():
        assert array.dtype == other.trained.traces[name].dtype
        if name.endswith("_seconds"):
            assert array.shape == other.trained.traces[name].shape
        else:
            np.testing.assert_array_equal(array, other.trained.traces[name])
    weights = other.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in one.model.state_dict().items())
