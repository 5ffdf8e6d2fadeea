"""Mixup and CutMix give the images and targets that torchvision gives for equal weights and boxes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2

from intelbench.config.recipe import Recipe
from intelbench.data.augment import Random
from intelbench.data.mixing import Mix, draw_mix, mix_images, mix_labels

SIZE = 20
LABELS = torch.tensor([0, 2, 1, 2])


def images() -> torch.Tensor:
    """Return four images of random bytes."""
    return torch.randint(0, 256, (4, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def drawn(recipe: Recipe, num: int) -> list[Mix]:
    """Return the mixes of different images."""
    return [draw_mix(Random(b"%d" % number), recipe, SIZE) for number in range(num)]


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixes_are_those_of_torchvision(name: str) -> None:
    """Each image is mixed as in a batch that torchvision mixes with the weight and the box of that image."""
    recipe = Recipe(mixup_alpha=0.4) if name == "mixup" else Recipe(cutmix_alpha=1.0)
    mixes = drawn(recipe, 4)
    mixed = images()
    mix_images(mixed, mixes)
    targets = mix_labels(LABELS, mixes, 3)
    planar = images().permute(0, 3, 1, 2).float()
    for slot, mix in enumerate(mixes):
        params: dict[str, Any] = {"labels": LABELS, "batch_size": 4, "lam": mix.weight, "lam_adjusted": mix.weight}
        if mix.box:
            top, left, bottom, right = mix.box
            params["box"] = (left, top, right, bottom)
        theirs: Any = (v2.MixUp if name == "mixup" else v2.CutMix)(num_classes=3)
        expected = theirs.transform(planar.clone(), params)[slot].round().byte()
        assert torch.equal(expected.permute(1, 2, 0), mixed[slot])
        assert torch.allclose(theirs.transform(LABELS, params)[slot], targets[slot], rtol=1e-6)


@given(seed=st.integers(0, 2**20), alpha=st.floats(0.05, 10))
def test_the_weight_of_cutmix_is_the_share_of_its_pixels(seed: int, alpha: float) -> None:
    """Of a black image with a white box, exactly the rest is black."""
    mix = draw_mix(Random(b"%d" % seed), Recipe(cutmix_alpha=alpha), SIZE)
    batch = torch.stack([torch.zeros(SIZE, SIZE, 3), torch.full((SIZE, SIZE, 3), 255)]).byte()
    mix_images(batch, [mix, mix])
    assert mix.weight == pytest.approx((batch[0] == 0).float().mean().item())
    assert 0 <= mix.weight <= 1


@given(seed=st.integers(0, 2**20))
def test_targets_are_shares(seed: int) -> None:
    """They sum to one, also where both images have one class."""
    mixes = [draw_mix(Random(b"%d/%d" % (seed, n)), Recipe(mixup_alpha=0.2, cutmix_alpha=1.0), SIZE) for n in range(4)]
    targets = mix_labels(LABELS, mixes, 3)
    assert torch.allclose(torch.ones(4), targets.sum(1))
    assert (targets >= 0).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_weights_are_from_the_beta_distribution(alpha: float) -> None:
    """Those of mixup; each is a multiple of 1/65536."""
    weights = [mix.weight for mix in drawn(Recipe(mixup_alpha=alpha), 2000)]
    edges = np.linspace(0, 1, 11)
    expected = 2000 * np.diff(stats.beta(alpha, alpha).cdf(edges))
    assert float(stats.chisquare(np.histogram(weights, edges)[0], expected).pvalue) > 1e-3
    assert all(weight * 65536 == round(weight * 65536) for weight in weights)


def test_boxes_are_distributed_as_those_of_torchvision() -> None:
    """Weight and place."""
    ours = drawn(Recipe(cutmix_alpha=1.0), 1000)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = [v2.CutMix(num_classes=3).make_params([images().permute(0, 3, 1, 2)]) for _ in range(1000)]
    weights = [each["lam_adjusted"] for each in theirs]
    assert float(stats.ks_2samp([mix.weight for mix in ours], weights).pvalue) > 1e-3
    lefts = [float(each["box"][0]) for each in theirs]
    assert float(stats.ks_2samp([float(mix.box[1]) for mix in ours if mix.box], lefts).pvalue) > 1e-3


def test_with_both_every_second_image_is_cut() -> None:
    """At random."""
    share = sum(mix.box is not None for mix in drawn(Recipe(mixup_alpha=0.2, cutmix_alpha=1.0), 2000)) / 2000
    assert abs(share - 0.5) < 4 * 0.5 / 2000**0.5


def test_a_mix_is_in_the_digest() -> None:
    """Weight and box."""
    mixes = [Mix(0.5, None), Mix(0.25, None), Mix(0.5, (0, 0, 4, 4)), Mix(0.5, (0, 1, 4, 4))]
    assert 4 == len({mix.content() for mix in mixes})
