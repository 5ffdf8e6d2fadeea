"""Parameters and FLOPs are counts, and agree with a pencil and with what was published."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from intelbench.architectures.reference import REFERENCE
from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.profiling.complexity import count_parameters, forward_macs_per_image, training_flops_per_image
from intelbench.profiling.workload import UNTRACEABLE, Workload


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
    with pytest.raises(UNTRACEABLE):
        flops(lambda _: Odd(look))
