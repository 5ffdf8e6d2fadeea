"""A swap says how much it swapped."""

import pytest
import torch
from torch import nn

from intelbench.architectures.registry import ModelRequest, find
from intelbench.architectures.surgery import freeze_backbone, replace_modules
from intelbench.errors import UserError


def leaky(relu: nn.ReLU) -> nn.Module:
    """The usual replacement."""
    return nn.LeakyReLU(inplace=relu.inplace)


def test_modules_are_replaced_at_every_depth() -> None:
    """The count is of modules, and each replacement is made from what it replaces."""
    model = nn.Sequential(
        nn.ReLU(), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(1, 1)), nn.ModuleDict({"a": nn.ReLU()})
    )
    assert 3 == replace_modules(model, nn.ReLU, leaky)
    assert [False, True, False] == [module.inplace for module in model.modules() if isinstance(module, nn.LeakyReLU)]
    assert 0 == replace_modules(model, nn.ReLU, leaky)


def test_only_the_exact_kind_is_replaced() -> None:
    """A subclass is another thing."""

    class Special(nn.ReLU):
        pass

    model = nn.Sequential(Special(), nn.ReLU6())
    assert 0 == replace_modules(model, nn.ReLU, leaky)


def test_a_module_in_two_places_is_replaced_in_both() -> None:
    """A ReLU that two layers share leaves no trace of itself."""
    shared = nn.ReLU()
    model = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared))
    assert 2 == replace_modules(model, nn.ReLU, leaky)
    assert not any(isinstance(module, nn.ReLU) for module in model.modules())


def test_inception_has_nothing_to_swap() -> None:
    """It calls `F.relu`: a swap changes nothing, and the count says so."""
    with torch.device("meta"):
        model = find("inception_v3")[0].build(ModelRequest(num_classes=6, image_size=96))
    assert 0 == replace_modules(model, nn.ReLU, leaky)


def test_freezing_leaves_the_heads_and_fixes_batch_norm() -> None:
    """The main and the auxiliary head of Inception train; all else is a fixed function."""
    with torch.device("meta"):
        model = find("inception_v3")[0].build(ModelRequest(num_classes=6, image_size=299)).train()
    assert 2 == freeze_backbone(model, 6)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {"fc.weight", "fc.bias", "AuxLogits.fc.weight", "AuxLogits.fc.bias"} == trained
    assert not any(module.training for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert model.training


def test_freezing_needs_a_head() -> None:
    """A network whose linear layers have other outputs."""
    with pytest.raises(UserError, match="no linear layer with 6 outputs"):
        freeze_backbone(nn.Sequential(nn.Linear(3, 5)), 6)
