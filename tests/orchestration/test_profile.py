"""Profiles of networks, as asked for on the command line."""

from pathlib import Path

import pytest

from intelbench.config.requests import ProfileRequest
from intelbench.orchestration.profile import profile
from intelbench.records.profiles import Profile

ODD = """
from torch import nn

from intelbench import architecture


class Odd(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images):
        if images.sum() > 0:
            images = -images
        return self.head(images.mean((2, 3)))


@architecture("odd")
def odd(request):
    return Odd(request.num_classes)


@architecture("unbuilt")
def unbuilt(request):
    raise ValueError("no network today")


@architecture("headless")
def headless(request):
    return nn.Sequential(nn.Conv2d(3, request.num_classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plug-in with a network that looks at its pixels, and one without a linear layer."""
    path = tmp_path_factory.mktemp("plugin") / "odd.py"
    path.write_text(ODD)
    return path


def profile_of(*architectures: str, plugin: Path | None = None, frozen: bool = False) -> Profile:
    """At 64 px."""
    request = ProfileRequest(
        architectures=architectures,
        batch_sizes=(2, 64),
        memories=(8,),
        num_classes=5,
        image_size=64,
        frozen=frozen,
        plugins=(plugin,) if plugin else (),
    )
    return profile(request, lambda _: None)


def test_a_reference_architecture() -> None:
    """Everything that can be known without a GPU."""
    (found,) = profile_of("resnet152").architectures
    assert found.num_parameters == found.num_trainable_parameters == 60_192_808 - 995 * 2049
    assert 60_192_808 == found.num_parameters_1000_classes
    assert found.published is not None
    assert found.published.total_bytes / 2**20 == pytest.approx(1343.71, abs=0.005)
    assert [2, 64] == [memory.batch_size for memory in found.memory]
    assert found.memory[0].peak_bytes < found.memory[1].peak_bytes
    assert found.largest_batch[8] > 64
    assert {"measured"} == set(found.absent) or found.measured


def test_a_frozen_backbone_trains_its_head_alone() -> None:
    """Less memory, and little more work than a forward pass."""
    (frozen,), (all_trained,) = (profile_of("resnet50", frozen=each).architectures for each in (True, False))
    assert 2049 * 5 == frozen.num_trainable_parameters
    assert frozen.memory[1].peak_bytes < all_trained.memory[1].peak_bytes / 2
    assert frozen.forward_macs_per_image == all_trained.forward_macs_per_image
    assert frozen.training_flops_per_image == pytest.approx(2 * frozen.forward_macs_per_image, rel=0.01)
    assert all_trained.training_flops_per_image == pytest.approx(6 * frozen.forward_macs_per_image, rel=0.02)


def test_a_network_that_cannot_be_traced_is_profiled_as_far_as_possible(odd: Path) -> None:
    """Its parameters are counted, and for the rest a reason stands."""
    (found,) = profile_of("odd", plugin=odd).architectures
    assert 20 == found.num_parameters
    assert found.training_flops_per_image is None
    assert () == found.memory
    assert {} == found.largest_batch
    assert {"memory", "flops", "torchsummary"} <= set(found.absent)


def test_a_network_without_a_head_cannot_be_frozen(odd: Path) -> None:
    """Its row says why."""
    assert "its head '0' is a Conv2d" in profile_of("headless", plugin=odd, frozen=True).failures["headless"]


def test_a_memory_figure_that_was_never_published_is_not_computed() -> None:
    """The network is not built at 300 px, which a vision transformer of patches of 16 px could not be."""
    (found,) = profile_of("torchvision:vit_b_16").architectures
    assert found.published is None
    assert found.torchsummary is not None
    assert {"measured", "published"} == set(found.absent) or found.measured
    assert [2, 64] == [memory.batch_size for memory in found.memory]
    assert found.num_parameters_1000_classes == found.num_parameters + 995 * 769


def test_a_network_that_is_built_with_values_is_profiled() -> None:
    """RegNet works out its widths with tensors, which the meta device cannot do."""
    (found,) = profile_of("torchvision:regnet_y_400mf").architectures
    assert 4_344_144 == found.num_parameters_1000_classes
    assert found.memory[0].peak_bytes < found.memory[1].peak_bytes
    assert found.training_flops_per_image == pytest.approx(6 * found.forward_macs_per_image, rel=0.05)


def test_what_cannot_be_profiled_costs_its_own_row(odd: Path) -> None:
    """Images too small or of a size that does not fit, a network that cannot be built: the rest is profiled."""
    names = ("inception_v3", "torchvision:maxvit_t", "unbuilt", "odd")
    found = profile_of(*names, plugin=odd)
    assert ["odd"] == [each.architecture for each in found.architectures]
    assert "architecture 'inception_v3' needs images of at least 75 px" in found.failures["inception_v3"]
    assert "it takes 224 px, the nearest usual size" in found.failures["torchvision:maxvit_t"]
    assert "architecture 'unbuilt': failed with ValueError: no network today (odd.py:25)" == found.failures["unbuilt"]
