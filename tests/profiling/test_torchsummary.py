"""The published memory figures are torchsummary's estimate, to the last printed digit."""

import pytest
import torch

from intelbench.architectures.registry import ModelRequest, find
from intelbench.profiling.torchsummary import torchsummary_estimate
from intelbench.profiling.workload import Workload
from intelbench.records.profiles import TorchsummaryEstimate

MEBIBYTE = 2**20


def published(name: str) -> TorchsummaryEstimate:
    """Of the stock network."""
    return torchsummary_estimate(
        Workload(architecture=find(name)[0], request=ModelRequest(num_classes=1000, image_size=300))
    )


@pytest.mark.parametrize(
    ("name", "activations", "parameters", "total", "num_calls"),
    [
        ("resnet152", 1113.0667, 229.6173, 1343.7140, 514),
        ("wide_resnet101_2", 996.5882, 484.0343, 1481.6525, 344),
        ("inception_v3", 228.6586, 103.6120, 333.3006, 306),
    ],
)
def test_published_figures(name: str, activations: float, parameters: float, total: float, num_calls: int) -> None:
    """ResNet-152, Wide ResNet-101-2 and Inception-v3 at 300 px, one image, 1000 classes."""
    found = published(name)
    sizes = [found.activations_bytes, found.parameters_bytes, found.total_bytes]
    assert [activations, parameters, total] == [pytest.approx(size / MEBIBYTE, abs=5e-5) for size in sizes]
    assert 3 * 300 * 300 * 4 == found.input_bytes
    assert num_calls == found.num_calls
    facts = find(name)[0].published
    assert facts is not None
    assert facts.memory_mebibytes == pytest.approx(total, abs=0.006)


def test_random_state_is_left_alone() -> None:
    """The summary's original draws random numbers; this one works on shapes."""
    state = torch.get_rng_state()
    published("inception_v3")
    assert torch.equal(state, torch.get_rng_state())
