"""Shards are trained as if each was on a GPU of its own; micro batches follow one another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.training.parts import Parts
from intelbench.training.passes import Eager
from intelbench.training.precision import autocast
from intelbench.training.ranks import ALONE
from tests.training.conftest import CONDITIONS, REQUEST, Run, Train, assert_same, tiny_network

STEPS = 12
SHARDED = Recipe(batch_size=8, shards=2, micro_batches=2, mixup_alpha=0.4, label_smoothing=0.1, learning_rate=0.01)


class Watched(nn.Module):
    """Has a buffer that the forward pass reads and replaces, as spectral norm has, and notes what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sum", torch.zeros(()))
        self.register_buffer("absent", None)
        self.seen: list[tuple[float, float]] = []

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs; note the buffer before the pass and a random number."""
        self.seen.append((float(self.sum), float(torch.rand(()))))
        self.sum = self.sum + inputs.sum()
        return inputs


def passes(parts: Parts, network: Watched, step: int) -> list[tuple[float, float]]:
    """Execute the forward passes of a step on the images 1, 2, 3 ... 8, and return what the network saw."""
    parts.step = step
    for inputs, _ in parts(torch.arange(1.0, 9.0), torch.arange(8)):
        network(inputs)
    seen, network.seen = network.seen, []
    return seen


def test_a_shard_starts_with_the_buffers_that_the_first_one_has_left() -> None:
    """The first shard comes last, and its buffers remain; micro batches see the buffers of the one before."""
    network = Watched()
    parts = Parts(network, SHARDED, seed=0)
    assert 4 == len(parts)
    assert [0, 5 + 6, 0, 1 + 2] == [buffer for buffer, _ in passes(parts, network, 1)]
    assert 1 + 2 + 3 + 4 == network.sum
    assert [10, 10 + 5 + 6, 10, 10 + 1 + 2] == [buffer for buffer, _ in passes(parts, network, 2)]
    assert 20 == network.sum


def test_random_numbers_of_a_shard_depend_on_seed_step_and_shard_only() -> None:
    """So a part of the shards can be computed elsewhere, and a resumed run needs no state of generators."""
    network = Watched()

    def numbers(step: int, seed: int = 0) -> list[float]:
        torch.rand(7)
        return [number for _, number in passes(Parts(network, SHARDED, seed), network, step)]

    assert numbers(1) == numbers(1)
    assert 16 == len({*numbers(1), *numbers(2), *numbers(1, seed=1), *numbers(3)})


def test_an_undivided_batch_draws_the_random_numbers_of_the_run() -> None:
    """Micro batches continue with the generator of the run, as all runs without shards have done."""
    network = Watched()
    torch.manual_seed(3)
    expected = torch.rand(4).tolist()
    torch.manual_seed(3)
    drawn = passes(Parts(network, Recipe(batch_size=8, micro_batches=4), seed=0), network, 1)
    assert expected == [number for _, number in drawn]


class Operations(TorchDispatchMode):
    """Notes the names of PyTorch's operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Execute an operation."""
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_step_without_parts_is_a_plain_step() -> None:
    """The network gets the batch itself, operations are those of a tutorial's step, and nothing is exchanged; so the
    step takes no longer than before there were shards.
    """
    network, inputs, labels = tiny_network(REQUEST), torch.rand(8, 3, 16, 16), torch.arange(8) % 2
    recipe, device = CONDITIONS.recipe, torch.device("cpu")
    assert (1, 1) == (recipe.shards, recipe.micro_batches)
    batches = []

    def loss(*batch: Tensor) -> Tensor:
        batches.append(batch)
        return nn.functional.cross_entropy(network(batch[0]), batch[1])

    laps: list[str] = []
    parts = Parts(network, recipe, seed=0)
    passes = Eager(loss, autocast(CONDITIONS, device), torch.amp.GradScaler("cpu", enabled=False), laps.append, parts)
    with Operations() as ours:
        mean = ALONE.mean(passes(inputs, labels))
        assert 0.5 == ALONE.agree(0.5)
    network.zero_grad()
    with Operations() as plain:
        expected = loss(inputs, labels)
        expected.backward()
        expected.detach()
    assert plain.names == ours.names
    assert ["forward"] == laps
    assert network is parts.network
    assert all(inputs is batch[0] and labels is batch[1] for batch in batches)
    assert mean.shape == expected.shape


