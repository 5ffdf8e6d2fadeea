"""A swap says how much it swapped."""

import torch
from torch import nn

from intelbench.architectures.registry import ModelRequest, find
from intelbench.architectures.surgery import replace_modules


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
