"""Sizes of images that a network cannot take are refused, with sizes that fit."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.errors import UserError
from intelbench.profiling.sizes import require_size
from intelbench.profiling.workload import Workload


def workload(architecture: Architecture, image_size: int) -> Workload:
    """A network for images of this size."""
    return Workload(architecture=architecture, request=ModelRequest(num_classes=6, image_size=image_size))


def fixed(size: int) -> Architecture:
    """A network in which the size of its images is written down."""

    def build(request: ModelRequest) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, request.num_classes))

    return Architecture(name="fixed", build=build)


@pytest.mark.parametrize(
    ("name", "image_size", "offered"),
    [
        ("vit_b_16", 150, "144 or 160 px, the nearest usual sizes"),
        ("vit_b_32", 48, "32 or 64 px, the nearest usual sizes"),
        ("vit_h_14", 128, "112 or 224 px, the nearest usual sizes"),
        ("maxvit_t", 64, "224 px, the nearest usual size"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(name: str, image_size: int, offered: str) -> None:
    """Patches or windows do not divide it; the message names the nearest that do, and one of them is then accepted."""
    architecture, _ = find(f"torchvision:{name}")
    with pytest.raises(UserError, match=f"'torchvision:{name}' does not take images of {image_size} px .*{offered}"):
        require_size(workload(architecture, image_size))
    require_size(workload(architecture, int(offered.split()[0])))


@pytest.mark.parametrize(
    ("name", "image_size", "offered"),
    [
        ("test_maxvit", 150, "128 or 160 px, the nearest usual sizes"),
        ("vit_tiny_patch16_224", 8, "needs images of at least 32 px"),
        ("coatnet_pico_rw_224", 80, "64 or 96 px, the nearest usual sizes"),
    ],
)
def test_sizes_of_timm_are_refused_too(name: str, image_size: int, offered: str) -> None:
    """Most of timm's networks of a fixed size are built for the requested one; the others are refused with sizes."""
    with pytest.raises(UserError, match=offered):
        require_size(workload(find(f"timm:{name}")[0], image_size))


@pytest.mark.parametrize(("name", "image_size"), [("alexnet", 62), ("inception_v3", 74), ("resnet18", 31)])
def test_a_size_below_the_minimum_is_refused(name: str, image_size: int) -> None:
    """The minimum is named, and accepted."""
    architecture, _ = find(f"torchvision:{name}")
    with pytest.raises(UserError, match=f"needs images of at least {image_size + 1} px"):
        require_size(workload(architecture, image_size))
    require_size(workload(architecture, image_size + 1))


def test_a_network_for_one_size() -> None:
    """In its constructor or in a layer: the size is found where it is a usual one."""
    with pytest.raises(UserError, match=r"does not take images of 32 px .*it takes 224 px, the nearest usual size"):
        require_size(workload(fixed(224), 32))
    require_size(workload(fixed(224), 224))


class Failing(nn.Module):
    """Fails in its forward pass, whatever the size."""

    def __init__(self, fail: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.fail = fail

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, if it came to that."""
        self.fail(images)
        return images.mean((2, 3))


@pytest.mark.parametrize("fail", [lambda images: 1 / 0, lambda images: images.sum().item()])
def test_what_fails_at_every_size_is_let_through(fail: Callable[[torch.Tensor], object]) -> None:
    """The size is not what is wrong: the run says what is."""
    require_size(workload(Architecture(name="failing", build=lambda _: Failing(fail)), 32))


def test_nothing_is_drawn() -> None:
    """Weights and batches of what comes afterwards are the same."""
    state = torch.get_rng_state()
    require_size(workload(find("torchvision:vit_b_16")[0], 32))
    require_size(workload(find("torchvision:regnet_y_400mf")[0], 32))
    assert torch.equal(state, torch.get_rng_state())