def by_hand(images: Tensor, labels: Tensor, num_shards: int) -> tuple[float, nn.Module]:
    """Return the loss of one step of data parallelism, and the network of the first shard, written out."""
    networks = []
    losses = []
    for shard in range(num_shards):
        torch.manual_seed(0)
        network = tiny_network(REQUEST)
        network[5] = nn.Identity()
        part = slice(shard * len(images) // num_shards, (shard + 1) * len(images) // num_shards)
        loss = nn.functional.cross_entropy(network(images[part]), labels[part])
        loss.backward()
        networks.append(network)
        losses.append(loss.item())
    for parameters in zip(*(network.parameters() for network in networks), strict=True):
        parameters[0].grad = torch.stack([p.grad for p in parameters if p.grad is not None]).mean(0)
    torch.optim.SGD(networks[0].parameters(), lr=CONDITIONS.recipe.learning_rate).step()
    return sum(losses) / num_shards, networks[0]


@pytest.mark.parametrize("num_shards", [2, 4])
def test_a_step_is_that_of_as_many_networks_with_equal_weights(
    run_training: Train, monkeypatch: pytest.MonkeyPatch, num_shards: int
) -> None:
    """Loss, weights and running averages of batch norm are those of a step of data parallelism by hand."""
    batches: list[tuple[Tensor, Tensor]] = []
    split = Parts.__call__

    def keep(self: Parts, inputs: Tensor, labels: Tensor) -> object:
        batches.append((inputs, labels))
        return split(self, inputs, labels)

    def build(request: ModelRequest) -> nn.Module:
        network = tiny_network(request)
        network[5] = nn.Identity()  # type: ignore[index] # a Sequential, without its dropout
        return network

    monkeypatch.setattr(Parts, "__call__", keep)
    recipe = Recipe(batch_size=8, shards=num_shards, optimizer="sgd", learning_rate=0.01)
    run = run_training(
        Architecture(name="sure", build=build), recipe=recipe, budget=Budget(steps=1), memory_format="contiguous"
    )
    loss, network = by_hand(*batches[0], num_shards)
    np.testing.assert_allclose(run.trained.traces["step_loss"], [loss], rtol=1e-6)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value)


def test_shards_are_another_experiment_and_the_same_stream(run_training: Train) -> None:
    """Batch norm over fewer images changes the losses; a network without it has those of the batch up to rounding."""
    plain = Architecture(name="plain", build=lambda request: nn.Sequential(nn.Flatten(), nn.Linear(768, 2)))
    recipes = [Recipe(batch_size=8, shards=shards, learning_rate=0.01) for shards in (1, 4)]
    whole, split = (run_training(plain, recipe=recipe) for recipe in recipes)
    assert whole.trained.stream_digests == split.trained.stream_digests
    for name in ("step_loss", "gradient_norm"):
        np.testing.assert_allclose(split.trained.traces[name], whole.trained.traces[name], rtol=1e-4)
    whole, split = (run_training(recipe=recipe) for recipe in recipes)
    assert np.abs(split.trained.traces["step_loss"] / whole.trained.traces["step_loss"] - 1).max() > 1e-3


@pytest.mark.parametrize(
    "conditions", [{}, {"precision": "bf16"}, {"frozen_steps": 5, "heads": ("6",)}, {"workers": 2}], ids=str
)
def test_an_interrupted_run_with_shards_gives_the_same_bits(
    run_training: Train, interrupted: Callable[..., Run], conditions: dict[str, object]
) -> None:
    """Dropout draws the numbers of the step."""
    conditions = {"budget": Budget(steps=STEPS), "recipe": SHARDED, **conditions}
    assert_same(run_training(**conditions), interrupted(2, 7, **conditions))
