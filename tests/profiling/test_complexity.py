"""Parameters and FLOPs are counts, and agree with a pencil and with what was published."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision import models

from intelbench.architectures.reference import REFERENCE
from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.profiling.complexity import count_parameters, forward_macs_per_image, training_flops_per_image
from intelbench.profiling.workload import Workload

FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18",
    "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_16",
    "wide_resnet50_2",
)  # fmt: skip
"""One network of every family of torchvision's classifiers."""


def flops(build: Callable[[ModelRequest], nn.Module], image_size: int = 16) -> float:
    """FLOPs of one image through the network that `build` makes."""
    request = ModelRequest(num_classes=5, image_size=image_size)
    return training_flops_per_image(Workload(architecture=Architecture(name="x", build=build), request=request))


def workload(name: str, image_size: int, num_classes: int = 6) -> Workload:
    """A network that is known by name."""
    return Workload(architecture=find(name)[0], request=ModelRequest(num_classes=num_classes, image_size=image_size))


class Odd(nn.Module):
    """A network that looks at its pixels with `look`."""

    def __init__(self, look: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.look = look
        self.head = nn.Linear(3 * 16 * 16, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        self.look(images)
        return self.head(images.flatten(1))


def test_parameters_are_counted_with_and_without_frozen_ones() -> None:
    """All, and those that train."""
    model = nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    assert (10 * 4 + 4 + 8 + 15, 67) == count_parameters(model)
    model[0].requires_grad_(False)
    assert (67, 23) == count_parameters(model)
    model.requires_grad_(False)
    assert (67, 0) == count_parameters(model)


def test_shared_parameters_are_counted_once() -> None:
    """Two layers that share a weight have one."""
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert 16 + 4 + 4 == count_parameters(nn.Sequential(first, second))[0]


def test_flops_of_a_linear_layer() -> None:
    """2 x in x out forward, and as much for the weights' gradient; the input of a first layer needs none."""
    size = 3 * 16 * 16
    assert 2 * (2 * size * 5) == flops(
        lambda request: nn.Sequential(nn.Flatten(), nn.Linear(size, request.num_classes))
    )


def test_flops_of_a_convolution_and_a_linear_layer() -> None:
    """3x3 from 3 to 8 channels on 16x16: 2 x 27 x 8 x 256, twice; then the linear layer, forward and two gradients."""

    def build(request: ModelRequest) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, request.num_classes),
        )  # fmt: skip

    convolution, linear = 2 * 27 * 8 * 256, 2 * 8 * 5
    assert 2 * convolution + 3 * linear == flops(build)


def test_flops_of_grouped_convolutions() -> None:
    """A group's outputs see its inputs alone: 12 / 3 = 4 channels, and a depthwise one 1, in all three products."""

    def build(request: ModelRequest) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 6, 3, padding=1, groups=3),
            nn.Conv2d(6, 12, 5, stride=2, padding=2, groups=6), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(12, request.num_classes),
        )  # fmt: skip

    first, grouped, depthwise = 2 * 9 * 3 * 12 * 16 * 16, 2 * 9 * 4 * 6 * 16 * 16, 2 * 25 * 1 * 12 * 8 * 8
    assert 2 * first + 3 * (grouped + depthwise + 2 * 12 * 5) == flops(build)


def test_flops_of_transposed_convolutions() -> None:
    """Every weight meets each position of the input once, 8x8 here, in all three products; with groups and without."""

    def build(request: ModelRequest) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 2, stride=2), nn.ConvTranspose2d(8, 4, 3, stride=2),
            nn.Conv2d(4, 8, 3, stride=2), nn.ConvTranspose2d(8, 6, 3, stride=2, groups=2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, request.num_classes),
        )  # fmt: skip

    first, transposed = 2 * 4 * 3 * 8 * 8 * 8, 2 * 9 * 8 * 4 * 8 * 8
    second, grouped = 2 * 9 * 4 * 8 * 8 * 8, 2 * 9 * 8 * 3 * 8 * 8
    assert 2 * first + 3 * (transposed + second + grouped + 2 * 6 * 5) == flops(build)


