"""Replayed passes give the results of eager ones, or are replaced by eager ones with a reason."""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.data.features import FeatureStore
from intelbench.profiling import device as devices
from intelbench.records.profiles import Preparation
from tests.fake_cuda import FakeCuda, FakeGraph
from tests.training.conftest import Run, Train, assert_same, tiny_network

STEPS = 12


class Wrapped(nn.Module):
    """The tiny network with one more action in each training step."""

    def __init__(self, request: ModelRequest, act: Callable[["Wrapped", Tensor], object]) -> None:
        super().__init__()
        self.inner = tiny_network(request)
        self.register_buffer("seen", torch.zeros(()))
        self.calls = 0
        self.act = act

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        if self.training:
            self.act(self, images)
        return self.inner(images) * (1 + 0.01 * self.seen)


def wrapped(act: Callable[[Wrapped, Tensor], object]) -> Architecture:
    """Return an architecture with one more action in each training step."""
    return Architecture(name="wrapped", build=lambda request: Wrapped(request, act), minimum_size=16)


def read_a_value(network: Wrapped, images: Tensor) -> None:
    """Wait for a value from the device."""
    network.seen.add_(images.mean().item())


def draw(network: Wrapped, images: Tensor) -> None:
    """Draw a random number on the host."""
    network.seen.add_(random.random())


def count(network: Wrapped, images: Tensor) -> None:
    """Count the calls on the host."""
    network.calls += 1
    network.seen.add_(network.calls)


def replace_a_buffer(network: Wrapped, images: Tensor) -> None:
    """Replace a buffer by a new tensor."""
    network.seen = network.seen + images.mean()


def add_in_place(network: Wrapped, images: Tensor) -> None:
    """Change a buffer in place on the device."""
    network.seen.add_(images.mean())


def preparation(run: Run) -> Preparation:
    """Return the preparation of a run."""
    assert run.trained.preparation is not None
    return run.trained.preparation


MOMENTUM = Recipe(optimizer="sgd", optimizer_arguments={"momentum": 0.9}, schedule="cosine", batch_size=8)


MODERN = Recipe(
    optimizer="adamw",
    batch_size=8,
    micro_batches=4,
    clip_grad_norm=0.5,
    label_smoothing=0.1,
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    ema_decay=0.9,
    keep="best",
)


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    """Return a list that gets the graph of each replay."""
    replayed: list[FakeGraph] = []
    replay = FakeGraph.replay
    monkeypatch.setattr(FakeGraph, "replay", lambda graph: (replayed.append(graph), replay(graph)))
    return replayed


@pytest.mark.parametrize(
    ("changes", "num_prepared", "num_eager"),
    [
        ({}, 1, 3),
        ({"precision": "bf16"}, 1, 3),
        ({"precision": "fp16"}, 1, 3),
        ({"memory_format": "contiguous", "fused_optimizer": False}, 1, 3),
        ({"recipe": MOMENTUM}, 1, 3),
        ({"recipe": Recipe(optimizer="adamw", label_smoothing=0.1, batch_size=8)}, 1, 3),
        ({"workers": 2}, 1, 3),
        ({"frozen_steps": math.inf, "heads": ("6",)}, 1, 3),
        ({"frozen_steps": 5, "heads": ("6",)}, 2, 6),
        ({"frozen_steps": 2, "heads": ("6",)}, 1, 5),
        ({"architecture": wrapped(add_in_place)}, 1, 3),
        ({"recipe": MODERN}, 1, 3),
        ({"recipe": MODERN, "precision": "fp16", "frozen_steps": 5, "heads": ("6",)}, 2, 6),
    ],
    ids=[
        "plain", "bf16", "fp16", "contiguous", "sgd", "adamw", "workers", "always-frozen", "unfrozen", "soon-unfrozen",
        "in-place", "modern", "modern-fp16",
    ],
)  # fmt: skip
def test_a_graph_gives_the_bits_of_eager_steps(
    run_training: Train,
    fake_cuda: FakeCuda,
    replays: list[FakeGraph],
    changes: dict[str, Any],
    num_prepared: int,
    num_eager: int,
) -> None:
    """This includes batch norm, dropout and a backbone that is unfrozen; no graph is left after training."""
    changes = {"budget": Budget(steps=STEPS), **changes}
    eager, graph = run_training(**changes), run_training(step="graph", **changes)
    assert_same(eager, graph)
    assert eager.trained.preparation is None
    assert (num_prepared, None) == (preparation(graph).num_prepared, preparation(graph).fallback)
    assert STEPS - num_eager == len(replays)
    replays.clear()
    assert [None] * num_prepared == [each() for each in fake_cuda.graphs]
    assert fake_cuda.stream_in_use is fake_cuda.default_stream


