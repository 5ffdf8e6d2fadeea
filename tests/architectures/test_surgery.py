"""A swap says how much it swapped."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import nn

from intelbench.architectures.generators import preserve_generators
from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.architectures.surgery import build_shapes, find_heads, freeze_backbone, replace_heads, replace_modules
from intelbench.config.recipe import Head
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


def test_freezing_leaves_the_heads_and_fixes_the_rest() -> None:
    """The main and the auxiliary head of Inception train; all else is in evaluation mode, the network itself apart."""
    architecture, request, model = built("inception_v3", 299)
    freeze_backbone(model, find_heads(architecture, request, model))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {"fc.weight", "fc.bias", "AuxLogits.fc.weight", "AuxLogits.fc.bias"} == trained
    assert {"", "fc", "AuxLogits.fc"} == {name for name, module in model.named_modules() if module.training}


def test_a_frozen_backbone_is_a_fixed_function_of_an_image() -> None:
    """Whatever stands beside the image in its batch, and without dropout; no running average moves."""

    def build(request: ModelRequest) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, request.num_classes)
        )

    model = build(ModelRequest(num_classes=6, image_size=32))
    freeze_backbone(model, ("4",))
    images = torch.rand(4, 3, 3, 3)
    assert torch.equal(model(images)[:2], model(images[:2]))
    assert torch.equal(torch.zeros(4), model[1].running_mean)


@pytest.mark.parametrize(("activation", "kind"), [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU)])
def test_an_mlp_takes_the_place_of_each_head(activation: str, kind: type[nn.Module]) -> None:
    """The published head of ResNet-152, on Inception's two heads, each with its own width."""
    architecture, _, model = built("inception_v3", 299)
    head = Head(kind="mlp", widths=(1024, 256), activation=activation, dropout=0.25)  # type: ignore[arg-type]
    with torch.device("meta"):
        replace_heads(architecture, model, ("AuxLogits.fc", "fc"), head)
    assert [2048, 1024, 256] == [layer.in_features for layer in model.fc if isinstance(layer, nn.Linear)]
    assert [768, 1024, 256] == [layer.in_features for layer in model.AuxLogits.fc if isinstance(layer, nn.Linear)]
    expected = [nn.Linear, kind, nn.Dropout, nn.Linear, kind, nn.Dropout, nn.Linear]
    assert expected == [type(layer) for layer in model.fc]
    assert {0.25} == {layer.p for layer in model.fc if isinstance(layer, nn.Dropout)}
    main, auxiliary = model(torch.empty(2, 3, 299, 299, device="meta"))
    assert (2, 6) == tuple(main.shape) == tuple(auxiliary.shape)


def test_a_linear_head_is_the_architectures_own() -> None:
    """Nothing is replaced."""
    architecture, _, model = built("torchvision:resnet18")
    before = model.fc
    replace_heads(architecture, model, ("fc",), Head())
    assert before is model.fc


def test_a_convolution_cannot_become_an_mlp() -> None:
    """SqueezeNet's head, by its name, with the key that keeps it."""
    architecture, _, model = built("torchvision:squeezenet1_1")
    message = r"its head 'classifier.1' is a Conv2d, .* Try `overrides.\"torchvision:squeezenet1_1\".recipe.head = \{"
    with pytest.raises(UserError, match=message):
        replace_heads(architecture, model, ("classifier.1",), Head(kind="mlp", widths=(8,)))


def test_shapes_of_a_network_that_needs_values_are_those_of_its_random_choices() -> None:
    """What the attempt on the meta device has drawn does not count when the network is built on the CPU."""

    def build(request: ModelRequest) -> nn.Module:
        width = random.randint(4, 400)
        assert torch.zeros(()).item() == 0  # which the meta device cannot tell
        return nn.Linear(3, width)

    request = ModelRequest(num_classes=2, image_size=32)
    with preserve_generators():
        random.seed(5)
        expected = random.randint(4, 400)
        random.seed(5)
        shapes = build_shapes(Architecture(name="random", build=build), request)
    assert expected == shapes.out_features
    assert shapes.weight.is_meta
