"""Training on features equals training on images up to rounding, and runs the backbone once for each view."""

import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset
from intelbench.data.features import FeatureStore
from intelbench.training.backbone import Backbone
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import feature_bank
from tests.training.conftest import Run, Train, tiny_network

HEADS = ("6",)
TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2}
"""Of losses and logits against those of images: a backbone rounds otherwise in another batch. Stated in the docs."""


class Counting(nn.Sequential):
    """The tiny network, which counts the images of its complete forward passes."""

    num_images = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        type(self).num_images += len(images)
        return super().forward(images)


def counting(request: ModelRequest) -> nn.Module:
    """Return a network with a count of 0."""
    Counting.num_images = 0
    return Counting(*tiny_network(request))


COUNTING = Architecture(name="tiny", build=counting)


def recipe(augmentation: str | int) -> Recipe:
    """Return a recipe with this augmentation."""
    return Recipe(batch_size=8, learning_rate=0.05, augmentation=augmentation)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("augmentation", ["none", 2])
@pytest.mark.parametrize("frozen_steps", [math.inf, 8])
def test_features_give_what_images_give(
    run_training: Train, tmp_path: Path, precision: str, augmentation: str | int, frozen_steps: float
) -> None:
    """Losses, validation logits and the trained head are equal within a tolerance, and batches are identical.

    The runs have three epochs of four steps, with a backbone that is frozen in all steps or in eight.
    """
    with_images, with_features = (
        run_training(
            COUNTING, frozen_steps=frozen_steps, heads=HEADS, budget=Budget(steps=12), store=store,
            precision=precision, recipe=recipe(augmentation),
        )
        for store in (None, FeatureStore(tmp_path))
    )  # fmt: skip
    assert with_images.trained.stream_digests == with_features.trained.stream_digests
    tolerance = TOLERANCE[precision]
    for name in ("step_loss", "validation_logits"):
        one, other = with_images.trained.traces[name], with_features.trained.traces[name]
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(
        with_images.model.state_dict()["6.weight"], with_features.model.state_dict()["6.weight"],
        atol=tolerance, rtol=tolerance,
    )  # fmt: skip


@pytest.mark.usefixtures("fake_cuda")
def test_features_go_to_a_gpu_from_page_locked_memory(run_training: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are copied as images are, so that the host does not wait for the copy."""
    pinned: list[bool] = []
    inputs = Evaluator.inputs

    def seen(evaluator: Evaluator, batch: torch.Tensor, *kind: str) -> torch.Tensor:
        pinned.append(batch.is_pinned())
        return inputs(evaluator, batch, *kind)

    monkeypatch.setattr(Evaluator, "inputs", seen)
    run_training(
        COUNTING, frozen_steps=math.inf, heads=HEADS, budget=Budget(steps=4), store=FeatureStore(None),
        recipe=recipe("none"), evaluated=False,
    )  # fmt: skip
    assert [True] * 4 == pinned[-4:]


@pytest.mark.parametrize(("augmentation", "num_views"), [("none", 1), (3, 3)])
def test_an_image_passes_the_backbone_once_a_view(
    run_training: Train, loaded: Dataset, tmp_path: Path, augmentation: str | int, num_views: int
) -> None:
    """This includes images that are evaluated several times; a second run passes none, and has the same bits."""

    def run() -> tuple[Run, int]:
        done = run_training(
            COUNTING, frozen_steps=math.inf, heads=HEADS, budget=Budget(steps=16), evaluation_points=4,
            store=FeatureStore(tmp_path), recipe=recipe(augmentation),
        )  # fmt: skip
        return done, Counting.num_images

    looked_at = 2  # to see whether features may be taken
    first, num_first = run()
    second, num_second = run()
    assert num_views * len(loaded.train) + len(loaded.validation) + looked_at == num_first
    assert looked_at == num_second
    used = num_first - looked_at
    assert [(used, 0), (used, used)] == [(e.num_images, e.num_stored_images) for e in (first.features, second.features)]
    assert first.features.seconds == second.features.seconds > 0
    assert first.trained.traces["step_loss"].tobytes() == second.trained.traces["step_loss"].tobytes()


def test_the_clock_counts_the_extraction_whenever_it_was(
    run_training: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that reads features is charged the time that computing them took, in the data wait of its first step."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.5)
    waits = []
    for _ in range(2):
        run = run_training(
            frozen_steps=math.inf, heads=HEADS, budget=Budget(seconds=20), store=FeatureStore(tmp_path),
            recipe=recipe("none"),
        )  # fmt: skip
        waits.append(run.trained.traces["data_wait_seconds"])
        assert run.trained.seconds == pytest.approx(run.trained.traces["step_seconds"].sum() + waits[-1].sum())
        assert run.trained.seconds >= 20
    computed, read = (wait[0] - wait[1] for wait in waits)
    assert 0 < read <= computed


def test_another_backbone_or_view_has_other_features(run_training: Train, tmp_path: Path) -> None:
    """Each backbone and each view has its own files; two views are the first two of three views."""

    def files(**changes: object) -> int:
        before = len(list(tmp_path.iterdir()))
        run_training(frozen_steps=math.inf, heads=HEADS, store=FeatureStore(tmp_path), **changes)
        return len(list(tmp_path.iterdir())) - before

    assert 2 == files(recipe=recipe("none"))
    assert 0 == files(recipe=recipe("none"))
    assert 2 == files(recipe=recipe("none"), seed=1)
    assert 2 == files(recipe=recipe(2))
    assert 1 == files(recipe=recipe(3))


def headed(build: Callable[[], nn.Module], heads: tuple[str, ...]) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a network and its heads."""
    return build(), heads


class Scaled(nn.Sequential):
    """A network that changes the output of its head."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Twice the head's output."""
        return 2 * super().forward(images)


@pytest.mark.parametrize(
    ("network", "heads", "usable"),
    [
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), ("2",), True),
        (Scaled(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), ("2",), False),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), ("0",), False),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3), nn.Linear(3, 2)), ("2", "3"), False),
    ],
)
def test_features_are_taken_where_the_head_is_the_end(
    make_evaluator: Callable[..., Evaluator], network: nn.Module, heads: tuple[str, ...], usable: bool
) -> None:
    """A network with layers after its head, with a convolution as head, or with two heads has no features."""
    bank = feature_bank(make_evaluator(network), Backbone(network, heads, math.inf), FeatureStore(None), "x")
    assert usable == (bank is not None)