@pytest.mark.parametrize(("frozen_steps", "num_prepared"), [(5, 2), (math.inf, 1)])
def test_a_graph_is_captured_again_where_images_take_the_place_of_features(
    run_training: Train, fake_cuda: FakeCuda, tmp_path: Path, frozen_steps: float, num_prepared: int
) -> None:
    """Steps with a frozen backbone train the head on features, later steps use images."""
    changes = {
        "budget": Budget(steps=STEPS), "frozen_steps": frozen_steps, "heads": ("6",),
        "store": FeatureStore(tmp_path / "features"), "recipe": Recipe(batch_size=8, augmentation="none"),
    }  # fmt: skip
    graph = run_training(step="graph", **changes)
    assert_same(run_training(**changes), graph)
    assert num_prepared == preparation(graph).num_prepared == fake_cuda.calls["capture"]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (read_a_value, "RuntimeError: CUDA error: operation not permitted when stream is capturing"),
        (draw, "the forward pass draws random numbers on the host, which a graph would draw once"),
        (count, "the forward pass sets calls of the network, which a graph would set once"),
        (replace_a_buffer, "the forward pass sets seen of the network, which a graph would set once"),
    ],
)
def test_a_network_that_cannot_be_captured_is_trained_as_if_that_had_not_been_tried(
    run_training: Train, fake_cuda: FakeCuda, act: Callable[[Wrapped, Tensor], object], reason: str
) -> None:
    """The run has the bits of eager steps, including buffers, attributes and generators."""

    def train(**changes: object) -> Run:
        random.seed(1)
        return run_training(wrapped(act), budget=Budget(steps=STEPS), **changes)

    eager, graph = train(), train(step="graph")
    assert_same(eager, graph)
    assert (0, reason) == (preparation(graph).num_prepared, preparation(graph).fallback)
    assert 1 == fake_cuda.calls["capture"]
    assert fake_cuda.stream_in_use is fake_cuda.default_stream
    assert eager.model.calls == graph.model.calls


def test_a_device_without_graphs_takes_eager_steps(run_training: Train) -> None:
    """The record has the reason."""
    graph = run_training(step="graph")
    assert_same(run_training(), graph)
    reason = "a CUDA graph needs a CUDA device, and this one is cpu"
    assert Preparation(num_prepared=0, seconds=0.0, fallback=reason) == graph.trained.preparation


def test_an_interrupted_run_with_a_graph_gives_the_same_bits(
    run_training: Train, interrupted: Callable[..., Run], fake_cuda: FakeCuda
) -> None:
    """Each process captures its own graph, and the preparations of all processes are added."""
    changes = {"budget": Budget(steps=STEPS), "step": "graph"}
    whole, again = run_training(**changes), interrupted(6, 7, **changes)
    assert_same(whole, again)
    assert (5, 6) == again.trained.resumed_after
    assert 1 == preparation(whole).num_prepared
    assert 2 == preparation(again).num_prepared  # the second process made one step, an eager one
    assert 3 == fake_cuda.calls["capture"]


