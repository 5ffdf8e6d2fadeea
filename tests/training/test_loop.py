"""The training loop spends its budget, uses equal batches, gives equal bits, and is not changed by evaluation."""

import itertools
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from intelbench.architectures.registry import Architecture, ModelRequest
from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset
from intelbench.data.stream import StreamDigest, TrainingStream
from tests.fake_cuda import install
from tests.training.conftest import CONDITIONS, Train, tiny_network

PER_STEP = ("step_loss", "step_seconds", "data_wait_seconds", "gradient_norm", "learning_rate")


class Spoiled(nn.Module):
    """The tiny network, whose output is multiplied by a factor from a training step on."""

    def __init__(self, request: ModelRequest, step: int, factor: float) -> None:
        super().__init__()
        self.inner = tiny_network(request)
        self.calls, self.step, self.factor = 0, step, factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, multiplied by the factor from the given training step on."""
        self.calls += self.training
        return self.inner(images) * (self.factor if self.calls >= self.step and self.training else 1)


def spoiled(step: int, factor: float = math.nan) -> Architecture:
    """Return an architecture whose loss is not finite from this step on."""
    return Architecture(name="spoiled", build=lambda request: Spoiled(request, step, factor))


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"memory_format": "contiguous"}])
def test_two_runs_are_equal_bit_for_bit(run_training: Train, changes: dict[str, object]) -> None:
    """Losses, norms, predictions, digests and trained weights are equal."""
    one, other = (run_training(budget=Budget(steps=12), **changes) for _ in range(2))
    assert one.trained.stream_digests == other.trained.stream_digests
    for name, array in one.trained.traces.items():
        if not name.endswith("_seconds"):
            np.testing.assert_array_equal(array, other.trained.traces[name])
    weights = other.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in one.model.state_dict().items())


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_no_bit(run_training: Train, workers: int) -> None:
    """Workers change the speed only."""
    one, other = run_training(), run_training(workers=workers)
    assert one.trained.stream_digests == other.trained.stream_digests
    np.testing.assert_array_equal(one.trained.traces["step_loss"], other.trained.traces["step_loss"])


def test_another_seed_is_another_run(run_training: Train) -> None:
    """Weights and batches differ."""
    one, other = run_training(seed=1), run_training(seed=2)
    assert one.trained.stream_digests != other.trained.stream_digests
    assert (one.trained.traces["step_loss"] != other.trained.traces["step_loss"]).all()


def test_gradients_are_clipped(run_training: Train) -> None:
    """SGD with a learning rate of 1 moves the weights by the largest norm; the recorded norm is that before."""
    runs = [
        run_training(budget=Budget(steps=1), recipe=Recipe(optimizer="sgd", learning_rate=rate, clip_grad_norm=0.01))
        for rate in (0.0, 1.0)
    ]
    before, after = (nn.utils.parameters_to_vector(run.model.parameters()) for run in runs)
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)
    assert runs[1].trained.traces["gradient_norm"] > 0.01


def test_traces_have_one_value_a_step(run_training: Train, loaded: Dataset) -> None:
    """Evaluations have one row each; the seconds of the run are the sum of the step times and data waits."""
    trained = run_training().trained
    assert 6 == trained.num_steps
    assert trained.divergence is None
    assert dict.fromkeys(PER_STEP, (6,)) == {name: trained.traces[name].shape for name in PER_STEP}
    assert (2, len(loaded.validation)) == trained.traces["validation_predictions"].shape
    assert (trained.traces["gradient_norm"] > 0).all()
    spent = trained.traces["step_seconds"].sum() + trained.traces["data_wait_seconds"].sum()
    assert trained.seconds == pytest.approx(spent)
    assert trained.seconds == pytest.approx(trained.traces["evaluation_seconds"][-1])


def test_the_first_loss_is_that_of_the_untrained_network(run_training: Train) -> None:
    """The loss before the first step is near ln 2 for two classes."""
    assert math.log(2) == pytest.approx(run_training().trained.traces["step_loss"][0], abs=0.3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("fused", [True, False])
def test_every_optimizer_learns(run_training: Train, optimizer: str, fused: bool) -> None:
    """After 40 steps the network can distinguish the two colours."""
    recipe = Recipe(optimizer=optimizer, learning_rate=0.05, batch_size=8)
    run = run_training(budget=Budget(steps=40), recipe=recipe, fused_optimizer=fused)
    losses = run.trained.traces["step_loss"]
    assert losses[-5:].mean() < 0.5 * losses[:5].mean()
    accuracy = run.steps[-1].validation_accuracy
    assert accuracy is not None
    assert accuracy >= 0.9


@pytest.mark.parametrize(
    ("steps", "points", "expected"),
    [
        (6, 2, [3, 6]),
        (7, 2, [4, 7]),
        (10, 4, [3, 5, 8, 10]),
        (5, 5, [1, 2, 3, 4, 5]),
        (2, 4, [1, 2]),
        (3, 1, [3]),
        (1, 3, [1]),
        (100, 100, list(range(1, 101))),
    ],
)
def test_evaluation_points_are_evenly_spaced(run_training: Train, steps: int, points: int, expected: list[int]) -> None:
    """An evaluation is at the first step that reaches its share of the budget; 29/100 x 100 counts as 29."""
    run = run_training(budget=Budget(steps=steps), evaluation_points=points)
    assert expected == run.trained.traces["evaluation_step"].tolist()
    assert sorted(run.trained.traces["evaluation_seconds"]) == run.trained.traces["evaluation_seconds"].tolist()


def test_a_step_tells_whether_an_evaluation_has_ended(run_training: Train) -> None:
    """The flag is set at evaluation points only, and the accuracy is then known."""
    steps = run_training(budget=Budget(steps=7), evaluation_points=2).steps
    assert [1, 2, 3, 4, 5, 6, 7] == [step.number for step in steps]
    assert [4, 7] == [step.number for step in steps if step.at_evaluation]
    assert [True] * 3 + [False] * 4 == [step.validation_accuracy is None for step in steps]


def test_without_validation_images_nothing_is_evaluated(run_training: Train) -> None:
    """The steps are unchanged, and the arrays of evaluations are empty."""
    run, usual = run_training(evaluated=False), run_training()
    assert [] == [step.number for step in run.steps if step.at_evaluation]
    assert {None} == {step.validation_accuracy for step in run.steps}
    assert {1, 2, 4, 6} == set(run.trained.stream_digests)
    np.testing.assert_array_equal(usual.trained.traces["step_loss"], run.trained.traces["step_loss"])
    evaluated = {"evaluation_step", "evaluation_seconds", *filter(lambda name: "valid" in name, usual.trained.traces)}
    evaluated -= {"validation_logits"}
    assert "validation_logits" not in run.trained.traces
    assert {0} == {len(run.trained.traces[name]) for name in evaluated}
    assert (0, 0) == run.trained.traces["validation_predictions"].shape
    assert dict.fromkeys(PER_STEP, (6,)) == {name: run.trained.traces[name].shape for name in PER_STEP}


def test_evaluation_leaves_training_unchanged(run_training: Train) -> None:
    """Losses and weights have the same bits however often the network is evaluated."""
    rarely, often = run_training(evaluation_points=1), run_training(evaluation_points=6)
    np.testing.assert_array_equal(rarely.trained.traces["step_loss"], often.trained.traces["step_loss"])
    weights = often.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in rarely.model.state_dict().items())
    np.testing.assert_array_equal(
        rarely.trained.traces["validation_predictions"][-1], often.trained.traces["validation_predictions"][-1]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "points", "expected"),
    [(11, 1, {1, 2, 4, 8, 11}), (6, 2, {1, 2, 3, 4, 6}), (8, 1, {1, 2, 4, 8})],
)
def test_digests_are_kept_at_powers_of_two_and_evaluations(
    run_training: Train, loaded: Dataset, steps: int, points: int, expected: set[int]
) -> None:
    """A digest is also kept at the end; each one is the chain over all batches up to its step."""
    found = run_training(budget=Budget(steps=steps), evaluation_points=points).trained.stream_digests
    assert expected == set(found)
    stream, chain = TrainingStream(loaded.train, loaded.pixels(), CONDITIONS, seed=0), StreamDigest()
    for step in range(1, steps + 1):
        chain.update(stream.batch(step - 1))
        assert found.get(step, chain.hexdigest()) == chain.hexdigest()


def test_rates_follow_the_schedule(run_training: Train) -> None:
    """The trace has the learning rate of each step."""
    recipe = Recipe(batch_size=8, learning_rate=1e-3, schedule="cosine", warmup_fraction=0.5)
    rates = run_training(budget=Budget(steps=4), recipe=recipe).trained.traces["learning_rate"]
    assert pytest.approx([4e-5, 5.2e-4, 1e-3, 5e-4]) == rates.tolist()


def test_a_budget_in_seconds_ends(run_training: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the budget excludes evaluation and logging, which also take time here."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.5)
    # Five laps of half a second are in the budget at each step: the batch, its transfer, forward, backward, update.
    run = run_training(budget=Budget(seconds=10), evaluation_points=2)
    assert 4 == run.trained.num_steps
    assert 10 == run.trained.seconds
    assert [2, 4] == run.trained.traces["evaluation_step"].tolist()
    assert [0.25, 0.5, 0.75, 1.0] == [step.done for step in run.steps]


def test_watchers_see_every_step(run_training: Train) -> None:
    """Steps are numbered from 1 and have the share spent, a clock that never falls, and the known loss and accuracy."""
    run = run_training()
    assert [1, 2, 3, 4, 5, 6] == [step.number for step in run.steps]
    assert pytest.approx([1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1]) == [step.done for step in run.steps]
    assert run.trained.traces["step_loss"].tolist() == [step.loss for step in run.steps]
    assert [True, True, False, False, False, False] == [step.validation_accuracy is None for step in run.steps]
    seconds = [step.seconds for step in run.steps]
    assert sorted(seconds) == seconds


@pytest.mark.parametrize("factor", [math.nan, math.inf])
@pytest.mark.parametrize(("step", "num_evaluations"), [(1, 0), (3, 0), (5, 1)])
def test_divergence_ends_a_run(run_training: Train, factor: float, step: int, num_evaluations: int) -> None:
    """The run stops at the first loss that is not finite and reports it; its traces have the steps before it."""
    run = run_training(spoiled(step, factor))
    assert run.trained.divergence
    assert step - 1 == run.trained.num_steps
    assert {step - 1} == {len(run.trained.traces[name]) for name in PER_STEP}
    assert num_evaluations == len(run.trained.traces["evaluation_step"])
    assert all(np.isfinite(run.trained.traces[name]).all() for name in (*PER_STEP, "validation_loss"))
    assert step in run.trained.stream_digests


@pytest.mark.parametrize(("steps", "points"), [(1, 1), (4, 4)])
def test_weights_ruined_by_a_step_are_a_divergence(run_training: Train, steps: int, points: int) -> None:
    """The evaluation finds weights that are not finite after a finite loss, also after the last step."""
    recipe = Recipe(batch_size=8, optimizer="sgd", learning_rate=3e38)
    with np.errstate(all="ignore"):
        run = run_training(budget=Budget(steps=steps), evaluation_points=points, recipe=recipe)
    assert run.trained.divergence
    assert np.isfinite(run.trained.traces["validation_loss"]).all()


def test_an_error_in_the_network_passes(run_training: Train) -> None:
    """The loop does not catch errors of a network, and leaves no worker."""

    def fail(*_: object) -> torch.Tensor:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        run_training(Architecture(name="x", build=tiny_network, loss=fail), workers=2)


def test_frozen_parameters_stay(run_training: Train) -> None:
    """A plug-in may freeze a part of the network; the rest is trained."""

    def build(request: ModelRequest) -> nn.Module:
        model = tiny_network(request)
        model[0].requires_grad_(False)
        return model

    torch.manual_seed(0)
    before = build(ModelRequest(num_classes=2, image_size=16))
    after = run_training(Architecture(name="x", build=build)).model
    assert torch.equal(before[0].weight, after[0].weight)
    assert not torch.equal(before[-1].weight, after[-1].weight)


def test_label_smoothing_raises_the_loss_of_sure_networks(run_training: Train) -> None:
    """The smoothing of the recipe reaches the criterion: losses differ from the second step on."""
    plain = run_training().trained.traces["step_loss"]
    smooth = run_training(recipe=Recipe(batch_size=8, learning_rate=0.01, label_smoothing=0.5)).trained.traces[
        "step_loss"
    ]
    assert (plain[1:] != smooth[1:]).all()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_in_every_precision(run_training: Train, precision: str) -> None:
    """A GPU gets the batches of a CPU, arrays have one value for each step, and the network learns the colours."""
    recipe = Recipe(batch_size=8, learning_rate=0.05)
    run = run_training(device="cuda", precision=precision, budget=Budget(steps=40), recipe=recipe, workers=2)
    on_cpu = run_training(budget=Budget(steps=40), recipe=recipe)
    assert on_cpu.trained.stream_digests == run.trained.stream_digests
    assert run.trained.divergence is None
    assert {40} == {len(run.trained.traces[name]) for name in PER_STEP}
    losses = run.trained.traces["step_loss"]
    assert np.isfinite(losses).all()
    assert losses[-5:].mean() < 0.5 * losses[:5].mean()
    assert run.trained.seconds == pytest.approx(
        run.trained.traces["step_seconds"].sum() + run.trained.traces["data_wait_seconds"].sum()
    )  # fmt: skip


@pytest.mark.gpu
def test_divergence_ends_a_gpus_run(run_training: Train) -> None:
    """The loss arrives about one step late; the traces still end before the loss that is not finite."""
    run = run_training(spoiled(3), device="cuda")
    assert run.trained.divergence
    assert 2 == run.trained.num_steps
    assert {2} == {len(run.trained.traces[name]) for name in PER_STEP}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_fake_gpu_trains_to_the_bits_of_its_processor(
    run_training: Train, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code for GPUs does the same work in the same order."""
    on_cpu = run_training(precision=precision, workers=2)
    install(monkeypatch)
    on_gpu = run_training(precision=precision, workers=2)
    for name in ("step_loss", "gradient_norm", "validation_predictions", "validation_logits"):
        np.testing.assert_array_equal(on_cpu.trained.traces[name], on_gpu.trained.traces[name])
    assert on_cpu.trained.stream_digests == on_gpu.trained.stream_digests
    weights = on_gpu.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in on_cpu.model.state_dict().items())


@pytest.mark.usefixtures("fake_cuda")
def test_divergence_ends_a_run_on_the_fake_gpu(run_training: Train) -> None:
    """The run stops one step late; the traces end before the loss that is not finite."""
    run = run_training(spoiled(3))
    assert run.trained.divergence
    assert 2 == run.trained.num_steps
    assert {2} == {len(run.trained.traces[name]) for name in PER_STEP}


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpus_step_never_waits_for_the_gpu(run_training: Train, precision: str) -> None:
    """PyTorch raises if a step synchronises; the first step may, because it creates the state of later ones."""

    def forbid(number: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if number < 6 else "default")

    try:
        run = run_training(device="cuda", precision=precision, budget=Budget(steps=7), evaluated=False, on_step=forbid)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert 7 == run.trained.num_steps
