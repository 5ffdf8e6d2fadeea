"""A swap says how much it swapped."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.architectures.surgery import build_shapes, find_heads, freeze_backbone, replace_modules
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


def built(name: str, image_size: int = 64) -> tuple[Architecture, ModelRequest, nn.Module]:
    """A network for six classes in training mode, by its shapes alone, and what it was built from."""
    architecture, request = find(name)[0], ModelRequest(num_classes=6, image_size=image_size)
    return architecture, request, build_shapes(architecture, request).train()


@pytest.mark.parametrize(
    ("name", "image_size", "expected"),
    [
        ("resnet101_leaky", 64, ("fc",)),
        ("inception_v3", 299, ("AuxLogits.fc", "fc")),
        ("inception_v3", 76, ("fc",)),
        ("torchvision:vgg11", 64, ("classifier.6",)),
        ("torchvision:vit_b_16", 64, ("heads.head",)),
        ("torchvision:densenet121", 64, ("classifier",)),
        ("torchvision:swin_t", 64, ("head",)),
        ("torchvision:squeezenet1_1", 64, ("classifier.1",)),
        ("torchvision:regnet_y_400mf", 64, ("fc",)),
    ],
)
def test_heads_are_what_grows_with_the_classes(name: str, image_size: int, expected: tuple[str, ...]) -> None:
    """In every family, a convolution and an auxiliary head included; no random number is drawn for that."""
    architecture, request, model = built(name, image_size)
    before = torch.get_rng_state()
    assert expected == find_heads(architecture, request, model)
    assert torch.equal(before, torch.get_rng_state())


def test_a_layer_that_happens_to_have_as_many_outputs_is_no_head() -> None:
    """A hidden layer of six units does not grow with the classes."""

    def build(request: ModelRequest) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, request.num_classes))

    request = ModelRequest(num_classes=6, image_size=32)
    assert ("2",) == find_heads(Architecture(name="x", build=build), request, build(request))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda request: nn.Linear(3, 5), "'x': no layer grows with the number of classes"),
        (lambda request: nn.Sequential(nn.Bilinear(3, 3, request.num_classes)), "its head '0' is a Bilinear"),
        (lambda request: nn.Sequential(nn.Conv2d(3, request.num_classes, 3)), "its head '0' is a Conv2d"),
    ],
)
def test_a_head_that_cannot_be_found_is_said_so(build: Callable[[ModelRequest], nn.Module], said: str) -> None:
    """By the architecture's name, and with what is accepted."""
    request = ModelRequest(num_classes=6, image_size=32)
    with pytest.raises(UserError, match=said):
        find_heads(Architecture(name="x", build=build), request, build(request))


def test_freezing_leaves_the_heads_and_fixes_batch_norm() -> None:
    """The main and the auxiliary head of Inception train; all else is a fixed function."""
    architecture, request, model = built("inception_v3", 299)
    freeze_backbone(model, find_heads(architecture, request, model))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {"fc.weight", "fc.bias", "AuxLogits.fc.weight", "AuxLogits.fc.bias"} == trained
    assert not any(module.training for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert model.training