def test_a_resumed_run_stays_eager_where_it_was(
    interrupted: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps of a run are eager if the first process could not prepare its passes; no other process tries."""
    tried = []

    def fail(*_: object, **__: object) -> None:
        tried.append(True)
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", fail)
    resumed = preparation(interrupted(2, 4, step="compile"))
    assert (0, "RuntimeError: no compiler") == (resumed.num_prepared, resumed.fallback)
    assert [True] == tried


@pytest.mark.parametrize("step", ["graph", "compile"])
@pytest.mark.usefixtures("fake_cuda")
def test_memory_that_is_full_in_a_preparation_ends_the_run(
    run_training: Train, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Out of memory is a failure of the run, not a reason for eager steps."""

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(devices.Device, "capture", fail)
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: fail)
    with pytest.raises(torch.OutOfMemoryError):
        run_training(step=step)


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("every_part", [True, False])
def test_a_capture_takes_no_time_of_a_step(
    run_training: Train, monkeypatch: pytest.MonkeyPatch, pass_time: Callable[[float], None], every_part: bool
) -> None:
    """The time is recorded separately, whether or not the clock measures the parts of a step."""
    capture = devices.Device.capture

    def slowly(*given: Any) -> Any:
        pass_time(1000)
        return capture(*given)

    monkeypatch.setattr(devices.Device, "capture", slowly)
    run = run_training(step="graph", budget=Budget(steps=STEPS), every_part=every_part)
    assert preparation(run).seconds > 1000
    assert STEPS == len(run.trained.traces["step_seconds"])
    for name in ("step_seconds", "data_wait_seconds", "evaluation_seconds", *["step_breakdown_seconds"] * every_part):
        assert run.trained.traces[name].max() < 1000


@pytest.mark.parametrize("class_weights", [None, (0.5, 1.5)])
def test_micro_batches_have_the_gradients_of_the_batch(
    run_training: Train, class_weights: tuple[float, float] | None
) -> None:
    """Losses, gradient norms and weights are equal up to rounding, for a network without batch norm."""
    plain = Architecture(name="plain", build=lambda request: nn.Sequential(nn.Flatten(), nn.Linear(768, 2)))
    recipes = [Recipe(batch_size=8, micro_batches=parts, mixup_alpha=0.4, label_smoothing=0.1) for parts in (1, 4)]
    changes = {"class_weights": class_weights, "budget": Budget(steps=STEPS)}
    whole, split = (run_training(plain, recipe=recipe, **changes) for recipe in recipes)
    assert whole.trained.stream_digests == split.trained.stream_digests
    for name in ("step_loss", "gradient_norm"):
        np.testing.assert_allclose(split.trained.traces[name], whole.trained.traces[name], rtol=1e-4)


def test_class_weights_change_the_loss(run_training: Train) -> None:
    """The first loss is that of equal weights with each image weighted."""
    changes = {"recipe": Recipe(batch_size=8), "budget": Budget(steps=1)}
    equal, double = (run_training(class_weights=weights, **changes) for weights in ((1.0, 1.0), (2.0, 2.0)))
    loss = run_training(**changes).trained.traces["step_loss"]
    np.testing.assert_allclose(equal.trained.traces["step_loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(double.trained.traces["step_loss"], 2 * loss, rtol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("changes", [{}, {"frozen_steps": 5, "heads": ("6",)}], ids=str)
def test_a_graph_on_a_gpu_gives_the_bits_of_eager_steps(
    run_training: Train, precision: str, changes: dict[str, Any]
) -> None:
    """This includes batch norm and dropout."""
    changes = {"device": "cuda", "precision": precision, "budget": Budget(steps=20), "workers": 2, **changes}
    eager, graph = run_training(**changes), run_training(step="graph", **changes)
    assert (2 if "heads" in changes else 1, None) == (preparation(graph).num_prepared, preparation(graph).fallback)
    assert_same(eager, graph)


@pytest.mark.gpu
@pytest.mark.parametrize("act", [read_a_value, draw, count, replace_a_buffer])
def test_a_failed_capture_on_a_gpu_leaves_no_trace(
    run_training: Train, act: Callable[[Wrapped, Tensor], object]
) -> None:
    """Training continues with the bits of eager steps, including dropout."""

    def train(step: str) -> Run:
        random.seed(1)
        return run_training(wrapped(act), device="cuda", budget=Budget(steps=STEPS), step=step)

    eager, graph = train("eager"), train("graph")
    assert preparation(graph).fallback is not None
    assert_same(eager, graph)


@pytest.mark.gpu
def test_an_interrupted_run_with_a_graph_on_a_gpu_gives_the_same_bits(
    run_training: Train, interrupted: Callable[..., Run]
) -> None:
    """Each process captures its own graph."""
    changes = {"device": "cuda", "budget": Budget(steps=STEPS), "step": "graph"}
    assert_same(run_training(**changes), interrupted(6, 7, **changes))
