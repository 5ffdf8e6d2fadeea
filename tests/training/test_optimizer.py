"""The optimizer of a run is the one in its recipe."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

import intelbench
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.errors import UserError
from intelbench.training.optimizer import (
    OPTIMIZERS,
    gradient_norm,
    make_optimizer,
    require_optimizer,
    set_learning_rate,
)


def conditions(**recipe: object) -> Conditions:
    """Return conditions with this recipe."""
    return Conditions(budget=Budget(steps=1), recipe=Recipe(**recipe))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("adam", Adam, {"betas": (0.8, 0.95)}),
        ("adamw", AdamW, {"betas": (0.8, 0.95)}),
        ("sgd", SGD, {"momentum": 0.8, "nesterov": True}),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_settings_reach_the_optimizer(name: str, kind: type[Optimizer], expected: dict[str, Any], fused: bool) -> None:
    """The optimizer has the learning rate, the arguments, and the fused kernel."""
    recipe = Recipe(optimizer=name, learning_rate=0.3, optimizer_arguments={"weight_decay": 0.02, **expected})
    optimizer = make_optimizer(
        nn.Linear(2, 2), Conditions(budget=Budget(steps=1), recipe=recipe, fused_optimizer=fused)
    )
    assert kind is type(optimizer)
    (group,) = optimizer.param_groups
    expected = {"lr": 0.3, "weight_decay": 0.02, "fused": fused, **expected}
    assert expected == {key: group[key] for key in expected}


def test_frozen_parameters_are_left_out() -> None:
    """Weight decay must not change frozen parameters."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    (group,) = make_optimizer(model, conditions()).param_groups
    assert [id(parameter) for parameter in model[1].parameters()] == [id(parameter) for parameter in group["params"]]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_complex_weights_are_trained_without_the_fused_kernel(name: str) -> None:
    """The fused kernel takes real numbers only; the real and the imaginary part learn."""
    weight = nn.Parameter(torch.tensor([1 + 2j]))
    optimizer = make_optimizer(nn.ParameterList([weight]), conditions(optimizer=name, learning_rate=0.1))
    (weight.abs() ** 2).sum().backward()
    optimizer.step()
    assert weight.real.item() < 1
    assert weight.imag.item() < 2


def unfreezing_steps(name: str, *, fused: bool) -> list[torch.Tensor]:
    """Return the weights after four steps; the first layer is trained in the last two only."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    recipe = Recipe(optimizer=name, learning_rate=0.1, optimizer_arguments=momentum)
    optimizer = make_optimizer(model, Conditions(budget=Budget(steps=1), recipe=recipe, fused_optimizer=fused))
    for step in range(4):
        model[0].requires_grad_(step >= 2)
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return list(model.parameters())


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_layer_may_begin_to_learn_later(name: str) -> None:
    """An unfrozen backbone does so, and gets equal weights with and without the fused kernel."""
    torch.testing.assert_close(unfreezing_steps(name, fused=True), unfreezing_steps(name, fused=False))


def test_a_momentum_that_begins_at_0_changes_no_bit() -> None:
    """The steps equal those of PyTorch's fused kernel without the hook."""
    models = [nn.Linear(5, 5), nn.Linear(5, 5)]
    models[1].load_state_dict(models[0].state_dict())
    arguments = {"momentum": 0.9, "weight_decay": 0.01}
    ours = make_optimizer(models[0], conditions(optimizer="sgd", learning_rate=0.1, optimizer_arguments=arguments))
    theirs = SGD(models[1].parameters(), 0.1, 0.9, weight_decay=0.01, fused=True)
    for _ in range(3):
        images = torch.randn(4, 5)
        for model, optimizer in zip(models, (ours, theirs), strict=True):
            model(images).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(*pair) for pair in zip(models[0].parameters(), models[1].parameters(), strict=True))


@pytest.mark.parametrize("model", [nn.Linear(2, 2).requires_grad_(False), nn.Flatten()])
def test_a_network_without_anything_to_train_is_refused(model: nn.Module) -> None:
    """The message says what the network needs."""
    with pytest.raises(UserError, match=r"no parameter that trains.*`requires_grad=True`"):
        make_optimizer(model, conditions())


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_the_backbone_learns_at_a_rate_of_its_own(name: str) -> None:
    """Its learning rate is a multiple of that of the head at every step."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    optimizer = make_optimizer(model, conditions(optimizer=name, learning_rate=1, backbone_learning_rate=0.1), ("1",))
    for rate in (0.5, 0.25):
        set_learning_rate(optimizer, rate)
        rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
        assert {id(p): pytest.approx(rate * 0.1) for p in model[0].parameters()} | {
            id(p): rate for p in model[1].parameters()
        } == rates


class Normed(nn.Module):
    """A network with all kinds of parameters that have no weight decay, and two that have it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(torch.ones(()))
        self.position_bias = nn.Parameter(torch.ones(2, 2))
        self.head = nn.Linear(4, 2)


