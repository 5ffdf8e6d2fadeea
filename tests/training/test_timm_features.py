"""Frozen networks of timm give features of images, on which their heads train."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from intelbench.architectures.registry import ModelRequest, find
from intelbench.architectures.surgery import find_heads
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset
from intelbench.data.features import FeatureStore
from intelbench.training.backbone import Backbone
from intelbench.training.evaluate import Evaluator
from intelbench.training.features import feature_bank


@pytest.mark.parametrize(
    "name",
    [
        "resnet10t", "test_efficientnet", "test_convnext", "test_vit", "swin_tiny_patch4_window7_224", "test_maxvit",
        "mobilenetv3_small_050", "eva02_tiny_patch14_224",
    ],
)  # fmt: skip
def test_logits_on_stored_features_are_those_on_images(
    loaded: Dataset, make_evaluator: Callable[..., Evaluator], tmp_path: Path, name: str
) -> None:
    """The network has one head, and nothing after it."""
    torch.manual_seed(0)
    architecture = find(f"timm:{name}")[0]
    request = ModelRequest(num_classes=len(loaded.facts.class_names), image_size=64)
    model = architecture.build(request)
    recipe = Recipe(freeze_backbone="always", augmentation="none", batch_size=8)
    backbone = Backbone.of(model, find_heads(architecture, request, model), recipe, 4)
    evaluator = make_evaluator(model, image_size=64, recipe=recipe)
    bank = feature_bank(evaluator, backbone, FeatureStore(tmp_path), "test")
    assert bank is not None
    on_images = torch.from_numpy(evaluator.logits(loaded.validation))
    torch.testing.assert_close(on_images, bank.logits(loaded.validation), atol=1e-5, rtol=1e-4)
