"""Class weights and the training loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from intelbench.architectures.reference import inception_loss
from intelbench.config.recipe import Recipe
from intelbench.data.mixing import Mix, mix_labels
from intelbench.training.criterion import class_weights, make_criterion

CPU = torch.device("cpu")
LABELS = [0] * 7 + [1] * 2 + [2] * 3
LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor(LABELS)


def test_the_default_is_that_of_pytorch() -> None:
    """Bit for bit, with and without label smoothing."""
    assert class_weights(Recipe(), LABELS) is None
    for smoothing in (0.0, 0.1):
        loss = make_criterion(Recipe(label_smoothing=smoothing), None, CPU)(LOGITS, TARGETS)
        assert torch.equal(F.cross_entropy(LOGITS, TARGETS, label_smoothing=smoothing), loss)


@given(labels=st.lists(st.integers(0, 3), min_size=4, max_size=60).map(lambda more: [0, 1, 2, 3, *more]))
def test_balanced_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    """For any numbers of images."""
    weights = class_weights(Recipe(class_weights="balanced"), labels)
    assert weights == pytest.approx(compute_class_weight("balanced", classes=np.arange(4), y=labels).tolist())


@given(labels=st.lists(st.integers(0, 3), min_size=4, max_size=60).map(lambda more: [0, 1, 2, 3, *more]))
def test_square_roots_are_between_equal_and_balanced_weights(labels: list[int]) -> None:
    """Ratios are square roots of the balanced ones, and the mean over all images is 1."""
    balanced = class_weights(Recipe(class_weights="balanced"), labels)
    weights = class_weights(Recipe(class_weights="sqrt"), labels)
    assert balanced is not None
    assert weights is not None
    assert sum(weights[label] for label in labels) == pytest.approx(len(labels))
    ratios = [weight / weights[0] for weight in weights]
    assert ratios == pytest.approx([(weight / balanced[0]) ** 0.5 for weight in balanced])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_weighted_loss_is_the_mean_over_the_images(smoothing: float) -> None:
    """Equal to that of PyTorch before it divides by the weights of the batch."""
    weights = class_weights(Recipe(class_weights="balanced"), LABELS)
    assert weights is not None
    criterion = make_criterion(Recipe(class_weights="balanced", label_smoothing=smoothing), weights, CPU)
    theirs = F.cross_entropy(LOGITS, TARGETS, torch.tensor(weights), label_smoothing=smoothing)
    of_batch = torch.tensor(weights)[TARGETS].mean()
    if not smoothing:
        torch.testing.assert_close(criterion(LOGITS, TARGETS), theirs * of_batch)
    parts = [criterion(LOGITS[part], TARGETS[part]) for part in (slice(0, 4), slice(4, 8), slice(8, 12))]
    torch.testing.assert_close(criterion(LOGITS, TARGETS), torch.stack(parts).mean())
    shares = F.one_hot(TARGETS, 3).float()
    torch.testing.assert_close(criterion(LOGITS, TARGETS), criterion(LOGITS, shares))


@pytest.mark.parametrize("kind", ["none", "balanced", "sqrt"])
def test_mixed_targets_mix_the_losses(kind: str) -> None:
    """The loss of a mix is the mean of the losses of both classes by their shares, as in the paper on mixup."""
    recipe = Recipe(class_weights=kind, label_smoothing=0.1)  # type: ignore[arg-type]
    criterion = make_criterion(recipe, class_weights(recipe, LABELS), CPU)
    for weight in (0.0, 0.3, 1.0):
        targets = mix_labels(TARGETS, [Mix(weight, None)] * 12, 3)
        expected = weight * criterion(LOGITS, TARGETS) + (1 - weight) * criterion(LOGITS, TARGETS.roll(1))
        torch.testing.assert_close(criterion(LOGITS, targets), expected)


def test_an_auxiliary_loss_has_the_targets_of_the_main_loss() -> None:
    """Inception-v3 takes mixed targets in both heads."""
    criterion = make_criterion(Recipe(label_smoothing=0.1), None, CPU)
    targets = mix_labels(TARGETS, [Mix(0.3, None)] * 12, 3)
    expected = criterion(LOGITS, targets) + 0.4 * criterion(-LOGITS, targets)
    torch.testing.assert_close(inception_loss((LOGITS, -LOGITS), targets, criterion), expected)