@pytest.mark.parametrize("backbone_learning_rate", [1.0, 0.1])
def test_norms_and_biases_are_not_decayed(backbone_learning_rate: float) -> None:
    """The decayed parameters are those that timm decays, apart from a matrix named as a bias; all are trained."""
    from timm.optim import param_groups_weight_decay

    model = Normed()
    recipe = {
        "optimizer": "adamw", "optimizer_arguments": {"weight_decay": 0.05}, "decay_norms_and_biases": False,
        "backbone_learning_rate": backbone_learning_rate,
    }  # fmt: skip
    optimizer = make_optimizer(model, conditions(**recipe), ("head",))
    theirs = {
        id(parameter): group["weight_decay"]
        for group in param_groups_weight_decay(model, 0.05)
        for parameter in group["params"]
    }
    ours = {id(each): group["weight_decay"] for group in optimizer.param_groups for each in group["params"]}
    assert theirs | {id(model.position_bias): 0.0} == ours
    assert (2 if backbone_learning_rate == 1 else 4) == len(optimizer.param_groups)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"optimizer": "sgd"}, "'sgd' has a weight decay of 0. Set `recipe.optimizer_arguments.weight_decay`"),
        ({"optimizer": "rprop"}, "'rprop' has none. Try `adamw`"),
    ],
)
def test_an_optimizer_without_weight_decay_excludes_nothing(recipe: dict[str, Any], message: str) -> None:
    """An option that would do nothing is refused."""
    with pytest.raises(UserError) as caught:
        require_optimizer(Recipe(decay_norms_and_biases=False, **recipe))
    assert "recipe.decay_norms_and_biases: " in str(caught.value)
    assert message in str(caught.value)


def test_one_rate_is_one_group() -> None:
    """The parameters have the order of the network, as if there were no heads."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    (group,) = make_optimizer(model, conditions(), ("0",)).param_groups
    assert [id(parameter) for parameter in model.parameters()] == [id(parameter) for parameter in group["params"]]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_the_learning_rate_is_the_one_that_was_set(name: str) -> None:
    """At a learning rate of 0 nothing changes; at the next rate the weights do."""
    model = nn.Linear(2, 2)
    optimizer = make_optimizer(model, conditions(optimizer=name, learning_rate=1))
    before = model.weight.detach().clone()
    for rate, moves in ((0.0, False), (0.5, True)):
        set_learning_rate(optimizer, rate)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        assert moves == (not torch.equal(before, model.weight))


def test_gradient_norm_is_over_all_gradients() -> None:
    """It is the root of the sum of all squares; parameters without a gradient add nothing."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[1].requires_grad_(False)
    model(torch.ones(4, 2)).sum().backward()
    flat = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    torch.testing.assert_close(gradient_norm(list(model.parameters())), flat.norm())


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.built_in))
def test_every_optimizer_of_pytorch_reduces_a_loss(name: str) -> None:
    """It does with its own defaults. SparseAdam is left out because no image classifier has sparse gradients."""
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = make_optimizer(model, conditions(optimizer=name, learning_rate=0.05))
    images, labels = torch.randn(8, 4), torch.arange(8) % 3
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(model(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"optimizer": "lion"}, r"^recipe\.optimizer: 'lion' is not known\. .*adamw"),
        ({"optimizer": "lbfgs"}, r"^recipe\.optimizer: 'lbfgs' is not accepted: it evaluates the loss several times"),
        ({"optimizer": "muon"}, r"^recipe\.optimizer: 'muon' is not accepted: it trains matrices only"),
        (
            {"optimizer": "sgd", "optimizer_arguments": {"betas": (0.9, 0.9)}},
            r"^recipe\.optimizer_arguments\.betas: not an argument of 'sgd'\. .*momentum",
        ),
        ({"optimizer_arguments": {"lr": 0.1}}, r"\.lr: not an argument of 'adam'\. Use `recipe\.learning_rate`$"),
        ({"optimizer_arguments": {"fused": True}}, r"\.fused: not an argument of 'adam'\. Use `fused_optimizer`$"),
        ({"optimizer_arguments": {"params": 1}}, r"\.params: not an argument of 'adam'"),
        (
            {"optimizer": "sgd", "optimizer_arguments": {"momentum": "high"}},
            r"optimizer 'sgd': .*\(with `recipe\.optimizer_arguments` \{'momentum': 'high'\}\)$",
        ),
        ({"optimizer_arguments": {"betas": (0.5, 1.0)}}, r"Invalid beta parameter at index 1: 1\.0"),
    ],
)
def test_what_an_optimizer_does_not_take_is_refused(recipe: dict[str, Any], message: str) -> None:
    """The message, before any run, names the key and the accepted arguments."""
    with pytest.raises(UserError, match=message):
        require_optimizer(Recipe(**recipe))


def test_an_optimizer_of_a_plugin_is_checked_too() -> None:
    """It must return an optimizer; the message for an exception has the name of the optimizer."""

    @intelbench.optimizer("none")
    def nothing(parameters: object, lr: float) -> None:
        return None

    @intelbench.optimizer("broken")
    def broken(parameters: object, lr: float, **arguments: object) -> None:
        raise RuntimeError("out of order")

    @intelbench.optimizer("elsewhere")
    def elsewhere(parameters: object, lr: float) -> Optimizer:
        return SGD([nn.Parameter(torch.zeros(2))], lr)

    with pytest.raises(UserError, match=r"optimizer 'elsewhere': .* does not train the parameter groups"):
        require_optimizer(Recipe(optimizer="elsewhere"))
    with pytest.raises(UserError, match=r"optimizer 'none': .* returned None\. Expected a torch\.optim\.Optimizer"):
        require_optimizer(Recipe(optimizer="none"))
    with pytest.raises(UserError, match=r"optimizer 'broken': .*RuntimeError: out of order"):
        require_optimizer(Recipe(optimizer="broken", optimizer_arguments={"whatever": 1}))
