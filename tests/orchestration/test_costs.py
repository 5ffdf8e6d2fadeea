"""Estimates are made of measured times and of known sizes."""

from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import nn
from torch.optim.swa_utils import update_bn

from intelbench.config.budget import Budget
from intelbench.config.conditions import Suite
from intelbench.config.fields import MemoryFormat
from intelbench.config.suites import load_suite, override
from intelbench.data.survey import Survey, survey
from intelbench.data.transforms import normalize
from intelbench.orchestration import costs
from intelbench.orchestration.costs import Pace, estimate
from intelbench.profiling.device import find_device
from tests.fake_cuda import FakeCuda

NAMES = ("squeezenet1_1", "resnet18")


@pytest.fixture
def data(small_folder: Path, tmp_path: Path) -> Survey:
    """Two classes with 24 images of 40 x 32 px each in train and in test."""
    return survey(str(small_folder), suite("transfer").conditions, tmp_path)


def suite(name: str) -> Suite:
    """A built-in suite on two networks, at 32 px."""
    base = load_suite(name)
    return override(
        base, architectures=NAMES, image_size=64, precision="fp32", recipe=replace(base.recipe, batch_size=8)
    )


def ignore(_: str) -> None:
    """Watch nothing."""


def test_all_networks_are_timed(data: Survey) -> None:
    """In the order of the suite; bytes are those of what is stored."""
    timed: list[str] = []
    found = estimate(suite("transfer"), data, find_device("cpu"), timed.append)
    assert list(NAMES) == timed == list(found.paces)
    assert all(pace.forward_seconds > 0 for pace in found.paces.values())
    assert (512 + 512) * data.num_images * 4 == found.feature_bytes
    assert 4 * sum(pace.num_parameters for pace in found.paces.values()) == found.network_bytes
    assert 11_177_538 == found.paces["resnet18"].num_parameters
    assert data.cache_bytes(64) == found.cache_bytes
    assert found.total_seconds == pytest.approx(found.shared_seconds + sum(found.seconds.values()))


@pytest.mark.parametrize(("seconds", "num_images"), [(1000.0, 8), (0.0, 2)])
def test_a_slow_network_is_timed_with_fewer_images(
    data: Survey, monkeypatch: pytest.MonkeyPatch, seconds: float, num_images: int
) -> None:
    """But every network is timed, with the batch of the recipe if time allows."""
    sizes: list[int] = []

    def seen(images: torch.Tensor, memory_format: MemoryFormat) -> torch.Tensor:
        sizes.append(len(images))
        return normalize(images, memory_format)

    monkeypatch.setattr(costs, "_MEASURING_SECONDS", seconds)
    monkeypatch.setattr(costs, "normalize", seen)
    estimate(suite("transfer"), data, find_device("cpu"), ignore)
    assert [2, num_images] * len(NAMES) == sizes


def test_an_untrained_network_is_timed_with_activations_of_a_trained_one() -> None:
    """Batch norm normalises by the batch, so that nothing vanishes; its momentum is kept."""
    layers = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(60)]
    model = nn.Sequential(*layers).eval()
    for layer in layers:
        layer[0].weight.data *= 0.1
        nn.init.zeros_(layer[0].bias)
    images = torch.randn(4, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert model(images).std() < torch.finfo(torch.float32).tiny
        update_bn([images], model)
        assert model.eval()(images).std() > 0.1
    assert {0.1} == {layer[1].momentum for layer in layers}


def test_features_are_computed_once_for_all_seeds(data: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further seed costs the steps of the head and the rest of a run; without stored features it costs everything."""
    pace = Pace(macs=1e9, forward_seconds=1.0, step_seconds=3.0, num_features=10, num_parameters=100)
    monkeypatch.setattr(costs, "_paces", lambda *_: dict.fromkeys(NAMES, pace))
    monkeypatch.setattr(costs, "_head_step_seconds", lambda *_: 0.1)
    monkeypatch.setattr(costs, "_views", lambda *_: (0.0, torch.empty(0)))
    monkeypatch.setattr(costs, "_RUN_SECONDS", 5.0)
    monkeypatch.setattr(costs, "_SECONDS_OF_PARAMETER", 0.02)  # 2 seconds in all
    monkeypatch.setattr(costs, "_NETWORK_SECONDS", 100.0)
    monkeypatch.setattr(costs, "_STARTUP_SECONDS", 1000.0)  # not of a network

    def seconds(name: str, num_seeds: int) -> float:
        changed = override(suite(name), seeds=tuple(range(num_seeds)), budget=Budget(epochs=10))
        return estimate(changed, data, find_device("cpu"), ignore).seconds["resnet18"]

    batches = data.num_train // 8
    assert seconds("transfer", 1) == pytest.approx(data.num_images + 10 * batches * 0.1 + 7 + 100)
    assert seconds("transfer", 3) - seconds("transfer", 2) == pytest.approx(10 * batches * 0.1 + 7)
    trained = 10 * data.num_train * (0.1 * 1 + 0.9 * 3)
    evaluated = 10 * data.num_validation + data.num_train + data.num_test
    assert seconds("finetune", 1) == pytest.approx(trained + evaluated + 7 + 100)
    assert seconds("finetune", 3) == pytest.approx(3 * (trained + evaluated + 7) + 100)


def test_a_gpu_is_timed_with_training_steps(data: Survey, fake_cuda: FakeCuda) -> None:
    """In the batch of the recipe, after all its work is done; a step takes longer than a forward pass."""
    found = estimate(override(suite("finetune"), architectures=("resnet18",)), data, find_device("auto"), ignore)
    pace = found.paces["resnet18"]
    assert pace.step_seconds > pace.forward_seconds > 0
    assert 0 == found.feature_bytes
