"""Dead units are found where they were planted, in modules and in functions, and looking changes nothing."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from intelbench.architectures.registry import ModelRequest, find
from intelbench.profiling.activations import ActivationProbe, Activations

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def planted(rectifier: nn.Module) -> nn.Module:
    """Eight channels, of which two are far below 0 and one far above."""
    convolution = nn.Conv2d(3, 8, 3)
    with torch.no_grad():
        convolution.bias.copy_(torch.tensor([-100.0, -100, 100, 0, 0, 0, 0, 0]))
    return nn.Sequential(convolution, rectifier)


def seen(model: nn.Module, *batches: Tensor) -> Activations:
    """What a probe reads after these batches."""
    with ActivationProbe(model) as probe, torch.no_grad():
        for batch in batches:
            model(batch)
    return Activations.of([probe.sites])


@pytest.mark.parametrize("rectifier", [nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(), nn.LeakyReLU(inplace=True)])
def test_planted_dead_units_are_found(rectifier: nn.Module) -> None:
    """Two of eight, by the same rule for ReLU and LeakyReLU."""
    found = seen(planted(rectifier), IMAGES)
    assert ("1 1",) == found.sites
    assert [8] == found.num_units.tolist()
    assert [0.25] == found.dead_share.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shares_and_means_are_those_of_all_outputs(dtype: torch.dtype) -> None:
    """Over several batches of unequal size, as if they were one."""
    model = planted(nn.LeakyReLU(0.1)).to(dtype)
    images = IMAGES.to(dtype)
    with torch.no_grad():
        outputs = model(images).float()
    found = seen(model, images[:4], images[4:])
    rounding = {"rel": 1e-5 if dtype == torch.float32 else 4e-3}
    assert found.positive_share[0] == pytest.approx((outputs > 0).float().mean().item(), **rounding)
    assert found.mean[0] == pytest.approx(outputs.mean().item(), **rounding)


@pytest.mark.parametrize(
    "rectify",
    [F.relu, lambda x: F.relu(x, inplace=True), torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.leaky_relu,
     lambda x: F.leaky_relu(x, inplace=True)],
    ids=["F.relu", "F.relu inplace", "torch.relu", "torch.relu_", "relu", "relu_", "leaky", "leaky inplace"],
)  # fmt: skip
def test_functions_are_seen_once_under_the_module_that_calls_them(rectify: Callable[[Tensor], Tensor]) -> None:
    """Each call of a module is a site of its own."""

    class Twice(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return rectify(rectify(images - 1) - 100)

    found = seen(nn.Sequential(nn.Identity(), Twice()), IMAGES.clone(), IMAGES.clone())
    assert ("1 1", "1 2") == found.sites
    assert [0, 1] == found.dead_share.tolist()


def test_the_reference_architectures_have_their_sites() -> None:
    """ResNet-101: one in the stem and three in each of 33 blocks, told apart by number; Inception: 94 functions."""
    resnet, inception = (
        seen(find(name)[0].build(ModelRequest(num_classes=6, image_size=size)).eval(), torch.randn(1, 3, size, size))
        for name, size in (("resnet101_leaky", 32), ("inception_v3", 75))
    )
    assert 100 == len(resnet.sites)
    assert ("relu 1", "layer1.0.relu 1", "layer1.0.relu 2", "layer1.0.relu 3") == resnet.sites[:4]
    assert 94 == len(inception.sites) == len(set(inception.sites))
    assert "Mixed_7c.branch_pool 1" in inception.sites


def test_units_of_vectors_and_sequences() -> None:
    """Features (batch x units) and tokens (batch x tokens x units)."""
    model = nn.ReLU()
    assert [5] == seen(model, torch.randn(2, 5)).num_units.tolist()
    assert [7] == seen(model, torch.randn(2, 5, 7)).num_units.tolist()


def test_a_network_without_rectifiers() -> None:
    """Has nothing to be read."""
    found = seen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()), IMAGES)
    assert () == found.sites
    assert 0 == len(found.dead_share)


def test_looking_changes_nothing() -> None:
    """The same outputs, no hook left behind, and an error in the network leaves the next pass in order."""
    model = planted(nn.ReLU())
    with torch.no_grad():
        expected = model(IMAGES)
        with ActivationProbe(model) as probe:
            assert torch.equal(expected, model(IMAGES))
            with pytest.raises(RuntimeError):
                model(torch.zeros(1, 4, 8, 8))
            assert torch.equal(expected, model(IMAGES))
    assert ("1 1",) == Activations.of([probe.sites]).sites
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_processes_add_up_to_one() -> None:
    """Each observes some of the batches, or none, and sends its sums to the others."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5), nn.ReLU())
    batches = [torch.randn(6, 3, 8, 8) for _ in range(3)]
    parts = []
    for own in ([], batches[:1], batches[1:]):
        with ActivationProbe(model) as probe, torch.no_grad():
            for batch in own:
                model(batch)
        parts.append(pickle.loads(pickle.dumps(probe.sites)))
    expected, merged = seen(model, *batches), Activations.of(parts)
    assert expected.sites == merged.sites
    for ours, theirs in zip(expected[1:], merged[1:], strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-6)
