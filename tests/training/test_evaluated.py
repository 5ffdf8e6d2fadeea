"""The weights that are evaluated: averaged or not, of the last step or of the best evaluation point."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.training.evaluated import EvaluatedWeights
from tests.training.conftest import REQUEST, Train, tiny_network

RECIPE = Recipe(batch_size=8, learning_rate=0.01)


def change(model: nn.Module, seed: int) -> None:
    """Change parameters and buffers as a training step does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator))
            else:
                value.add_(1)


def test_an_average_is_that_of_pytorch_once_the_decay_is_reached() -> None:
    """The same bits as `AveragedModel` with averaged buffers; integers are copied."""
    model = tiny_network(REQUEST)
    weights = EvaluatedWeights(model, Recipe(ema_decay=0.1))  # the decay of the first step is 2 / 11, above 0.1
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.1), use_buffers=True)
    theirs.update_parameters(model)  # the first update copies
    for step in range(4):
        change(model, step)
        weights.update()
        theirs.update_parameters(model)
    with weights.applied():
        for name, value in theirs.module.named_parameters():
            torch.testing.assert_close(model.get_parameter(name), value)
        for name, buffer in theirs.module.named_buffers():
            if buffer.is_floating_point():
                torch.testing.assert_close(model.get_buffer(name), buffer)
        assert 4 == model.get_buffer("1.num_batches_tracked")


def test_the_first_decays_are_smaller() -> None:
    """(1 + t) / (10 + t), so that the initial weights are forgotten."""
    model = nn.Linear(1, 1, bias=False)
    weights = EvaluatedWeights(model, Recipe(ema_decay=0.999))
    expected = model.weight.item()
    for step in range(1, 6):
        change(model, step)
        weights.update()
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * model.weight.item()
    with weights.applied():
        assert model.weight.item() == pytest.approx(expected)


def test_applying_an_average_keeps_the_weights_and_their_memory() -> None:
    """Training continues with the same bits, and a CUDA graph with the same addresses."""
    model = tiny_network(REQUEST)
    weights = EvaluatedWeights(model, Recipe(ema_decay=0.9))
    change(model, 1)
    weights.update()
    before = {name: (value.clone(), value.data_ptr()) for name, value in model.state_dict().items()}
    with weights.applied():
        assert not torch.equal(before["0.weight"][0], model.state_dict()["0.weight"])
    for name, value in model.state_dict().items():
        assert torch.equal(before[name][0], value)
        assert before[name][1] == value.data_ptr()


def test_a_buffer_that_a_module_replaces_is_averaged() -> None:
    """Some modules assign a new tensor in each forward pass."""
    model = nn.Module()
    model.register_buffer("mean", torch.zeros(1))
    weights = EvaluatedWeights(model, Recipe(ema_decay=0.5))
    model.mean = torch.ones(1)
    weights.update()
    with weights.applied():
        assert model.mean.item() == pytest.approx(1 - 2 / 11)


@pytest.mark.parametrize("recipe", [{"ema_decay": 0.9}, {"keep": "best"}, {"keep": "best", "ema_decay": 0.9}], ids=str)
def test_the_network_has_the_weights_that_were_evaluated(run_training: Train, recipe: dict[str, object]) -> None:
    """The validation logits of the record are those of the network after training."""
    run = run_training(recipe=Recipe(batch_size=8, learning_rate=0.05, **recipe), budget=Budget(steps=12))  # type: ignore[arg-type]
    predicted = run.trained.traces["validation_logits"].argmax(1)
    points = run.trained.traces["evaluation_step"].tolist()
    kept = points.index(run.trained.kept_step) if run.trained.kept_step else -1
    assert predicted.tolist() == run.trained.traces["validation_predictions"][kept].tolist()
    plain = run_training(recipe=Recipe(batch_size=8, learning_rate=0.05), budget=Budget(steps=12))
    np.testing.assert_array_equal(run.trained.traces["step_loss"], plain.trained.traces["step_loss"])
    assert ("ema_decay" not in recipe) or not torch.equal(
        run.model.state_dict()["0.weight"], plain.model.state_dict()["0.weight"]
    )


def test_the_best_evaluation_point_is_kept(run_training: Train) -> None:
    """By accuracy, then by loss, then the first one; the weights are those of a run that ended there."""
    recipe = Recipe(learning_rate=3.0, batch_size=8, keep="best")
    changes = {"recipe": recipe, "evaluation_points": 6}
    run = run_training(budget=Budget(steps=12), **changes)
    traces = run.trained.traces
    accuracy = (traces["validation_predictions"] == traces["validation_labels"]).mean(axis=1)
    ranks = list(zip(accuracy.tolist(), (-traces["validation_loss"]).tolist(), strict=True))
    best = max(range(6), key=ranks.__getitem__)
    assert best < 5, ranks  # else the test shows nothing
    assert int(traces["evaluation_step"][best]) == run.trained.kept_step
    shorter = run_training(budget=Budget(steps=run.trained.kept_step), **{**changes, "evaluation_points": best + 1})
    weights = shorter.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in run.model.state_dict().items())


def test_nothing_is_kept_by_default(run_training: Train) -> None:
    """No copy of the weights is made."""
    weights = EvaluatedWeights(tiny_network(REQUEST), RECIPE)
    weights.update()
    weights.keep_best()
    assert {"average": {}, "num_steps": 0, "best": {}} == weights.state_dict()
    assert run_training().trained.kept_step is None