def test_flops_of_a_frozen_grouped_convolution() -> None:
    """A frozen convolution passes a gradient on to the layer before it and has none of its own weights."""

    def build(request: ModelRequest) -> nn.Module:
        first, second = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        second.requires_grad_(False)
        return nn.Sequential(first, second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, request.num_classes))

    first, depthwise = 2 * 3 * 6 * 16 * 16, 2 * 9 * 6 * 16 * 16
    assert 2 * first + 2 * depthwise + 3 * 2 * 6 * 5 == flops(build)


@pytest.mark.parametrize("name", FAMILIES)
def test_training_costs_three_forward_passes_in_every_family(name: str) -> None:
    """Gradients of input and weights take the forward pass's products; the first layer's input needs none."""
    given = workload(f"torchvision:{name}", 224, 1000)
    assert 2.85 <= training_flops_per_image(given) / 2 / forward_macs_per_image(given) <= 3.0


def test_every_family_of_torchvision_is_counted() -> None:
    """A module of torchvision is a family, or several."""
    modules = {name: models.get_model_builder(name).__module__ for name in models.list_models(module=models)}
    assert set(modules.values()) == {modules[name] for name in FAMILIES}


@pytest.mark.parametrize(
    ("name", "image_size", "gflops"),
    [
        ("torchvision:efficientnet_b0", 224, 2.29),
        ("torchvision:convnext_tiny", 224, 26.7),
        ("torchvision:resnext50_32x4d", 96, 4.7),
        ("efficientnet_lite0", 224, 2.3),
    ],
)
def test_training_flops_of_grouped_networks(name: str, image_size: int, gflops: float) -> None:
    """In 10^9 for one image, within two per cent of three forward passes, counted by another tool."""
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch")
    assert gflops == pytest.approx(training_flops_per_image(workload(name, image_size, 1000)) / 1e9, rel=0.02)


@pytest.mark.parametrize(
    ("name", "published"),
    [("resnet152", 12.6e9), ("wide_resnet101_2", 25.0e9), ("resnet101", 8.6e9), ("inception_v3", 2.0e9)],
)
def test_flops_of_reference_architectures(name: str, published: float) -> None:
    """At 96 px, within two per cent of what is known about them."""
    assert published == pytest.approx(training_flops_per_image(workload(name, 96)), rel=0.02)


@pytest.mark.parametrize(
    ("name", "image_size", "published"),
    [
        ("resnet152", 224, 11.514),
        ("wide_resnet101_2", 224, 22.753),
        ("resnet101", 224, 7.801),
        ("inception_v3", 299, 5.713),
    ],
)
def test_forward_macs_are_those_that_torchvision_publishes(name: str, image_size: int, published: float) -> None:
    """To three decimals of 10^9, with 1000 classes."""
    assert published == round(forward_macs_per_image(workload(name, image_size, 1000)) / 1e9, 3)


def test_the_twins_cost_the_same() -> None:
    """The activation is not counted."""
    assert training_flops_per_image(workload("resnet101", 64)) == training_flops_per_image(
        workload("resnet101_leaky", 64)
    )


@pytest.mark.parametrize("name", [*REFERENCE, "torchvision:vit_b_16"])
def test_counting_leaves_random_state_alone(name: str) -> None:
    """Building on the meta device draws nothing, so weights and dropout masks are as without the count."""
    state = torch.get_rng_state()
    assert training_flops_per_image(workload(name, 96)) > 0
    assert torch.equal(state, torch.get_rng_state())


def test_the_auxiliary_head_is_counted() -> None:
    """At 299 px Inception trains a second head, through its own loss."""
    with_head = training_flops_per_image(workload("inception_v3", 299))
    assert with_head > training_flops_per_image(workload("torchvision:inception_v3", 299))


@pytest.mark.parametrize(
    "look",
    [
        lambda images: bool(images.sum() > 0),
        lambda images: images.sum().item(),
        lambda images: images.tolist(),
        lambda images: images.numpy(),
        lambda images: images.nonzero(),
        lambda images: images[images > 0],
    ],
    ids=["if", "item", "tolist", "numpy", "nonzero", "mask"],
)
def test_a_network_that_depends_on_its_pixels_has_no_count(look: Callable[[torch.Tensor], object]) -> None:
    """It can still be trained."""
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        flops(lambda _: Odd(look))
